//! Regions that grow, shrink and leave while blocks are live, and free pages that are given back.
#![expect(unsafe_code, reason = "uses raw memory")]

use std::alloc::Layout;
use std::ptr::NonNull;

use slab_bytes::{Fault, SlabByteAllocator};
use slab_core::{Checked, Exhaustive, Hardened, Mode, Unchecked, mix64};
use slab_testkit::Arena;
use slab_traits::{BaseAllocator, ByteAllocator, PageAllocator, RegionError};

const KIB: usize = 1024;

fn bytes(size: usize) -> Layout {
    Layout::from_size_align(size, 1).expect("a valid layout")
}

/// Returns `size` bytes of an arena from an offset on.
fn part(arena: &Arena, offset: usize, size: usize) -> NonNull<[u8]> {
    assert!(offset + size <= arena.region().len());
    // SAFETY: within the arena.
    let start = unsafe { arena.region().cast::<u8>().add(offset) };
    NonNull::slice_from_raw_parts(start, size)
}

fn start_of(memory: NonNull<[u8]>) -> usize {
    memory.cast::<u8>().addr().get()
}

fn heap_over<M: Mode>(memory: NonNull<[u8]>) -> SlabByteAllocator<M> {
    let mut heap = SlabByteAllocator::new();
    // SAFETY: every test keeps its arena longer than its heap.
    unsafe { heap.add_region(memory) }.expect("large enough");
    heap
}

fn extend<M: Mode>(
    heap: &mut SlabByteAllocator<M>,
    memory: NonNull<[u8]>,
) -> Result<(), RegionError> {
    // SAFETY: the memory is a part of an arena that outlives the heap, by a pointer to all of it.
    let outcome = unsafe { heap.extend_region(memory) };
    heap.validate().expect("consistent");
    outcome
}

/// A block and the byte that fills it.
struct Live {
    block: NonNull<u8>,
    layout: Layout,
    fill: u8,
}

impl Live {
    fn alloc<M: Mode>(heap: &mut SlabByteAllocator<M>, layout: Layout, fill: u8) -> Option<Self> {
        let block = heap.alloc(layout).ok()?;
        // SAFETY: a new block of so many bytes.
        unsafe { block.write_bytes(fill, layout.size()) };
        Some(Self { block, layout, fill })
    }

    fn check(&self) {
        // SAFETY: a live block of so many bytes, all of them written.
        let bytes = unsafe { std::slice::from_raw_parts(self.block.as_ptr(), self.layout.size()) };
        assert!(bytes.iter().all(|&byte| byte == self.fill), "{:?}", self.block);
    }

    fn free<M: Mode>(self, heap: &mut SlabByteAllocator<M>) {
        self.check();
        // SAFETY: live, with this layout.
        unsafe { heap.try_free(self.block, self.layout) }.expect("live");
    }
}

#[test]
fn a_block_spans_both_parts_of_a_region_that_has_grown() {
    for offset in if cfg!(miri) { &[24][..] } else { &[0, 24, 1000] } {
        let arena = Arena::new(128 * KIB, *offset);
        let size = arena.region().len();
        let mut heap = heap_over::<Checked>(part(&arena, 0, size / 2));
        let sizes = [1, 60, 700, 5000, 100, 9000];
        let mut live: Vec<_> =
            sizes.map(|size| Live::alloc(&mut heap, bytes(size), 7).expect("room")).into();
        live.remove(3).free(&mut heap);
        heap.alloc(bytes(80 * KIB)).expect_err("too large for one half");
        extend(&mut heap, arena.region()).expect("one arena");
        assert_eq!(heap.total_bytes(), size);
        assert!(
            heap.metadata_bytes() <= size / 1000 * 32 + 512 + 1024,
            "{}",
            heap.metadata_bytes()
        );
        let large = Live::alloc(&mut heap, bytes(80 * KIB), 9).expect("both halves are one");
        for block in live {
            block.free(&mut heap);
        }
        large.free(&mut heap);
        assert_eq!(heap.used_bytes(), 0);
        // It serves what a heap over all of the memory serves.
        let largest = |heap: &SlabByteAllocator| heap.largest_free();
        heap.reclaim();
        let fresh = heap_over::<Checked>(Arena::new(128 * KIB, *offset).region()).largest_free();
        assert!(largest(&heap) + 2 * KIB > fresh, "{} of {fresh}", largest(&heap));
    }
}

