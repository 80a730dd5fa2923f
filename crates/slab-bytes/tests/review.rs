//! Sequences that once broke a promise of the heap, or that alone would notice if one were broken.
#![expect(unsafe_code, reason = "uses raw memory")]

use std::alloc::Layout;
use std::ptr::NonNull;
use std::thread;

use slab_bytes::{Fault, SlabByteAllocator};
use slab_core::{Checked, Hardened, Mode};
use slab_testkit::Arena;
use slab_traits::{AllocError, BaseAllocator, ByteAllocator, PageAllocator};

const KIB: usize = 1024;

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a valid layout")
}

fn heap_over<M: Mode>(arena: &Arena) -> SlabByteAllocator<M> {
    let mut heap = SlabByteAllocator::new();
    // SAFETY: every test keeps its arena longer than its heap.
    unsafe { heap.add_region(arena.region()) }.expect("large enough");
    heap
}

fn fill<M: Mode>(heap: &mut SlabByteAllocator<M>, layout: Layout) -> Vec<NonNull<u8>> {
    std::iter::from_fn(|| heap.alloc(layout).ok()).collect()
}

fn free<M: Mode>(heap: &mut SlabByteAllocator<M>, block: NonNull<u8>, layout: Layout) {
    // SAFETY: live, and forgotten by the caller.
    unsafe { heap.try_free(block, layout) }.expect("live, with this layout");
    heap.validate().expect("consistent");
}

/// Two threads that only look must not make exclusive references; Miri sees them.
#[test]
fn threads_may_look_at_one_heap() {
    let arena = Arena::new(10 * KIB, 0);
    let mut heap = heap_over::<Checked>(&arena);
    let blocks = fill(&mut heap, layout(512, 1));
    free(&mut heap, blocks[0], layout(512, 1));
    free(&mut heap, blocks[8], layout(512, 1));
    let look = || {
        heap.validate().expect("consistent");
        heap.largest_free()
    };
    thread::scope(|scope| {
        let other = scope.spawn(look);
        assert_eq!(look(), other.join().expect("no panic"));
    });
}

/// The lines lie behind the header: where a `u64` is aligned beyond a pointer, so must the header be.
#[test]
fn bookkeeping_is_aligned_behind_the_granules_too() {
    for offset in [0, 4, 100, 1020] {
        let arena = Arena::new(5 * KIB, offset);
        let mut heap = heap_over::<Checked>(&arena);
        let block = heap.alloc(layout(100, 8)).expect("room");
        free(&mut heap, block, layout(100, 8));
    }
}

/// A slot borrowed from a larger class need not be aligned as that class's slots are.
#[test]
fn a_borrowed_slot_that_is_realigned_in_place_can_be_freed() {
    fn run<M: Mode>(lender: usize) {
        let arena = Arena::new(3 * KIB, 0);
        let mut heap = heap_over::<M>(&arena);
        let filled = fill(&mut heap, layout(lender, 16));
        // The fifth starts at a multiple of 64, which not all of its class do.
        for spare in filled.into_iter().take(5) {
            free(&mut heap, spare, layout(lender, 16));
            let (old, new) = (layout(56, 8), layout(56, 64));
            let borrowed = heap.alloc(old).expect("one slot is free");
            // SAFETY: live, with this layout.
            if let Ok(kept) = unsafe { heap.grow(borrowed, old, new) } {
                free(&mut heap, kept, new);
            } else {
                free(&mut heap, borrowed, old);
            }
            heap.alloc(layout(lender, 16)).expect("the slot is free again");
        }
    }
    run::<Checked>(80);
    run::<Hardened>(72);
}

#[test]
fn the_last_address_is_foreign() {
    let arena = Arena::new(4 * KIB, 0);
    let mut heap = heap_over::<Checked>(&arena);
    let last = NonNull::new(std::ptr::without_provenance_mut(usize::MAX)).expect("not null");
    // SAFETY: a checked heap compares the address, no more.
    let refused = unsafe { heap.try_free(last, layout(1, 1)) };
    assert_eq!(refused, Err(Fault::Foreign { address: usize::MAX }));
}

