//! Blocks that change their size: by name refused if they are none, in place with a pointer that may reach
//! all of it, and never too large to become smaller.
#![expect(unsafe_code, reason = "uses raw memory")]

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;

use allocator_api2::vec::Vec;
use slab_bytes::{Fault, SlabByteAllocator};
use slab_core::{Checked, Exhaustive, Hardened, Mode, Unchecked};
use slab_testkit::Arena;
use slab_traits::{AllocError, AllocResult, BaseAllocator, ByteAllocator, Local};

const KIB: usize = 1024;

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a valid layout")
}

fn bytes(size: usize) -> Layout {
    layout(size, 1)
}

fn heap_over<M: Mode>(arena: &Arena) -> SlabByteAllocator<M> {
    let mut heap = SlabByteAllocator::new();
    // SAFETY: every test keeps its arena longer than its heap.
    unsafe { heap.add_region(arena.region()) }.expect("large enough");
    heap
}

/// Takes what is left, to the last slot.
fn fill<M: Mode>(heap: &mut SlabByteAllocator<M>) -> std::vec::Vec<(NonNull<u8>, Layout)> {
    let sizes = [100_000, 20_000, 9000, 4096, 1000, 100, 1];
    let one_size = |size| std::iter::repeat(bytes(size));
    let mut taken = std::vec::Vec::new();
    for layout in sizes.map(one_size) {
        taken.extend(layout.map_while(|layout| Some((heap.alloc(layout).ok()?, layout))));
    }
    taken
}

fn pattern(offset: usize) -> u8 {
    (offset % 251) as u8
}

fn shrink_in_a_full_heap<M: Mode>(old: Layout, new: Layout) {
    let arena = Arena::new(64 * KIB, 0);
    let mut heap = heap_over::<M>(&arena);
    let block = heap.alloc(old).expect("an empty heap");
    let taken = fill(&mut heap);
    for offset in 0..old.size() {
        // SAFETY: within the block.
        let byte = unsafe { block.add(offset) };
        // SAFETY: the byte lies within the block.
        unsafe { byte.write(pattern(offset)) };
    }
    // SAFETY: live, with this layout, and only the result is used afterwards.
    let shrunk = unsafe { heap.shrink(block, old, new) };
    let shrunk = shrunk.unwrap_or_else(|error| panic!("{old:?} to {new:?}: {error}"));
    heap.validate().expect("consistent");
    // SAFETY: live, and so many bytes are kept.
    let kept = unsafe { std::slice::from_raw_parts(shrunk.as_ptr(), new.size()) };
    assert!(kept.iter().enumerate().all(|(offset, &byte)| byte == pattern(offset)), "{new:?}");
    if M::CHECKED {
        // A layout that no class and no run of this place has had.
        let wrong = bytes(old.size() + 30_000);
        // SAFETY: a heap that checks refuses it.
        let refused = unsafe { heap.try_free(shrunk, wrong) };
        assert!(matches!(refused, Err(Fault::WrongLayout { .. })), "{refused:?}");
    }
    // Half of it, then as long as it was, where that fits again.
    let half = layout(new.size() / 2, new.align());
    // SAFETY: live, with this layout.
    let smaller = unsafe { heap.shrink(shrunk, new, half) }.expect("a shrink never fails");
    // SAFETY: live, with layout `half`.
    let (block, now) = match unsafe { heap.grow(smaller, half, old) } {
        Ok(block) => (block, old),
        Err(AllocError::NoMemory) => (smaller, half),
        Err(error) => panic!("{half:?} to {old:?}: {error}"),
    };
    heap.validate().expect("consistent");
    // SAFETY: live, with this layout.
    unsafe { heap.try_free(block, now) }.expect("the layout that it has now");
    if M::CHECKED {
        // SAFETY: a heap that checks refuses what is not live.
        unsafe { heap.try_free(block, now) }.expect_err("it was just freed");
    }
    for (block, layout) in taken {
        // SAFETY: live, with this layout.
        unsafe { heap.try_free(block, layout) }.expect("live");
    }
    assert_eq!(heap.used_bytes(), 0);
    heap.validate().expect("consistent");
    let whole = heap_over::<M>(&Arena::new(64 * KIB, 0)).largest_free();
    heap.alloc(bytes(whole)).expect("nothing is lost");
}