#[test]
fn a_region_that_grows_again_and_again_loses_no_memory() {
    let arena = Arena::new(256 * KIB, 0);
    let mut heap = heap_over::<Checked>(part(&arena, 0, 8 * KIB));
    let mut live = Vec::new();
    let step = if cfg!(miri) { 61 } else { 4 };
    for size in (12..=256).step_by(step).map(|kib| kib * KIB) {
        extend(&mut heap, part(&arena, 0, size)).expect("one arena");
        live.extend(Live::alloc(&mut heap, bytes(2000), size as u8));
    }
    assert_eq!(live.len(), 244 / step + 1);
    let size = arena.region().len();
    assert!(heap.metadata_bytes() <= size / 1000 * 32 + 512 + 1024, "{}", heap.metadata_bytes());
    live.into_iter().for_each(|block| block.free(&mut heap));
    heap.validate().expect("consistent");
}

#[test]
fn what_cannot_extend_a_region_is_refused() {
    let arena = Arena::new(64 * KIB, 0);
    let all = arena.region();
    let mut heap = heap_over::<Checked>(part(&arena, 0, 16 * KIB));
    // SAFETY: another part of the arena.
    unsafe { heap.add_region(part(&arena, 48 * KIB, 16 * KIB)) }.expect("large enough");
    let size = all.len();
    let start = start_of(all);
    let overlap = extend(&mut heap, all);
    assert!(
        matches!(overlap, Err(RegionError::Overlap { other_size, .. }) if other_size == 16 * KIB)
    );
    for (offset, size) in [(0, 16 * KIB), (0, 8 * KIB), (KIB, 20 * KIB), (32 * KIB, KIB)] {
        let refused = extend(&mut heap, part(&arena, offset, size));
        assert_eq!(refused, Err(RegionError::NotExtensible { start: start + offset, size }));
    }
    let huge = NonNull::slice_from_raw_parts(all.cast::<u8>(), usize::MAX - 16);
    assert!(matches!(extend(&mut heap, huge), Err(RegionError::AddressOverflow { .. })));
    assert_eq!(heap.total_bytes(), 32 * KIB);
    assert!(size > 32 * KIB);
}

/// The error says how many bytes do, and one less does not.
#[test]
fn an_extension_that_is_too_short_is_refused_with_the_length_that_does() {
    for offset in [0, 24, 500, 1000] {
        for kib in if cfg!(miri) { 16..17 } else { 4..65 } {
            let arena = Arena::new(128 * KIB, offset);
            let size = kib * KIB;
            let heap = || heap_over::<Checked>(part(&arena, 0, size));
            let Err(error) = extend(&mut heap(), part(&arena, 0, size + 1)) else { continue };
            let RegionError::TooSmall { required, .. } = error else { panic!("{error}") };
            extend(&mut heap(), part(&arena, 0, required - 1)).expect_err("too short");
            extend(&mut heap(), part(&arena, 0, required)).expect("as long as required");
        }
    }
}

#[test]
fn a_region_without_live_blocks_leaves() {
    fn run<M: Mode>() {
        let size = if cfg!(miri) { 4000 } else { 700 };
        let arena = Arena::new(96 * KIB, 0);
        let parts = [0, 1, 2].map(|nth| part(&arena, nth * 32 * KIB, 32 * KIB));
        let mut heap = heap_over::<M>(parts[0]);
        for part in &parts[1..] {
            // SAFETY: another part of the arena.
            unsafe { heap.add_region(*part) }.expect("large enough");
        }
        let mut live: Vec<_> =
            std::iter::from_fn(|| Live::alloc(&mut heap, bytes(size), 5)).collect();
        for part in parts {
            assert_eq!(heap.remove_region(start_of(part)), None, "its blocks are live");
            assert_eq!(heap.remove_region(start_of(part) + 64), None, "no region starts there");
        }
        for (nth, memory) in parts.into_iter().enumerate() {
            let inside = start_of(memory)..start_of(memory) + memory.len();
            let (of_this, others): (Vec<_>, Vec<_>) =
                live.into_iter().partition(|live| inside.contains(&live.block.addr().get()));
            live = others;
            let stale = of_this[0].block;
            of_this.into_iter().for_each(|block| block.free(&mut heap));
            assert_eq!(heap.remove_region(inside.start), Some(memory));
            heap.validate().expect("consistent");
            assert_eq!(heap.total_bytes(), (2 - nth) * 32 * KIB);
            // The memory is the caller's: all of it may be used.
            // SAFETY: the heap has returned it.
            unsafe { memory.cast::<u8>().write_bytes(0xEE, memory.len()) };
            if M::CHECKED {
                // SAFETY: a checked heap compares the address, no more.
                let refused = unsafe { heap.try_free(stale, bytes(size)) };
                assert_eq!(refused, Err(Fault::Foreign { address: stale.addr().get() }));
            }
        }
        assert_eq!((heap.total_bytes(), heap.metadata_bytes(), heap.total_pages()), (0, 0, 0));
        heap.alloc(bytes(1)).expect_err("no memory");
        // SAFETY: the heap has returned it.
        unsafe { heap.add_region(parts[1]) }.expect("it comes back");
        Live::alloc(&mut heap, bytes(700), 1).expect("room").free(&mut heap);
    }
    run::<Checked>();
    // Miri takes a minute for each.
    if !cfg!(miri) {
        run::<Hardened>();
        run::<Exhaustive>();
        run::<Unchecked>();
    }
}

