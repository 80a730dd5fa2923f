//! The slowest operations of a fragmented heap, one by one, for `benches/worst.sh`, which counts
//! their instructions with callgrind.
#![expect(unsafe_code, reason = "allocates and frees raw memory")]

use std::alloc::Layout;
use std::hint::black_box;
use std::process::ExitCode;
use std::ptr::NonNull;

use slab_testkit::Arena;
use slab_traits::{AllocResult, ByteAllocator};

/// Callgrind counts one operation of each kind: the function's name is the toggle.
#[inline(never)]
fn counted_alloc(heap: &mut dyn ByteAllocator, layout: Layout) -> AllocResult<NonNull<u8>> {
    black_box(heap.alloc(layout))
}

#[inline(never)]
fn counted_free(heap: &mut dyn ByteAllocator, block: NonNull<u8>, layout: Layout) {
    // SAFETY: callers pass a live block with its layout and forget it.
    unsafe { heap.dealloc(block, layout) };
    black_box(());
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("small sizes")
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, mebibytes, work] = &arguments[..] else {
        eprintln!("usage: worst ALLOCATOR MIB small|large|aligned|merge|unaligned|refused");
        return ExitCode::from(2);
    };
    let peer = slab_peers::Contender::named(name);
    let (Some(peer), Ok(mebibytes)) = (peer, mebibytes.parse::<usize>()) else {
        eprintln!("no such allocator or size");
        return ExitCode::from(2);
    };
    let arena = Arena::new(mebibytes << 20, 0);
    // SAFETY: the arena outlives the heap and is given to nothing else.
    let mut heap = unsafe { peer.build(arena.region()) }.expect("the region is large enough");
    let heap = &mut *heap;
    let hole_bytes = if work == "refused" { 72 * 1024 } else { 8 * 1024 };
    let (mut live, hole) = fragment(heap, hole_bytes);
    match work.as_str() {
        "small" => assert!(counted_alloc(heap, layout(1500, 16)).is_ok()),
        "large" => assert!(counted_alloc(heap, hole).is_ok()),
        "aligned" => assert!(counted_alloc(heap, layout(2000, 2048)).is_ok()),
        "merge" => {
            let (block, layout) = live.swap_remove(live.len() / 2);
            counted_free(heap, block, layout);
        }
        "unaligned" => assert!(counted_alloc(heap, layout(6000, 1 << 19)).is_err()),
        "refused" => assert!(counted_alloc(heap, layout(hole.size() + 1024, 16)).is_err()),
        _ => return ExitCode::from(2),
    }
    ExitCode::SUCCESS
}

/// Fills the heap with blocks and frees every second one. Returns the other blocks, and the layout of
/// a hole.
fn fragment(
    heap: &mut dyn ByteAllocator,
    hole_bytes: usize,
) -> (Vec<(NonNull<u8>, Layout)>, Layout) {
    let layout = layout(hole_bytes - 64, 16);
    let mut blocks = Vec::new();
    while let Ok(block) = heap.alloc(layout) {
        blocks.push((block, layout));
    }
    // A rest of free memory would lengthen the hole before it.
    while heap.alloc(self::layout(1024, 16)).is_ok() {}
    let mut kept = Vec::new();
    for (index, (block, layout)) in blocks.into_iter().enumerate() {
        if index % 2 == 0 {
            kept.push((block, layout));
        } else {
            // SAFETY: the block is live, has this layout and is forgotten.
            unsafe { heap.dealloc(block, layout) };
        }
    }
    (kept, layout)
}