#[test]
fn the_largest_free_block_counts_kept_runs_and_slots() {
    let arena = Arena::new(16 * KIB, 0);
    let mut heap = heap_over::<Checked>(&arena);
    let whole = heap.largest_free();
    let block = heap.alloc(layout(whole, 1)).expect("the largest");
    assert_eq!(heap.largest_free(), 0);
    free(&mut heap, block, layout(whole, 1));
    assert_eq!(heap.largest_free(), whole, "the run is cached");

    heap.reclaim();
    let large = layout(4 * KIB, 1);
    let slots = fill(&mut heap, large);
    let single = fill(&mut heap, layout(2 * KIB, 1));
    assert!(!single.is_empty());
    free(&mut heap, slots[0], large);
    for block in single {
        free(&mut heap, block, layout(2 * KIB, 1));
    }
    heap.alloc(large).expect("a slot is free");
    free(&mut heap, slots[0], large);
    assert!(heap.largest_free() >= 4 * KIB, "{}", heap.largest_free());
}

/// The class holds all vacant slots of a new segment, which itself counts them as live.
#[test]
fn the_largest_free_block_counts_what_only_the_front_holds() {
    let arena = Arena::new(16 * KIB, 0);
    let mut heap = heap_over::<Checked>(&arena);
    heap.alloc(layout(64, 1)).expect("an empty heap");
    fill(&mut heap, layout(KIB, 1));
    assert_eq!(heap.largest_free(), 64);
}

#[test]
fn reclaim_says_how_many_bytes_it_returned() {
    let arena = Arena::new(64 * KIB, 0);
    let mut heap = heap_over::<Checked>(&arena);
    // An empty heap reclaims by itself.
    heap.alloc(layout(64, 1)).expect("room");
    let whole = heap.largest_free();
    for size in [512, 9 * KIB, 11 * KIB] {
        let block = heap.alloc(layout(size, 1)).expect("room");
        free(&mut heap, block, layout(size, 1));
    }
    // A segment of one granule, and two runs that are cached.
    assert_eq!(heap.reclaim(), (1 + 9 + 11) * KIB);
    assert_eq!(heap.reclaim(), 0);
    assert_eq!(heap.largest_free(), whole);
}

/// `Checked` does not watch the slack, so that a block may use its whole slot.
#[test]
#[cfg(not(any(miri, slab_sanitizer = "address", slab_sanitizer = "memory")))]
fn the_usable_size_is_that_of_the_slot() {
    let arena = Arena::new(64 * KIB, 0);
    let mut heap = heap_over::<Checked>(&arena);
    for (size, usable) in [(1, 16), (100, 112), (4096, 4096), (4097, 5 * KIB)] {
        let block = heap.alloc(layout(size, 1)).expect("room");
        // SAFETY: live, with this layout.
        assert_eq!(unsafe { heap.usable_size(block, layout(size, 1)) }, usable);
        free(&mut heap, block, layout(size, 1));
    }
}

#[test]
fn misuse_of_a_run_that_covers_old_segments_is_refused() {
    let arena = Arena::new(20 * KIB, 0);
    let mut heap = heap_over::<Checked>(&arena);
    for size in [16, 640, 3584] {
        let blocks = fill(&mut heap, layout(size, 1));
        for block in blocks {
            // SAFETY: live, and forgotten here.
            unsafe { heap.try_free(block, layout(size, 1)) }.expect("live");
        }
    }
    heap.reclaim();
    let small = heap.alloc(layout(640, 1)).expect("room");
    let large = heap.alloc(layout(9 * KIB, 1)).expect("room");
    for offset in (16..9 * KIB).step_by(if cfg!(miri) { 208 } else { 16 }) {
        // SAFETY: within the block.
        let inside = unsafe { large.add(offset) };
        for size in [16, 640, 3584, 9 * KIB] {
            // SAFETY: a checked heap refuses what is no live block.
            let refused = unsafe { heap.try_dealloc(inside, layout(size, 1)) };
            assert_eq!(refused, Err(AllocError::NotAllocated));
        }
    }
    free(&mut heap, large, layout(9 * KIB, 1));
    free(&mut heap, small, layout(640, 1));
}

/// Runs of eight and nine granules have a bin each; those of 66 and 67 share one.
#[test]
fn a_run_that_fits_is_found_behind_a_shorter_one() {
    for granules in [8, 66] {
        let arena = Arena::new((2 * granules + 8) * KIB + granules * KIB / 14, 0);
        let mut heap = heap_over::<Checked>(&arena);
        let (long, short) = (layout((granules + 1) * KIB, 1), layout(granules * KIB, 1));
        let one = layout(KIB, 1);
        let longer = heap.alloc(long).expect("room");
        heap.alloc(one).expect("room");
        let shorter = heap.alloc(short).expect("room");
        fill(&mut heap, one);
        for (block, layout) in [(longer, long), (shorter, short)] {
            free(&mut heap, block, layout);
            heap.reclaim();
        }
        assert_eq!(heap.alloc(long), Ok(longer));
        assert_eq!(heap.alloc(short), Ok(shorter));
    }
}