#[test]
#[cfg_attr(miri, ignore = "Miri takes many minutes to fill a heap for each pair of sizes")]
fn a_shrink_never_fails_whatever_the_sizes() {
    let sizes = [
        0, 1, 15, 16, 17, 40, 48, 100, 112, 128, 129, 200, 500, 512, 640, 1000, 1016, 1024, 1025,
        1500, 2048, 3000, 3584, 4088, 4096, 4097, 5000, 5120, 6000, 9000, 20_000, 40_000,
    ];
    let aligns = [1, 8, 64, 512, 1024, 2048, 4096];
    let mut shrunk = 0;
    for &old in &sizes {
        for &new in sizes.iter().filter(|&&new| new <= old) {
            for &align in &aligns {
                shrink_in_a_full_heap::<Checked>(layout(old, align), layout(new, align));
                shrink_in_a_full_heap::<Hardened>(layout(old, align), layout(new, align));
                shrink_in_a_full_heap::<Unchecked>(layout(old, align), layout(new, align));
                shrunk += 1;
            }
        }
    }
    assert_eq!(shrunk, sizes.len() * (sizes.len() + 1) / 2 * aligns.len());
}

/// Once no slot of a segment is live, none is borrowed, and a layout of a smaller class is refused again.
#[test]
fn a_segment_that_was_empty_is_as_strict_as_before() {
    let arena = Arena::new(32 * KIB, 0);
    let mut heap = heap_over::<Checked>(&arena);
    let (own, small) = (bytes(500), bytes(20));
    let blocks: std::vec::Vec<_> = std::iter::from_fn(|| heap.alloc(own).ok()).collect();
    // SAFETY: live, with this layout.
    let shrunk = unsafe { heap.shrink(blocks[0], own, small) }.expect("never fails");
    assert_eq!(shrunk, blocks[0], "nothing else is free");
    // SAFETY: live, with this layout.
    unsafe { heap.try_free(shrunk, small) }.expect("live");
    for &block in &blocks[1..] {
        // SAFETY: live, with this layout.
        unsafe { heap.try_free(block, own) }.expect("live");
    }
    let again = std::iter::from_fn(|| heap.alloc(own).ok()).find(|block| *block == shrunk);
    let block = again.expect("the slot is free");
    // SAFETY: a checked heap refuses a layout that does not fit.
    let refused = unsafe { heap.try_free(block, small) };
    assert!(matches!(refused, Err(Fault::WrongLayout { size_min: 481, .. })), "{refused:?}");
}

type Resize<M> =
    unsafe fn(&mut SlabByteAllocator<M>, NonNull<u8>, Layout, Layout) -> AllocResult<NonNull<u8>>;

fn by_realloc<M: Mode>(
    heap: &mut SlabByteAllocator<M>,
    block: NonNull<u8>,
    old: Layout,
    new: Layout,
) -> AllocResult<NonNull<u8>> {
    // SAFETY: the heap checks, and refuses what is no live block.
    unsafe { heap.realloc(block, old, new.size()) }
}