#[test]
fn the_free_end_of_a_region_is_given_back_in_whole_pages() {
    for offset in [0, 24, 1000] {
        let arena = Arena::new(128 * KIB, offset);
        let all = arena.region();
        let mut heap = heap_over::<Hardened>(all);
        let kept = Live::alloc(&mut heap, bytes(9000), 3).expect("room");
        let small = Live::alloc(&mut heap, bytes(100), 4).expect("room");
        Live::alloc(&mut heap, bytes(40 * KIB), 5).expect("room").free(&mut heap);
        assert_eq!(heap.shrink_region(start_of(all) + 16, 0), None);
        let tail = heap.shrink_region(start_of(all), 0).expect("most is free");
        heap.validate().expect("consistent");
        assert!(start_of(tail).is_multiple_of(4096));
        assert_eq!(start_of(tail) + tail.len(), start_of(all) + all.len());
        assert!(heap.total_bytes() < 36 * KIB, "{}", heap.total_bytes());
        assert_eq!(heap.total_bytes() + tail.len(), all.len());
        assert_eq!(heap.shrink_region(start_of(all), 0), None, "no further page is free");
        // SAFETY: the heap has returned it.
        unsafe { tail.cast::<u8>().write_bytes(0xEE, tail.len()) };
        heap.alloc(bytes(40 * KIB)).expect_err("too large");
        extend(&mut heap, all).expect("it comes back");
        let large = Live::alloc(&mut heap, bytes(40 * KIB), 6).expect("room again");
        [kept, small, large].into_iter().for_each(|block| block.free(&mut heap));
        heap.validate().expect("consistent");
        let tail = heap.shrink_region(start_of(all), 64 * KIB).expect("all is free");
        assert!((all.len() - tail.len()) - 64 * KIB < 4096);
    }
}

#[test]
fn free_pages_are_visited_and_may_lose_their_content() {
    fn run<M: Mode>() -> usize {
        let arena = Arena::new(256 * KIB, 0);
        let mut heap = heap_over::<M>(arena.region());
        let sizes = [100, 5000, 20_000, 100, 30_000, 700, 9000];
        let mut live: Vec<_> = (0..21)
            .map(|nth| Live::alloc(&mut heap, bytes(sizes[nth % 7]), nth as u8).expect("room"))
            .collect();
        for nth in [18, 12, 9, 4, 1] {
            live.swap_remove(nth).free(&mut heap);
        }
        let mut visited = Vec::new();
        let bytes_visited = heap.decommit(8 * KIB, |pages| {
            assert!(start_of(pages).is_multiple_of(4096) && pages.len().is_multiple_of(4096));
            assert!(pages.len() >= 8 * KIB);
            // SAFETY: free memory, which the heap allows to be changed.
            unsafe { pages.cast::<u8>().write_bytes(0, pages.len()) };
            visited.push(pages);
        });
        assert_eq!(bytes_visited, visited.iter().map(|pages| pages.len()).sum());
        heap.validate().expect("consistent");
        for (size, fill) in [(20_000, 1), (100, 2), (5000, 3), (60, 4)] {
            live.push(Live::alloc(&mut heap, bytes(size), fill).expect("room"));
        }
        live.into_iter().for_each(|block| block.free(&mut heap));
        let all = heap.decommit(0, |_| {});
        assert!(M::EXHAUSTIVE || all > 220 * KIB, "{all}");
        bytes_visited
    }
    assert!(run::<Checked>() > 60 * KIB);
    assert!(run::<Hardened>() > 60 * KIB);
    assert!(run::<Unchecked>() > 60 * KIB);
    assert_eq!(run::<Exhaustive>(), 0, "free memory has the fill");
}