#[test]
fn a_block_grows_into_a_run_that_is_kept_behind_it() {
    let arena = Arena::new(32 * KIB, 0);
    let mut heap = heap_over::<Checked>(&arena);
    let (short, long) = (layout(9 * KIB, 1), layout(17 * KIB, 1));
    let block = heap.alloc(short).expect("room");
    let behind = heap.alloc(short).expect("room");
    free(&mut heap, behind, short);
    // SAFETY: live, with this layout.
    assert_eq!(unsafe { heap.grow(block, short, long) }, Ok(block));
    free(&mut heap, block, long);
}

#[test]
fn an_alignment_that_a_run_has_not_is_refused() {
    let arena = Arena::new(16 * KIB, 0);
    let mut heap = heap_over::<Checked>(&arena);
    let block = heap.alloc(layout(5 * KIB, 1)).expect("room");
    let beyond = 2 << block.addr().get().trailing_zeros();
    // SAFETY: a checked heap refuses a layout that does not fit.
    let refused = unsafe { heap.try_dealloc(block, layout(5 * KIB, beyond)) };
    assert_eq!(refused, Err(AllocError::InvalidParam));
    free(&mut heap, block, layout(5 * KIB, 1));

    let page = heap.alloc_pages(1, 1).expect("room");
    let address = page.addr().get();
    // SAFETY: live, and forgotten here.
    unsafe { heap.dealloc_pages(page, 1) }.expect("live");
    let beyond = 2 << address.trailing_zeros();
    assert_eq!(heap.alloc_pages_at(address, 1, beyond), Err(AllocError::InvalidParam));
    heap.alloc_pages_at(address, 1, 1).expect("free");
}

#[test]
fn an_aligned_block_is_found_behind_runs_that_are_long_enough_but_lie_wrong() {
    let arena = Arena::new(160 * KIB, 0);
    let mut heap = heap_over::<Checked>(&arena);
    let (nine, aligned) = (layout(9 * KIB, 1), layout(9 * KIB, 16 * KIB));
    let blocks = fill(&mut heap, nine);
    let mut unaligned = (5..).filter(|&at| !blocks[at].addr().get().is_multiple_of(16 * KIB));
    let wrong = unaligned.next().expect("one of many");
    for at in [1, 2, 3, wrong] {
        free(&mut heap, blocks[at], nine);
    }
    heap.reclaim();
    let block = heap.alloc(aligned).expect("three blocks in a row were freed");
    assert!(block.addr().get().is_multiple_of(16 * KIB));
    assert!((blocks[1]..blocks[4]).contains(&block));
}

#[test]
fn what_lies_behind_the_last_slot_of_a_segment_is_no_slot() {
    let arena = Arena::new(5 * KIB, 0);
    let mut heap = heap_over::<Checked>(&arena);
    let slot = layout(2560, 1);
    let block = heap.alloc(slot).expect("room for one");
    assert_eq!(fill(&mut heap, slot), []);
    // SAFETY: the segment has three granules.
    let behind = unsafe { block.add(2560) };
    // SAFETY: a checked heap refuses what is no live block.
    let refused = unsafe { heap.try_free(behind, slot) };
    assert_eq!(refused, Err(Fault::NotLive { address: behind.addr().get() }));
    free(&mut heap, block, slot);
}

#[test]
fn regions_may_touch_on_either_side() {
    let arena = Arena::new(12 * KIB, 0);
    let mut heap: SlabByteAllocator = SlabByteAllocator::new();
    for part in [1, 0, 2] {
        // SAFETY: within the arena.
        let start = unsafe { arena.region().cast::<u8>().add(part * 4 * KIB) };
        // SAFETY: a third of the arena, which outlives the heap.
        unsafe { heap.add_region(NonNull::slice_from_raw_parts(start, 4 * KIB)) }.expect("free");
    }
    heap.validate().expect("consistent");
    assert_eq!(heap.total_bytes(), 12 * KIB);
}