fn refuses_what_is_no_live_block<M: Mode>(size: usize) {
    let ways: [Resize<M>; 4] = [
        by_realloc,
        SlabByteAllocator::grow,
        SlabByteAllocator::shrink,
        SlabByteAllocator::resize_in_place,
    ];
    let old = bytes(size);
    // Of the same class or length, of another, and much larger.
    let sizes = [size, size + 1, size - 1, size / 3, size * 3];
    let mut refused = 0;
    for (way, new) in ways.into_iter().flat_map(|way| sizes.map(|new| (way, bytes(new)))) {
        let arena = Arena::new(96 * KIB, 0);
        let mut heap = heap_over::<M>(&arena);
        let block = heap.alloc(old).expect("room");
        let dead = heap.alloc(old).expect("room");
        // SAFETY: live, and not used but for the mistake.
        unsafe { heap.try_free(dead, old) }.expect("live");
        let local = 0_u64;
        let address = block.addr().get();
        // SAFETY: within the block.
        let inside = unsafe { block.add(16) };
        let used = heap.used_bytes();
        let stack = NonNull::from(&local).cast();
        for (pointer, name) in [(dead, "double free"), (inside, "pointer into"), (stack, "foreign")]
        {
            // SAFETY: a heap that checks refuses what is no live block.
            match unsafe { way(&mut heap, pointer, old, new) } {
                // `grow` to less and `shrink` to more are refused for that.
                Err(AllocError::InvalidParam) => continue,
                outcome => assert_eq!(outcome, Err(AllocError::NotAllocated), "{name}: {new:?}"),
            }
            let fault = heap.take_fault().expect("it is stored");
            assert!(fault.to_string().contains(name), "{fault}");
            refused += 1;
        }
        let other = bytes(size / 2 + 20_000);
        // SAFETY: a heap that checks refuses a layout that does not fit.
        let outcome = unsafe { way(&mut heap, block, other, other) };
        assert_eq!(outcome, Err(AllocError::InvalidParam));
        let fault = heap.take_fault();
        let at = |fault: &Fault| matches!(fault, Fault::WrongLayout { address: at, .. } if *at == address);
        assert!(fault.as_ref().is_some_and(at), "{fault:?}");
        assert_eq!(heap.used_bytes(), used);
        heap.validate().expect("consistent");
        // SAFETY: live, with this layout.
        unsafe { heap.try_free(block, old) }.expect("nothing has changed");
    }
    // Two ways take any size, one three and one three of the five, with three pointers.
    assert_eq!(refused, 3 * (5 + 5 + 3 + 3));
}

#[test]
fn what_is_no_live_block_is_not_resized() {
    for size in [100, 2000, 9000] {
        refuses_what_is_no_live_block::<Checked>(size);
        refuses_what_is_no_live_block::<Hardened>(size);
    }
}

/// A box may touch its own bytes and no others; the memory that it grows into it reaches through the pointer
/// that it gets back. Miri sees one that does not.
#[test]
fn a_vector_that_was_a_boxed_slice_grows_in_place() {
    let arena = Arena::new(64 * KIB, 0);
    let heap = Local::new(SlabByteAllocator::<Checked>::new());
    // SAFETY: the arena outlives the heap, and is used through it alone.
    unsafe { heap.add_region(arena.region()) }.expect("large enough");
    for (full, more) in [(100, 5), (6000, 3000)] {
        let mut vector: Vec<u8, _> = Vec::with_capacity_in(full + more, &heap);
        vector.resize(full, 7);
        let boxed = vector.into_boxed_slice();
        let place = boxed.as_ptr().addr();
        let mut vector = boxed.into_vec();
        vector.reserve_exact(more);
        (0..more).for_each(|_| vector.push(9));
        assert_eq!(vector.as_ptr().addr(), place, "it grew in place");
        assert_eq!(
            vector.iter().map(|&byte| usize::from(byte)).sum::<usize>(),
            7 * full + 9 * more
        );
    }
    assert_eq!(heap.used_bytes(), 0);
}

/// The same through `GlobalAlloc`, whose callers pass a pointer to the old length too.
#[test]
fn a_block_that_grows_in_place_is_reached_by_the_pointer_returned() {
    let arena = Arena::new(64 * KIB, 0);
    let heap = Local::new(SlabByteAllocator::<Checked>::new());
    // SAFETY: the arena outlives the heap, and is used through it alone.
    unsafe { heap.add_region(arena.region()) }.expect("large enough");
    for (old, new) in [(100, 110), (9000, 12_000)] {
        // SAFETY: the layout is not empty.
        let block = unsafe { heap.alloc_zeroed(bytes(old)) };
        // SAFETY: live, of so many bytes, and used through this reference alone.
        let narrow = unsafe { std::slice::from_raw_parts_mut(block, old) };
        // SAFETY: live, with this layout.
        let grown = unsafe { GlobalAlloc::realloc(&heap, narrow.as_mut_ptr(), bytes(old), new) };
        assert_eq!(grown.addr(), block.addr(), "it grew in place");
        // SAFETY: the block has `new` bytes.
        unsafe { grown.write_bytes(5, new) };
        // SAFETY: live, with this layout.
        unsafe { heap.dealloc(grown, bytes(new)) };
    }
}