/// Random programs in which regions come, grow, shrink and leave.
#[test]
fn blocks_survive_whatever_happens_to_the_regions() {
    fn run<M: Mode>(seed: u64) {
        const REGIONS: usize = 5;
        const REACH: usize = 96 * KIB;
        let mut state = seed;
        let mut below = |limit: usize| {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            (mix64(state) % limit as u64) as usize
        };
        let arena = Arena::new(REGIONS * REACH, below(2000) & !7);
        let offset_of = |nth: usize| nth * REACH;
        let reach = |nth: usize| (arena.region().len() - offset_of(nth)).min(REACH);
        let mut sizes = [0; REGIONS];
        let mut heap = SlabByteAllocator::<M>::new();
        let mut live: Vec<Live> = Vec::new();
        let (mut grown, mut shrunk, mut left) = (0, 0, 0);
        for step in 0..if cfg!(miri) { 150 } else { 3000 } {
            let nth = below(REGIONS);
            let start = start_of(arena.region()) + offset_of(nth);
            match below(40) {
                0 | 1 if sizes[nth] == 0 => {
                    let size = (4 * KIB + below(reach(nth) - 4 * KIB)).min(reach(nth));
                    // SAFETY: a part of the arena that the heap does not have.
                    unsafe { heap.add_region(part(&arena, offset_of(nth), size)) }.expect("room");
                    sizes[nth] = size;
                }
                0 | 1 if sizes[nth] < reach(nth) => {
                    let size = sizes[nth] + 1 + below(reach(nth) - sizes[nth]);
                    if extend(&mut heap, part(&arena, offset_of(nth), size)).is_ok() {
                        sizes[nth] = size;
                        grown += 1;
                    }
                }
                2 => {
                    if let Some(tail) = heap.shrink_region(start, below(REACH)) {
                        assert_eq!(start_of(tail) + tail.len(), start + sizes[nth]);
                        // SAFETY: the heap has returned it.
                        unsafe { tail.cast::<u8>().write_bytes(0xEE, tail.len()) };
                        sizes[nth] -= tail.len();
                        shrunk += 1;
                    }
                }
                3 => {
                    if let Some(memory) = heap.remove_region(start) {
                        assert_eq!(memory.len(), sizes[nth]);
                        // SAFETY: the heap has returned it.
                        unsafe { memory.cast::<u8>().write_bytes(0xEE, memory.len()) };
                        sizes[nth] = 0;
                        left += 1;
                    }
                }
                4 => {
                    heap.decommit(4096, |pages| {
                        // SAFETY: free memory, which the heap allows to be changed.
                        unsafe { pages.cast::<u8>().write_bytes(0xDD, pages.len()) };
                    });
                }
                5 => live.drain(..).for_each(|block| block.free(&mut heap)),
                6..24 => {
                    let size = [8, 60, 100, 500, 3000, 6000, 20_000][below(7)];
                    let layout = Layout::from_size_align(1 + below(size), 1 << below(8));
                    live.extend(Live::alloc(&mut heap, layout.expect("valid"), step as u8));
                }
                24..28 if !live.is_empty() => {
                    let at = below(live.len());
                    let old = &mut live[at];
                    let new = 1 + below(8000);
                    // SAFETY: live, with this layout.
                    if let Ok(block) = unsafe { heap.realloc(old.block, old.layout, new) } {
                        let align = old.layout.align();
                        let kept = old.layout.size().min(new);
                        let layout = Layout::from_size_align(kept, align).expect("valid");
                        Live { block, layout, fill: old.fill }.check();
                        // SAFETY: a live block of so many bytes.
                        unsafe { block.write_bytes(old.fill, new) };
                        old.block = block;
                        old.layout = Layout::from_size_align(new, align).expect("valid");
                    }
                }
                _ if !live.is_empty() => live.swap_remove(below(live.len())).free(&mut heap),
                _ => {}
            }
            assert_eq!(heap.total_bytes(), sizes.iter().sum());
            if step % 16 == 0 {
                heap.validate().expect("consistent");
            }
        }
        live.into_iter().for_each(|block| block.free(&mut heap));
        for nth in (0..REGIONS).filter(|&nth| sizes[nth] > 0) {
            let start = start_of(arena.region()) + offset_of(nth);
            assert!(heap.remove_region(start).is_some(), "no block is live");
        }
        heap.validate().expect("consistent");
        assert!(cfg!(miri) || grown > 5 && shrunk > 2 && left > 2, "{grown} {shrunk} {left}");
    }
    for seed in 0..if cfg!(miri) { 1 } else { 12 } {
        run::<Checked>(seed);
        run::<Hardened>(seed + 100);
        run::<Exhaustive>(seed + 200);
        run::<Unchecked>(seed + 300);
    }
}
