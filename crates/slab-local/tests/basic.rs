//! Blocks of all kinds on one thread: classes, large ones, other regions, resizing, and heaps without magazines.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "allocates and frees raw blocks")]

mod common;

use std::alloc::GlobalAlloc;
use std::collections::HashSet;
use std::ptr::NonNull;

use common::{Heap, alloc, assert_all_free, free, give, heap, layout};
use slab_bytes::SlabByteAllocator;
use slab_core::Hardened;
use slab_local::{LocalHeap, Magazines, Seat};

/// Memory of the depots and the magazines, at most.
const INTERNAL: usize = 400 << 10;

/// A seat that never has magazines.
struct NoSeat;

// SAFETY: passes no magazines.
unsafe impl Seat for NoSeat {
    fn with<T>(&self, _: impl FnOnce(&mut Magazines) -> T) -> Option<T> {
        None
    }
}

#[test]
fn a_freed_block_is_the_next_one_and_neighbours_follow() {
    let heap = heap!(1 << 20);
    let layout = layout(64, 8);
    let block = alloc(heap, layout).unwrap();
    free(heap, block, layout);
    assert_eq!(alloc(heap, layout), Some(block));
    let mut last = block;
    for _ in 0..10 {
        let next = alloc(heap, layout).unwrap();
        assert_eq!(next.addr().get() - last.addr().get(), 64, "blocks of a batch lie in a row");
        last = next;
    }
}

#[test]
#[cfg_attr(miri, ignore = "slow; the others and the tests of threads take the same paths")]
fn all_sizes_and_alignments_are_served_and_come_back() {
    let heap = heap!(2 << 20);
    let mut blocks = Vec::new();
    for align in (0..=13).map(|log2| 1_usize << log2) {
        for size in [1, 7, 16, 17, 100, 128, 129, 500, 1000, 1024, 4000, 4096, 4097, 9000] {
            let layout = layout(size, align);
            let block = alloc(heap, layout).unwrap_or_else(|| panic!("{layout:?}"));
            assert!(block.addr().get().is_multiple_of(align), "{layout:?}");
            // SAFETY: the block has so many bytes.
            unsafe { block.write_bytes(align as u8, size) };
            blocks.push((block, layout));
        }
    }
    for (block, layout) in blocks {
        // SAFETY: the block was filled.
        let bytes = unsafe { NonNull::slice_from_raw_parts(block, layout.size()).as_ref() };
        assert!(bytes.iter().all(|&byte| byte == layout.align() as u8), "{layout:?}");
        free(heap, block, layout);
    }
    assert_all_free(heap, INTERNAL);
}

#[test]
#[cfg_attr(miri, ignore = "slow; the others and the tests of threads take the same paths")]
fn more_blocks_than_magazines_hold_pass_through_the_depot_and_the_heap() {
    let heap = heap!(4 << 20);
    for size in [16, 64, 1000, 4096] {
        let layout = layout(size, 8);
        let count = if cfg!(miri) { 150 } else { (1 << 20) / size.next_multiple_of(16) };
        let mut seen = HashSet::new();
        for _ in 0..3 {
            let blocks: Vec<_> = (0..count).map(|_| alloc(heap, layout).unwrap()).collect();
            seen.extend(blocks.iter().copied());
            assert_eq!(HashSet::<_>::from_iter(&blocks).len(), count, "all are different");
            for block in blocks {
                free(heap, block, layout);
            }
        }
        assert!(seen.len() < count + count / 2, "{size}: memory is used again");
    }
    assert_all_free(heap, INTERNAL);
}

#[test]
fn resized_blocks_keep_their_content() {
    let heap = heap!(1 << 20);
    let mut size = 10;
    let mut block = alloc(heap, layout(size, 4)).unwrap();
    // SAFETY: the block has ten bytes.
    unsafe { block.write_bytes(7, size) };
    for new_size in [12, 16, 17, 200, 4096, 5000, 20_000, 6000, 4000, 100, 20, 15] {
        // SAFETY: live, with this layout.
        let moved = unsafe { heap.realloc(block.as_ptr(), layout(size, 4), new_size) };
        block = NonNull::new(moved).unwrap();
        size = new_size;
        // SAFETY: the block was filled and is at least that long.
        let bytes = unsafe { NonNull::slice_from_raw_parts(block, 10).as_ref() };
        assert_eq!(bytes, [7; 10], "{new_size}");
    }
    free(heap, block, layout(size, 4));
    assert_all_free(heap, INTERNAL);
}