/// talc keeps the block where it is; so do we, and the program goes on.
#[test]
fn a_vector_becomes_a_boxed_slice_in_a_full_heap() {
    let arena = Arena::new(64 * KIB, 0);
    let heap = Local::new(SlabByteAllocator::<Checked>::new());
    // SAFETY: the arena outlives the heap, and is used through it alone.
    unsafe { heap.add_region(arena.region()) }.expect("large enough");
    for (capacity, len) in [(4096, 16), (1000, 500), (20_000, 100)] {
        let mut vector: Vec<u8, _> = Vec::with_capacity_in(capacity, &heap);
        vector.resize(len, 3);
        // SAFETY: the heap stays in place, and frees nothing.
        let taken = unsafe { heap.with_inner(fill) };
        assert!(!taken.is_empty());
        let boxed = vector.into_boxed_slice();
        assert!(boxed.len() == len && boxed.iter().all(|&byte| byte == 3));
        for (block, layout) in taken {
            // SAFETY: live, with this layout.
            unsafe { heap.dealloc(block.as_ptr(), layout) };
        }
    }
    assert_eq!(heap.used_bytes(), 0);
}

/// The block stays as it was, and what is damaged is never handed out.
#[test]
fn a_block_does_not_grow_into_memory_that_was_written_after_it_was_freed() {
    let arena = Arena::new(64 * KIB, 0);
    let mut heap = heap_over::<Exhaustive>(&arena);
    let (short, long) = (bytes(9 * KIB), bytes(17 * KIB));
    let block = heap.alloc(short).expect("room");
    // SAFETY: so many bytes.
    unsafe { block.write_bytes(0x33, short.size()) };
    let behind = heap.alloc(short).expect("room");
    // SAFETY: live, with this layout.
    unsafe { heap.try_free(behind, short) }.expect("live");
    // SAFETY: within the arena.
    let stale = unsafe { behind.add(1500) };
    // SAFETY: the byte lies in the arena; the sanitizer must let the write pass.
    unsafe { slab_core::poison::allow_access(stale, 1) };
    // SAFETY: the mistake.
    unsafe { stale.write(1) };
    let used = heap.used_bytes();
    // SAFETY: live, with this layout.
    let grown = unsafe { heap.grow(block, short, long) };
    assert_eq!(grown, Err(AllocError::Damaged));
    let fault = heap.take_fault().expect("it is stored");
    assert!(matches!(fault, Fault::WrittenAfterFree { .. }), "{fault}");
    heap.validate().expect("consistent");
    let quarantined = heap.used_bytes() - used;
    assert!(quarantined >= 7 * KIB, "{quarantined}");
    // SAFETY: live, of so many bytes, all written.
    let kept = unsafe { std::slice::from_raw_parts(block.as_ptr(), short.size()) };
    assert!(kept.iter().all(|&byte| byte == 0x33));
    // SAFETY: live, with this layout.
    let moved = unsafe { heap.grow(block, short, long) }.expect("elsewhere");
    assert_ne!(moved, block);
    // SAFETY: live, with this layout.
    unsafe { heap.try_free(moved, long) }.expect("live");
    let stale = stale.addr();
    for (block, layout) in fill(&mut heap) {
        let start = block.addr();
        let end = start.checked_add(layout.size()).expect("within memory");
        assert!(!(start..end).contains(&stale), "it is never handed out");
        // SAFETY: live, with this layout.
        unsafe { heap.try_free(block, layout) }.expect("live");
    }
    assert_eq!(heap.used_bytes(), quarantined);
}
