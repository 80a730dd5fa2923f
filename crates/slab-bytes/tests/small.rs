//! Heaps of a few hundred bytes, which have no granule.
#![expect(unsafe_code, reason = "uses raw memory")]

use std::alloc::Layout;
use std::ptr::NonNull;

use slab_bytes::{Fault, SlabByteAllocator};
use slab_core::{Checked, Exhaustive, Hardened, Mode, Unchecked, mix64};
use slab_testkit::Arena;
use slab_traits::{AllocError, BaseAllocator, ByteAllocator, RegionError};

fn bytes(size: usize) -> Layout {
    Layout::from_size_align(size, 1).expect("a valid layout")
}

fn heap_over<M: Mode>(arena: &Arena) -> SlabByteAllocator<M> {
    let mut heap = SlabByteAllocator::new();
    // SAFETY: every test keeps its arena longer than its heap.
    unsafe { heap.add_region(arena.region()) }.expect("large enough");
    heap
}

fn free<M: Mode>(heap: &mut SlabByteAllocator<M>, block: NonNull<u8>, layout: Layout) {
    // SAFETY: live, and forgotten by the caller.
    unsafe { heap.try_free(block, layout) }.expect("live, with this layout");
    heap.validate().expect("consistent");
}

/// Blocks of several sizes share 512 bytes.
#[test]
fn a_heap_of_512_bytes_serves_blocks_of_several_classes() {
    for offset in [0, 1, 500, 1000] {
        let arena = Arena::new(512, offset);
        let mut heap = heap_over::<Checked>(&arena);
        let usable = heap.available_bytes();
        assert!(usable >= 384, "{usable}");
        assert_eq!((heap.total_bytes(), heap.used_bytes()), (512, 0));
        let sizes = [100, 10, 40, 64, 80];
        let blocks = sizes.map(|size| heap.alloc(bytes(size)).expect("room"));
        heap.validate().expect("consistent");
        assert_eq!(heap.used_bytes(), 112 + 16 + 48 + 64 + 80);
        assert_eq!(heap.alloc(bytes(100)), Err(AllocError::NoMemory));
        for (block, size) in blocks.into_iter().zip(sizes) {
            free(&mut heap, block, bytes(size));
        }
        // All of it is one row again.
        assert!(heap.largest_free() >= 320, "{}", heap.largest_free());
        let largest = heap.largest_free();
        let block = heap.alloc(bytes(largest)).expect("room");
        free(&mut heap, block, bytes(largest));
    }
}

#[test]
fn the_smallest_region_is_accepted_and_serves_a_block() {
    for offset in 0..64 {
        let arena = Arena::new(200, offset);
        let start = arena.region().cast::<u8>();
        let mut heap = SlabByteAllocator::<Checked>::new();
        let none = NonNull::slice_from_raw_parts(start, 0);
        // SAFETY: no bytes.
        let refused = unsafe { heap.add_region(none) };
        let Err(RegionError::TooSmall { required, .. }) = refused else { panic!("{refused:?}") };
        assert!(required <= 136, "{required}");
        // SAFETY: a part of the arena.
        unsafe { heap.add_region(NonNull::slice_from_raw_parts(start, required - 1)) }
            .expect_err("too small");
        // SAFETY: a part of the arena.
        unsafe { heap.add_region(NonNull::slice_from_raw_parts(start, required)) }
            .expect("large enough");
        let block = heap.alloc(bytes(16)).expect("room");
        assert_eq!(heap.alloc(bytes(1)), Err(AllocError::NoMemory));
        free(&mut heap, block, bytes(16));
        // SAFETY: the heap refuses what it has.
        let twice = unsafe { heap.add_region(arena.region()) };
        assert!(matches!(twice, Err(RegionError::Overlap { .. })), "{twice:?}");
        assert!(heap.remove_region(start.addr().get()).is_some());
        assert_eq!((heap.total_bytes(), heap.metadata_bytes()), (0, 0));
    }
}

#[test]
fn wrong_frees_of_small_heaps_are_refused_by_name() {
    fn run<M: Mode>() {
        let arena = Arena::new(700, 0);
        let mut heap = heap_over::<M>(&arena);
        let block = heap.alloc(bytes(100)).expect("room");
        let other = heap.alloc(bytes(30)).expect("room");
        let used = heap.used_bytes();
        let (address, block_bytes) = (block.addr().get(), 112);
        let mut refused = |address: usize, layout| {
            let pointer =
                NonNull::new(std::ptr::without_provenance_mut(address)).expect("an address");
            // SAFETY: a checked heap compares the address, no more.
            let outcome = unsafe { heap.try_free(pointer, layout) };
            heap.validate().expect("consistent");
            assert_eq!(heap.used_bytes(), used);
            outcome.expect_err("misuse")
        };
        let interior =
            Fault::Interior { address: address + 16, block_address: address, block_bytes };
        assert_eq!(refused(address + 16, bytes(100)), interior);
        let wrong = refused(address, bytes(200));
        assert!(
            matches!(wrong, Fault::WrongLayout { size_min, size_max: 100.., .. } if size_min <= 100)
        );
        let foreign = arena.region().cast::<u8>().addr().get();
        assert_eq!(refused(foreign, bytes(100)), Fault::Foreign { address: foreign });
        free(&mut heap, block, bytes(100));
        // SAFETY: a checked heap refuses what is not live.
        let twice = unsafe { heap.try_free(block, bytes(100)) };
        assert_eq!(twice, Err(Fault::DoubleFree { address, block_bytes }));
        free(&mut heap, other, bytes(30));
    }
    run::<Checked>();
    run::<Hardened>();
    run::<Exhaustive>();
}