#[test]
fn zeroed_blocks_are_zero() {
    let heap = heap!(1 << 20);
    for size in [50, 5000] {
        let layout = layout(size, 8);
        for _ in 0..2 {
            // SAFETY: the layout is not empty.
            let block = NonNull::new(unsafe { heap.alloc_zeroed(layout) }).unwrap();
            // SAFETY: the block has so many zeroed bytes.
            let bytes = unsafe { NonNull::slice_from_raw_parts(block, size).as_mut() };
            assert!(bytes.iter().all(|&byte| byte == 0));
            bytes.fill(1);
            free(heap, block, layout);
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "slow; the others and the tests of threads take the same paths")]
fn blocks_of_several_regions_wait_in_the_same_magazines() {
    let heap = heap!(32 << 10);
    for _ in 0..3 {
        give(heap, 8 << 10);
    }
    let layout = layout(64, 8);
    let mut blocks = Vec::new();
    for _ in 0..3 {
        while let Some(block) = alloc(heap, layout) {
            blocks.push(block);
        }
        // SAFETY: the heap is only looked at.
        let left =
            unsafe { heap.with_inner(|inner| slab_traits::ByteAllocator::available_bytes(inner)) };
        assert!(blocks.len() > 450 && left < 64, "{} blocks, {left} bytes left", blocks.len());
        for block in blocks.drain(..) {
            free(heap, block, layout);
        }
    }
    assert_all_free(heap, 20 << 10);
}

#[test]
#[cfg_attr(miri, ignore = "slow; the others and the tests of threads take the same paths")]
fn a_region_without_a_map_serves_blocks_too() {
    let heap = heap!(16 << 10);
    for _ in 0..20 {
        give(heap, 16 << 10);
    }
    give(heap, 3000);
    let layout = layout(1000, 8);
    let blocks: Vec<_> = std::iter::from_fn(|| alloc(heap, layout)).collect();
    assert!(blocks.len() > 300 * 9 / 10, "{}", blocks.len());
    for block in blocks {
        free(heap, block, layout);
    }
    assert_all_free(heap, 20 << 10);
}

#[test]
fn a_heap_without_memory_asks_its_hook() {
    slab_local::thread_seat! {
        struct TestSeat;
    }
    static HEAP: Heap<TestSeat> =
        LocalHeap::with_hook(SlabByteAllocator::new(), TestSeat, |heap, _| {
            if heap.total_bytes() == 0 {
                give(heap, 64 << 10);
            }
            true
        });
    assert_eq!(HEAP.used_bytes(), 0);
    let block = alloc(&HEAP, layout(100, 8)).expect("the hook gives memory");
    assert_eq!(
        alloc(&HEAP, layout(100_000, 8)),
        None,
        "a hook that adds nothing is asked once more"
    );
    free(&HEAP, block, layout(100, 8));
}

#[test]
#[cfg_attr(miri, ignore = "slow; the others and the tests of threads take the same paths")]
fn blocks_that_wait_are_given_back_before_a_request_fails() {
    let heap = heap!(256 << 10);
    let small = layout(64, 8);
    let blocks: Vec<_> = std::iter::from_fn(|| alloc(heap, small)).collect();
    assert!(blocks.len() > 3000, "{}", blocks.len());
    for block in blocks {
        free(heap, block, small);
    }
    // Depot storage and magazines stay.
    let large = alloc(heap, layout(200 << 10, 8)).expect("waiting blocks make room");
    free(heap, large, layout(200 << 10, 8));
}

#[test]
#[cfg_attr(miri, ignore = "slow; the others and the tests of threads take the same paths")]
fn a_heap_without_a_seat_works_without_magazines() {
    static HEAP: Heap<NoSeat> = LocalHeap::new(SlabByteAllocator::new(), NoSeat);
    give(&HEAP, 64 << 10);
    for size in [100, 5000] {
        let layout = layout(size, 8);
        let blocks: Vec<_> = std::iter::from_fn(|| alloc(&HEAP, layout)).collect();
        assert!(blocks.len() * size > 40_000);
        for block in blocks {
            free(&HEAP, block, layout);
        }
        assert_all_free(&HEAP, 0);
    }
}

#[test]
fn a_second_heap_with_the_same_seat_works_without_magazines() {
    slab_local::thread_seat! {
        struct TestSeat;
    }
    static FIRST: Heap<TestSeat> = LocalHeap::new(SlabByteAllocator::new(), TestSeat);
    static SECOND: Heap<TestSeat> = LocalHeap::new(SlabByteAllocator::new(), TestSeat);
    give(&FIRST, 64 << 10);
    give(&SECOND, 64 << 10);
    let layout = layout(100, 8);
    let blocks = [&FIRST, &SECOND, &FIRST, &SECOND].map(|heap| alloc(heap, layout).unwrap());
    for (heap, block) in [&FIRST, &SECOND, &FIRST, &SECOND].into_iter().zip(blocks) {
        free(heap, block, layout);
    }
    assert!(FIRST.used_bytes() > 0, "blocks wait in magazines");
    assert_eq!(SECOND.used_bytes(), 0, "no block waits");
}

#[test]
fn a_hardened_heap_keeps_its_canaries() {
    let heap = heap!(1 << 20, Hardened);
    let layout = layout(100, 8);
    for _ in 0..3 {
        let blocks: Vec<_> = (0..200).map(|_| alloc(heap, layout).unwrap()).collect();
        for block in blocks {
            // SAFETY: the block has so many bytes.
            unsafe { block.write_bytes(1, 100) };
            free(heap, block, layout);
        }
    }
    assert_all_free(heap, INTERNAL);
}
