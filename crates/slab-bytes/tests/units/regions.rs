//! Regions: small ones, several, and ones that leave; and blocks that change their length.

use std::alloc::Layout;
use std::ptr::NonNull;

use slab_bytes::{Bounded, Compact, Policy, UnitByteAllocator};
use slab_testkit::Arena;
use slab_traits::{BaseAllocator, ByteAllocator, RegionError};

fn bytes(size: usize) -> Layout {
    Layout::from_size_align(size, 1).expect("small")
}

fn smallest<P: Policy>() -> usize {
    let arena = Arena::new(4096, 0);
    let start = arena.region().cast::<u8>();
    for size in 0..4096 {
        let mut heap = UnitByteAllocator::<P>::with_policy();
        let region = NonNull::slice_from_raw_parts(start, size);
        // SAFETY: the arena outlives the heap and is used through it alone.
        match unsafe { heap.add_region(region) } {
            Err(RegionError::TooSmall { required, size: told, .. }) => {
                assert!(told == size && required > size, "{required} for {size}");
            }
            outcome => {
                outcome.expect("no other refusal");
                let block = heap.alloc(bytes(16)).expect("room for one block");
                // SAFETY: live, and not used again.
                unsafe { heap.dealloc(block, bytes(16)) };
                return size;
            }
        }
    }
    panic!("no region is large enough");
}

#[test]
fn regions_of_little_more_than_a_hundred_bytes_are_enough() {
    assert_eq!((smallest::<Bounded>(), smallest::<Compact>()), (112, 112));
}

/// The map and the header are at most 2.4 % of a region and 128 bytes.
#[test]
fn the_bookkeeping_is_small() {
    for size in (1024..200_000).step_by(777).chain([1 << 20, 10 << 20]) {
        let arena = Arena::new(size, size % 16);
        let mut heap = UnitByteAllocator::new();
        // SAFETY: the arena outlives the heap and is used through it alone.
        unsafe { heap.add_region(arena.region()) }.expect("large enough");
        let most = size * 24 / 1000 + 128;
        assert!(heap.metadata_bytes() <= most, "{size}: {}", heap.metadata_bytes());
    }
}

fn several<P: Policy>() {
    let count = if cfg!(miri) { 5 } else { 40 };
    let arenas: Vec<Arena> = (0..count).map(|nth| Arena::new(2000 + nth * 500, nth)).collect();
    let mut heap = UnitByteAllocator::<P>::with_policy();
    let mut live = Vec::new();
    for arena in &arenas {
        // SAFETY: the arena outlives the heap and is used through it alone.
        unsafe { heap.add_region(arena.region()) }.expect("large enough");
        // SAFETY: the heap refuses a region that it has.
        let again = unsafe { heap.add_region(arena.region()) };
        assert!(matches!(again, Err(RegionError::Overlap { .. })), "{again:?}");
        let block = heap.alloc(bytes(1000)).expect("room");
        live.push((block, bytes(1000)));
    }
    while let Ok(block) = heap.alloc(bytes(500)) {
        live.push((block, bytes(500)));
    }
    // The fresh units of the earlier regions were used too.
    assert!(live.len() > 2 * count, "{}", live.len());
    heap.validate().expect("consistent");
    let start_of = |arena: &Arena| arena.region().cast::<u8>().addr().get();
    assert_eq!(heap.remove_region(start_of(&arenas[1])), None, "it has live blocks");
    for nth in 0..live.len() {
        let (block, layout) = live[nth * 7 % live.len()];
        if !live.len().is_multiple_of(7) {
            // SAFETY: each is met once, because 7 and their number have no common factor.
            unsafe { heap.try_free(block, layout) }.expect("live");
        }
    }
    if live.len().is_multiple_of(7) {
        for (block, layout) in live {
            // SAFETY: live, and not used again.
            unsafe { heap.try_free(block, layout) }.expect("live");
        }
    }
    assert_eq!(heap.used_bytes(), 0);
    for arena in &arenas {
        assert_eq!(heap.remove_region(start_of(arena) + 1), None, "no region starts there");
        assert_eq!(heap.remove_region(start_of(arena)), Some(arena.region()));
        heap.validate().expect("consistent");
    }
    assert_eq!((heap.total_bytes(), heap.metadata_bytes()), (0, 0));
    assert!(heap.alloc(bytes(1)).is_err());
}

#[test]
fn regions_come_and_leave() {
    several::<Compact>();
    several::<Bounded>();
}

#[test]
fn a_large_block_is_cut_and_put_together_again() {
    let size = if cfg!(miri) { 20_000 } else { 3 << 20 };
    let arena = Arena::new(size + size / 10, 0);
    let mut heap = UnitByteAllocator::<Bounded>::with_policy();
    // SAFETY: the arena outlives the heap and is used through it alone.
    unsafe { heap.add_region(arena.region()) }.expect("large enough");
    let large = heap.alloc(bytes(size)).expect("room");
    let behind = heap.alloc(bytes(16)).expect("room");
    // SAFETY: live.
    let shrunk = unsafe { heap.shrink(large, bytes(size), bytes(size / 3)) }.expect("in place");
    assert_eq!(shrunk, large);
    heap.validate().expect("consistent");
    let parts: Vec<_> =
        (0..10).map(|nth| (heap.alloc(bytes(size / 20 + nth)).expect("room"), nth)).collect();
    assert!(parts.iter().all(|(part, _)| part.addr() < behind.addr()), "the rest was used");
    for &(part, nth) in parts.iter().step_by(2).chain(parts.iter().skip(1).step_by(2)) {
        // SAFETY: live, and not used again.
        unsafe { heap.try_free(part, bytes(size / 20 + nth)) }.expect("live");
        heap.validate().expect("consistent");
    }
    // SAFETY: live.
    let grown = unsafe { heap.grow(shrunk, bytes(size / 3), bytes(size)) }.expect("in place");
    assert_eq!(grown, large);
    // SAFETY: live; there is no more room behind it.
    let moved = unsafe { heap.resize_in_place(grown, bytes(size), bytes(size + 16)) };
    assert_eq!(moved, Err(slab_traits::AllocError::NoMemory));
    heap.validate().expect("consistent");
}

/// The last unit of the region added last was used, so that it has no fresh units.
#[test]
fn a_full_region_leaves_when_it_is_empty_again() {
    let arena = Arena::new(4096, 0);
    let mut heap = UnitByteAllocator::new();
    // SAFETY: the arena outlives the heap and is used through it alone.
    unsafe { heap.add_region(arena.region()) }.expect("large enough");
    let blocks: Vec<_> = core::iter::from_fn(|| heap.alloc(bytes(16)).ok()).collect();
    for block in blocks {
        // SAFETY: live, and not used again.
        unsafe { heap.dealloc(block, bytes(16)) };
    }
    let start = arena.region().cast::<u8>().addr().get();
    assert_eq!(heap.remove_region(start), Some(arena.region()));
    heap.validate().expect("consistent");
}