#[test]
fn an_overflow_in_a_small_heap_is_found_on_free() {
    fn run<M: Mode>() {
        let arena = Arena::new(700, 0);
        let mut heap = heap_over::<M>(&arena);
        let block = heap.alloc(bytes(50)).expect("room");
        // SAFETY: within the arena.
        let behind = unsafe { block.add(50) };
        // SAFETY: the byte lies in the arena.
        unsafe { slab_core::poison::allow_access(behind, 1) };
        // SAFETY: the byte is a canary's, hence initialised.
        let before = unsafe { behind.read() };
        // SAFETY: none: this is the mistake.
        unsafe { behind.write(!before) };
        // SAFETY: live, with this layout.
        let outcome = unsafe { heap.try_free(block, bytes(50)) };
        let address = block.addr().get();
        assert_eq!(outcome, Err(Fault::WrittenPastEnd { address, size: 50, offset: 50 }));
    }
    run::<Hardened>();
    run::<Exhaustive>();
}

/// Random programs over a few small regions, and one that has granules.
#[test]
fn blocks_of_small_heaps_keep_their_content() {
    fn run<M: Mode>(seed: u64, with_granules: bool) -> usize {
        let mut state = seed;
        let mut below = |limit: usize| {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            (mix64(state) % limit as u64) as usize
        };
        let mut arenas: Vec<_> =
            [512, 900, 300].map(|size| Arena::new(size + below(100), below(200))).into();
        if with_granules {
            arenas.push(Arena::new(5000, below(2000)));
        }
        let mut heap = SlabByteAllocator::<M>::new();
        for arena in &arenas {
            // SAFETY: the arenas outlive the heap.
            unsafe { heap.add_region(arena.region()) }.expect("large enough");
        }
        let mut live: Vec<(NonNull<u8>, Layout, u8)> = Vec::new();
        let check = |&(block, layout, fill): &(NonNull<u8>, Layout, u8)| {
            // SAFETY: a live block of so many bytes, all of them written.
            let bytes = unsafe { std::slice::from_raw_parts(block.as_ptr(), layout.size()) };
            assert!(bytes.iter().all(|&byte| byte == fill));
        };
        let mut resized = 0;
        for step in 0..if cfg!(miri) { 100 } else { 2000 } {
            match below(8) {
                0..4 => {
                    let layout = Layout::from_size_align(1 + below(120), 1 << below(7));
                    let (layout, fill) = (layout.expect("valid"), step as u8);
                    if let Ok(block) = heap.alloc(layout) {
                        assert!(block.addr().get().is_multiple_of(layout.align()));
                        // SAFETY: a new block of so many bytes.
                        unsafe { block.write_bytes(fill, layout.size()) };
                        live.push((block, layout, fill));
                    }
                }
                4 | 5 if !live.is_empty() => {
                    let at = below(live.len());
                    let (block, layout, fill) = live[at];
                    let size = 1 + below(150);
                    let shrinks = size <= layout.size();
                    // SAFETY: live, with this layout.
                    match unsafe { heap.realloc(block, layout, size) } {
                        Ok(moved) => {
                            let kept = layout.size().min(size);
                            let new = |size| {
                                Layout::from_size_align(size, layout.align()).expect("valid")
                            };
                            check(&(moved, new(kept), fill));
                            // SAFETY: a live block of so many bytes.
                            unsafe { moved.write_bytes(fill, size) };
                            live[at] = (moved, new(size), fill);
                            resized += 1;
                        }
                        Err(_) => assert!(!shrinks, "a shrink never fails"),
                    }
                }
                _ if !live.is_empty() => {
                    let last = live.swap_remove(below(live.len()));
                    check(&last);
                    free(&mut heap, last.0, last.1);
                }
                _ => {}
            }
        }
        for last in live {
            check(&last);
            free(&mut heap, last.0, last.1);
        }
        for arena in &arenas {
            assert!(heap.remove_region(arena.region().cast::<u8>().addr().get()).is_some());
        }
        assert_eq!((heap.used_bytes(), heap.total_bytes(), heap.metadata_bytes()), (0, 0, 0));
        resized
    }
    for seed in 0..if cfg!(miri) { 1 } else { 8 } {
        for with_granules in [false, true] {
            assert!(run::<Checked>(seed, with_granules) > 5);
            assert!(run::<Hardened>(seed + 100, with_granules) > 5);
            assert!(run::<Exhaustive>(seed + 200, with_granules) > 5);
            assert!(run::<Unchecked>(seed + 300, with_granules) > 5);
        }
    }
}
