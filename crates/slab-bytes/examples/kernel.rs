//! The memory of a small kernel: two regions that the boot loader left, a hook that gets a third from the host once
//! they are full, pages for page tables out of the same heap, and a double free that is found.
//!
//! `cargo run -p slab-bytes --example kernel` prints what the heap holds at each stage. Nothing but the printing, and the
//! memory itself, comes from an operating system.
#![expect(unsafe_code, reason = "a kernel gives memory away, and takes pages")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::NonNull;

use slab_bytes::{Fault, SlabByteAllocator};
use slab_traits::{Locked, PageAllocator, RegionError};

type Heap = Locked<spin::Mutex<()>, SlabByteAllocator>;

/// The kernel's `#[global_allocator]`; here a heap beside the host's.
static HEAP: Heap = Locked::with_hook(SlabByteAllocator::new(), grow);

/// The kernel's record of a task.
type Task = [u64; 25];

/// Memory as a boot loader would report it. Nothing else uses it, and it stays valid until the program ends.
fn memory(bytes: usize) -> Option<NonNull<[u8]>> {
    let layout = Layout::from_size_align(bytes, 4096).ok()?;
    // SAFETY: the size is not zero.
    let start = NonNull::new(unsafe { System.alloc(layout) })?;
    Some(NonNull::slice_from_raw_parts(start, bytes))
}

/// Runs without the lock, when a request found nothing: a quarter of a mebibyte, or more if that is not enough.
fn grow(heap: &Heap, layout: Layout) -> bool {
    let needed_bytes = layout.size().saturating_add(layout.align()).saturating_mul(2);
    // SAFETY: nothing else uses the memory, and it is never given back.
    memory(needed_bytes.max(256 << 10))
        .is_some_and(|region| unsafe { heap.add_region(region) }.is_ok())
}

fn report(stage: &str) {
    let [total, used, metadata] = [HEAP.total_bytes(), HEAP.used_bytes(), HEAP.metadata_bytes()];
    println!("{stage:<36} {used:>7} of {total:>7} bytes used, {metadata:>6} of bookkeeping");
}

fn main() -> Result<(), RegionError> {
    for bytes in [32 << 10, 48 << 10] {
        let region = memory(bytes).expect("the host has memory");
        // SAFETY: as in `grow`.
        unsafe { HEAP.add_region(region) }?;
        // SAFETY: the same region is refused, and nothing happens to it.
        let twice = unsafe { HEAP.add_region(region) };
        assert!(matches!(twice, Err(RegionError::Overlap { .. })), "given twice: {twice:?}");
    }
    report("two regions");

    // Containers: `hashbrown` and `allocator-api2` take `&HEAP`, everything else does once it is the global allocator.
    let layout = Layout::new::<Task>();
    // SAFETY: the layout is not empty.
    let tasks: Vec<_> =
        (0..300).filter_map(|_| NonNull::new(unsafe { HEAP.alloc(layout) })).collect();
    assert_eq!(tasks.len(), 300);
    report("300 tasks of 200 bytes");

    let layout = Layout::new::<[u8; 100_000]>();
    // SAFETY: the layout is not empty.
    let frame_buffer = NonNull::new(unsafe { HEAP.alloc(layout) });
    assert!(frame_buffer.is_some(), "the hook brought more");
    report("a frame buffer, after growing");

    let take = |heap: &mut SlabByteAllocator| heap.alloc_pages(3, 4096);
    // SAFETY: the heap stays in place, and no block is freed.
    let table = unsafe { HEAP.with_inner(take) }.expect("there is room");
    assert_eq!(table.addr().get() % 4096, 0);
    report("three pages, aligned to 4096");

    let give_back = |heap: &mut SlabByteAllocator| {
        // SAFETY: allocated above, and forgotten here.
        unsafe { heap.dealloc_pages(table, 3) }
    };
    // SAFETY: the heap stays in place, and the pages are not in use.
    unsafe { HEAP.with_inner(give_back) }.expect("they are live");
    for task in tasks.iter().step_by(2) {
        // SAFETY: live, with this layout, and not used again but for the mistake below.
        unsafe { HEAP.dealloc(task.as_ptr(), Layout::new::<Task>()) };
    }
    report("the pages and every other task gone");

    let free_twice = |heap: &mut SlabByteAllocator| {
        // SAFETY: none: the block is free. The heap finds that before it changes anything.
        unsafe { heap.try_free(tasks[0], Layout::new::<Task>()) }
    };
    // SAFETY: the heap stays in place, and no block that is in use is freed.
    match unsafe { HEAP.with_inner(free_twice) } {
        Err(fault @ Fault::DoubleFree { .. }) => println!("found: {fault}"),
        other => panic!("a double free was answered with {other:?}"),
    }
    Ok(())
}
