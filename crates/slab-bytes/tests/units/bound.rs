//! Regions of the size that `region_for` returns never refuse.

use std::alloc::Layout;
use std::ptr::NonNull;

use slab_bytes::{Bounded, Compact, Policy, UnitByteAllocator};
use slab_core::mix64;
use slab_testkit::Arena;
use slab_traits::{BaseAllocator, ByteAllocator};

/// The promise that a region is made for.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    live_bytes: usize,
    blocks: usize,
    block_bytes: usize,
    align: usize,
}

/// A program that keeps the bounds, and tries to leave holes that are one unit too short.
struct Adversary<P: Policy> {
    heap: UnitByteAllocator<P>,
    live: Vec<(NonNull<u8>, Layout)>,
    live_bytes: usize,
    bounds: Bounds,
    refused: usize,
}

impl<P: Policy> Adversary<P> {
    fn alloc(&mut self, size: usize, align: usize) -> bool {
        let size = size.min(self.bounds.block_bytes);
        if self.live.len() == self.bounds.blocks || self.live_bytes + size > self.bounds.live_bytes
        {
            return false;
        }
        let layout = Layout::from_size_align(size, align.min(self.bounds.align)).expect("small");
        match self.heap.alloc(layout) {
            Ok(block) => {
                self.live.push((block, layout));
                self.live_bytes += size;
                true
            }
            Err(_) => {
                self.refused += 1;
                false
            }
        }
    }

    fn free(&mut self, nth: usize) {
        let (block, layout) = self.live.swap_remove(nth);
        self.live_bytes -= layout.size();
        // SAFETY: live, with this layout.
        unsafe { self.heap.dealloc(block, layout) };
    }

    /// Fills the heap with blocks of one size, then frees all but every `nth` one in the order of their addresses.
    fn comb(&mut self, size: usize, nth: usize) {
        while self.alloc(size, 1) {}
        self.live.sort_by_key(|(block, _)| block.addr());
        for at in (0..self.live.len()).rev().filter(|at| !at.is_multiple_of(nth)) {
            let (block, layout) = self.live.remove(at);
            self.live_bytes -= layout.size();
            // SAFETY: live, with this layout.
            unsafe { self.heap.dealloc(block, layout) };
        }
    }
}

/// Runs programs in a region of so many bytes, and returns how many requests were refused.
fn refused_in<P: Policy>(bytes: usize, bounds: Bounds, shift: usize) -> usize {
    let arena = Arena::new(bytes, shift);
    let mut heap = UnitByteAllocator::<P>::with_policy();
    // SAFETY: the arena outlives the heap and is used through it alone.
    unsafe { heap.add_region(arena.region()) }.expect("large enough");
    let mut one = Adversary { heap, live: Vec::new(), live_bytes: 0, bounds, refused: 0 };
    let rounds = if cfg!(miri) { 2 } else { 40 };
    for round in 0..rounds {
        let random = |nth: u64, below: usize| (mix64(round * 1000 + nth) % below as u64) as usize;
        // Ever larger blocks between the teeth of a comb, as in the proof that such bounds are needed.
        let mut size = 1 + random(0, 32);
        while size <= bounds.block_bytes {
            one.comb(size, 2 + random(1, 3));
            size = size * 2 + random(2, 8);
        }
        one.alloc(bounds.block_bytes, bounds.align);
        for nth in 0..if cfg!(miri) { 30 } else { 2000 } {
            if random(nth * 3 + 10, 3) > 0 || one.live.is_empty() {
                let size = 1 + random(nth * 3 + 11, bounds.block_bytes);
                one.alloc(size, 1 << random(nth * 3 + 12, 8));
            } else {
                one.free(random(nth * 3 + 11, one.live.len()));
            }
        }
        while !one.live.is_empty() {
            one.free(random(3, one.live.len()));
        }
    }
    one.heap.validate().expect("consistent");
    one.refused
}

const BOUNDS: [Bounds; 4] = [
    Bounds { live_bytes: 4096, blocks: 64, block_bytes: 512, align: 16 },
    Bounds { live_bytes: 10_000, blocks: 50, block_bytes: 1000, align: 128 },
    Bounds { live_bytes: 60_000, blocks: 40, block_bytes: 5000, align: 16 },
    Bounds { live_bytes: 1, blocks: 1, block_bytes: 1, align: 1 },
];

fn nothing_is_refused<P: Policy>() {
    for bounds in BOUNDS {
        let Bounds { live_bytes, blocks, block_bytes, align } = bounds;
        let bytes = UnitByteAllocator::<P>::region_for(live_bytes, blocks, block_bytes, align);
        let bytes = bytes.expect("not too much");
        for shift in [0, 1, 7, 15] {
            assert_eq!(refused_in::<P>(bytes, bounds, shift), 0, "{bounds:?}");
        }
    }
}

#[test]
fn a_bounded_heap_in_its_region_refuses_nothing() {
    nothing_is_refused::<Bounded>();
}

#[test]
fn a_compact_heap_in_its_region_refuses_nothing() {
    nothing_is_refused::<Compact>();
}

#[test]
#[cfg_attr(miri, ignore = "needs many rounds")]
fn the_adversary_finds_regions_that_are_too_small() {
    for bounds in &BOUNDS[..3] {
        // The live blocks need that much, but for the half that is added.
        let bytes = bounds.live_bytes * 3 / 2 + bounds.blocks * 16;
        assert!(refused_in::<Bounded>(bytes, *bounds, 0) > 0, "{bounds:?}");
        assert!(refused_in::<Compact>(bytes, *bounds, 0) > 0, "{bounds:?}");
    }
}

#[test]
fn impossible_bounds_have_no_region() {
    let region_for = UnitByteAllocator::<Bounded>::region_for;
    assert_eq!(region_for(usize::MAX, usize::MAX, usize::MAX, 16), None);
    assert_eq!(region_for(1 << 30, 10, 1 << 40, 16), None);
    assert_eq!(region_for(1, 1, 1, 48), None);
    assert_eq!(region_for(0, 0, 0, 3), None);
    assert_eq!(region_for(0, 0, 0, 1), region_for(0, 1, 0, 1));
    assert!(region_for(896 << 20, 1, 896 << 20, 16).is_some());
    assert_eq!(region_for(900 << 20, 1, 900 << 20, 16), None);
}
