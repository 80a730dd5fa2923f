//! A region is written where it is used, and memory that was used is used again before fresh memory is.
#![expect(unsafe_code, reason = "uses raw memory")]

use std::alloc::Layout;
use std::ptr::NonNull;

use slab_bytes::{Fault, SlabByteAllocator};
use slab_testkit::Arena;
use slab_traits::{BaseAllocator, ByteAllocator, PageAllocator};

const KIB: usize = 1024;

fn bytes(size: usize) -> Layout {
    Layout::from_size_align(size, 1).expect("a valid layout")
}

fn heap_over(arena: &Arena) -> SlabByteAllocator {
    let mut heap = SlabByteAllocator::new();
    // SAFETY: every test keeps its arena longer than its heap.
    unsafe { heap.add_region(arena.region()) }.expect("large enough");
    heap
}

fn free(heap: &mut SlabByteAllocator, block: NonNull<u8>, layout: Layout) {
    // SAFETY: live, and forgotten by the caller.
    unsafe { heap.try_free(block, layout) }.expect("live, with this layout");
    heap.validate().expect("consistent");
}

/// Returns how many bytes of an arena differ from `value`.
#[cfg(not(any(miri, slab_sanitizer = "address", slab_sanitizer = "memory")))]
fn bytes_written(arena: &Arena, value: u8) -> usize {
    let region = arena.region();
    let start = region.cast::<u8>();
    // SAFETY: within the arena, whose bytes were all written before; no reference to them exists.
    (0..region.len()).filter(|&at| unsafe { start.add(at).read() } != value).count()
}

/// 32 bytes of bookkeeping a kibibyte, a little in advance, and a header.
#[test]
#[cfg(not(any(miri, slab_sanitizer = "address", slab_sanitizer = "memory")))]
fn bookkeeping_is_written_when_its_memory_is_first_used() {
    let arena = Arena::new(1024 * KIB, 0);
    let whole = arena.region();
    // SAFETY: the arena is ours, and no heap has it yet.
    unsafe { whole.cast::<u8>().write_bytes(0xA5, whole.len()) };
    let mut heap = heap_over(&arena);
    assert!(bytes_written(&arena, 0xA5) <= 200, "{}", bytes_written(&arena, 0xA5));
    heap.alloc(bytes(100)).expect("room");
    assert!(bytes_written(&arena, 0xA5) <= 800, "{}", bytes_written(&arena, 0xA5));
    heap.alloc(bytes(100 * KIB)).expect("room");
    heap.alloc(Layout::from_size_align(100, 64 * KIB).expect("valid")).expect("room");
    assert!(bytes_written(&arena, 0xA5) <= 200 + 300 * 32, "{}", bytes_written(&arena, 0xA5));
    heap.validate().expect("consistent");
}

#[test]
fn a_pointer_into_fresh_memory_is_no_live_block() {
    let arena = Arena::new(256 * KIB, 0);
    let mut heap = heap_over(&arena);
    let block = heap.alloc(bytes(100)).expect("room");
    // SAFETY: within the arena.
    let fresh = unsafe { block.add(200 * KIB) };
    let address = fresh.addr().get();
    for layout in [bytes(100), bytes(9 * KIB)] {
        // SAFETY: a checked heap refuses what is no live block.
        let refused = unsafe { heap.try_free(fresh, layout) };
        assert_eq!(refused, Err(Fault::NotLive { address }));
    }
    heap.validate().expect("consistent");
}

#[test]
fn all_of_a_region_can_be_had_from_one_end_to_the_other() {
    let kib = if cfg!(miri) { 24 } else { 300 };
    for size in [KIB, 3 * KIB, 7 * KIB] {
        let arena = Arena::new(kib * KIB, 0);
        let mut heap = heap_over(&arena);
        let whole = heap.largest_free();
        let mut blocks = Vec::new();
        while let Ok(block) = heap.alloc(bytes(size)) {
            blocks.push(block);
        }
        assert!(blocks.len() * size + size > whole, "{} blocks of {size}", blocks.len());
        for block in blocks {
            free(&mut heap, block, bytes(size));
        }
        heap.reclaim();
        assert_eq!(heap.largest_free(), whole);
        heap.alloc(bytes(whole)).expect("as in a fresh heap");
    }
}

#[test]
fn pages_at_an_address_in_fresh_memory_are_had() {
    let arena = Arena::new(256 * KIB, 0);
    let mut heap = heap_over(&arena);
    let first = heap.alloc_pages(1, 4096).expect("room");
    let start = first.addr().get() + 128 * KIB;
    let run = heap.alloc_pages_at(start, 2, 4096).expect("fresh");
    assert_eq!(run.addr().get(), start);
    heap.validate().expect("consistent");
    heap.alloc_pages_at(start + 8 * KIB, 1, 4096).expect("what follows is free");
    heap.alloc_pages_at(start - 4 * KIB, 1, 4096).expect("what comes before is free");
    heap.alloc_pages_at(start + 200 * KIB, 1, 4096).expect_err("beyond the region");
    heap.validate().expect("consistent");
}

#[test]
fn freed_runs_of_one_length_come_back_newest_first() {
    let arena = Arena::new(512 * KIB, 0);
    let mut heap = heap_over(&arena);
    let layout = bytes(9 * KIB);
    let blocks: Vec<_> = (0..30).map(|_| heap.alloc(layout).expect("room")).collect();
    for &block in &blocks[..20] {
        free(&mut heap, block, layout);
    }
    // The cache has room for few of them; the others were merged.
    let again: Vec<_> = (0..5).map(|_| heap.alloc(layout).expect("room")).collect();
    assert!(again.iter().all(|block| blocks[..20].contains(block)));
    for &block in &again {
        free(&mut heap, block, layout);
    }
    let newest: Vec<_> = (0..5).map(|_| heap.alloc(layout).expect("room")).collect();
    assert!(newest.iter().eq(again.iter().rev()));
}

/// Blocks of ever new lengths, each freed before the next: the heap stays as large as the longest.
#[test]
fn cached_runs_are_used_before_fresh_memory() {
    let arena = Arena::new(1024 * KIB, 0);
    let mut heap = heap_over(&arena);
    let anchor = heap.alloc(bytes(100)).expect("room");
    let mut highest = 0;
    let step = if cfg!(miri) { 9 } else { 1 };
    for round in 0..3 {
        for granules in (5..60).step_by(step) {
            let layout = bytes((granules + round) * KIB);
            let block = heap.alloc(layout).expect("room");
            highest = highest.max(block.addr().get() + layout.size() - anchor.addr().get());
            free(&mut heap, block, layout);
        }
    }
    assert!(highest < 200 * KIB, "{highest} bytes");
}
