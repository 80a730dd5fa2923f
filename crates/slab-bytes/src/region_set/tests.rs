//! The tree stays shallow whatever the order of the regions.
#![expect(unsafe_code, reason = "gives regions away")]

use core::ptr::NonNull;
use std::vec::Vec;

use slab_testkit::Arena;

use super::*;
use crate::class::GRANULE_BYTES;
use crate::region_index::{FEW, Indexed};

/// Returns the regions and the depth of the tree that regions in this order make, and asserts that
/// the set finds each by each of its edges.
fn depth_of(regions: &[NonNull<[u8]>]) -> usize {
    fn depth(root: Option<RegionRef>) -> usize {
        root.map_or(0, |region| 1 + region.children().map(depth).into_iter().max().unwrap_or(0))
    }
    let mut set = RegionSet::new();
    for &region in regions {
        // SAFETY: the arena outlives the set and is used through it alone.
        set.insert(unsafe { RegionRef::create(region) }.expect("large enough"));
    }
    for &region in regions {
        let (start, size) = (region.cast::<u8>().addr().get(), region.len());
        for at in [start, start + size - 1] {
            assert_eq!(set.overlapping(at, 1).map(RegionRef::start), Some(start));
        }
    }
    let mut in_order = Vec::new();
    set.for_each(|region| in_order.push(region.start()));
    assert!(in_order.is_sorted() && in_order.len() == regions.len());
    depth(set.index.any())
}

/// A random tree of 1000 is about 22 deep, hardly ever beyond 35.
#[test]
fn no_order_of_insertion_makes_a_deep_tree() {
    let count = if cfg!(miri) { 100 } else { 1000 };
    let bytes = 3 * GRANULE_BYTES;
    let arena = Arena::new(count * bytes, 0);
    let part = |nth: usize| {
        // SAFETY: within the arena.
        let start = unsafe { arena.region().cast::<u8>().add(nth * bytes) };
        NonNull::slice_from_raw_parts(start, bytes)
    };
    let ascending: Vec<_> = (0..count).map(part).collect();
    let descending: Vec<_> = (0..count).rev().map(part).collect();
    let jumping: Vec<_> = (0..count).map(|nth| part(nth * 7 % count)).collect();
    for order in [ascending, descending, jumping] {
        let depth = depth_of(&order);
        assert!(depth < 36, "{depth}");
    }
}

/// The table serves as many regions as it holds, the tree any further ones, and neither finds a region elsewhere.
#[test]
fn a_region_is_found_at_its_edges_and_not_beside_them() {
    let (bytes, distance) = (3 * GRANULE_BYTES, 4 * GRANULE_BYTES);
    for count in [1, 2, 3, FEW - 1, FEW, FEW + 1, FEW + 2] {
        // A step that divides the count would meet some places twice and others never.
        for step in [1, 5, 7].into_iter().filter(|&step| step == 1 || count % step != 0) {
            let arena = Arena::new((count + 1) * distance, 0);
            let start = arena.region().cast::<u8>().addr().get();
            let mut set = RegionSet::new();
            for nth in 0..count {
                let at = (nth * step % count) * distance;
                // SAFETY: within the arena.
                let part = unsafe { arena.region().cast::<u8>().add(at + GRANULE_BYTES) };
                let part = NonNull::slice_from_raw_parts(part, bytes);
                // SAFETY: the arena outlives the set and is used through it alone.
                set.insert(unsafe { RegionRef::create(part) }.expect("large enough"));
            }
            assert_eq!(set.region_at(0), None);
            assert_eq!(set.region_at(usize::MAX), None);
            for nth in 0..count {
                let first = start + nth * distance + GRANULE_BYTES;
                let found = |at: usize| set.region_at(at).map(RegionRef::start);
                assert_eq!(found(first - 1), None, "{count} {step} {nth}");
                assert_eq!(found(first), Some(first), "{count} {step} {nth}");
                assert_eq!(found(first + bytes - 1), Some(first), "{count} {step} {nth}");
                assert_eq!(found(first + bytes), None, "{count} {step} {nth}");
            }
        }
    }
}

#[test]
fn regions_leave_in_any_order() {
    let count = if cfg!(miri) { 20 } else { 200 };
    let bytes = 3 * GRANULE_BYTES;
    let arena = Arena::new(count * bytes, 0);
    for step in [1, 7, count - 1, 3] {
        let mut set = RegionSet::new();
        let regions: Vec<_> = (0..count)
            .map(|nth| {
                // SAFETY: within the arena.
                let start = unsafe { arena.region().cast::<u8>().add(nth * bytes) };
                // SAFETY: the arena outlives the set and is used through it alone.
                unsafe { RegionRef::create(NonNull::slice_from_raw_parts(start, bytes)) }
            })
            .map(|region| region.expect("large enough"))
            .collect();
        regions.iter().for_each(|&region| set.insert(region));
        for nth in 0..count {
            let region = regions[nth * step % count];
            let start = region.start();
            assert_eq!(set.region_at(start), Some(region));
            set.remove(region);
            assert_eq!(set.region_at(start), None);
            assert_eq!(set.hot().offset_of(region.granules().addr().get()), None);
            let mut in_order = Vec::new();
            set.for_each(|region| in_order.push(region.start()));
            assert!(in_order.is_sorted() && in_order.len() == count - nth - 1);
            assert_eq!(set.fresh().count(), count - nth - 1);
        }
        assert_eq!(set.fresh_granules(), 0);
    }
}

#[test]
fn regions_at_equal_distances_are_as_often_in_order_as_not() {
    for distance in [0x1038, 0x10_0000, 0x12_5000, 0x22_D000] {
        let priorities = (1..1000).map(|nth| slab_core::mix64(nth * distance));
        let ascents = priorities.clone().zip(priorities.skip(1)).filter(|(a, b)| a < b).count();
        assert!((400..600).contains(&ascents), "{distance:#x}: {ascents} of 998");
    }
}
