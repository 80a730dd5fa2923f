//! The byte heap: fixed programs against the shadow model, and what only this heap promises.
#![expect(unsafe_code, reason = "allocates and frees raw memory")]

use std::alloc::Layout;
use std::ptr::NonNull;

use slab_binned::{BinnedByteAllocator, Fault, SizeClasses};
use slab_testkit::{Arena, Op, check};
use slab_traits::{AllocError, BaseAllocator, ByteAllocator, Local, RegionError};

mod subject;

use subject::Heap;

const OP_COUNT: usize = if cfg!(miri) { 150 } else { 20_000 };

#[test]
fn a_long_program_agrees_with_the_model() {
    let large = if cfg!(miri) { 60_000 } else { 2_097_152 };
    for (seed, classes) in [(0x2545_F491_4F6C_DD1D, SizeClasses::Standard), (77, SizeClasses::Fine)]
    {
        let arenas = vec![
            Arena::new(large / 2, 17),
            Arena::new(9000, 119),
            Arena::new(300, 0),
            Arena::new(large, 1),
        ];
        let heap = Heap(BinnedByteAllocator::with_classes(classes));
        let report = check(heap, arenas, &Op::program(OP_COUNT, seed));
        assert_eq!(report.executed + report.skipped, OP_COUNT);
        assert!(report.executed > OP_COUNT / 10 * 8, "{report:?}");
        assert!(report.allocated > OP_COUNT / 4, "{report:?}");
        assert!(report.resized > OP_COUNT / 20, "{report:?}");
        assert!(report.misuse_found > OP_COUNT / 50, "{report:?}");
    }
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a valid layout")
}

fn heap_on(arena: &Arena) -> BinnedByteAllocator {
    let mut heap = BinnedByteAllocator::new();
    // SAFETY: the arena outlives the heap in every test, and no other code uses it.
    unsafe { heap.add_region(arena.region()) }.expect("the arena is large enough");
    heap
}

/// Runs one sequence and returns the offset of each block.
fn offsets(align: usize, offset: usize, bytes: usize) -> Vec<Option<usize>> {
    let arena = Arena::aligned(bytes, align, offset);
    let start = arena.region().cast::<u8>().addr().get();
    let mut heap = heap_on(&arena);
    let mut live: Vec<(NonNull<u8>, Layout)> = Vec::new();
    let mut offsets = Vec::new();
    for step in 0..if cfg!(miri) { 40_usize } else { 3000 } {
        let size = [24, 100, 700, 3000, 9000, 20_000, 80_000][step * step % 7] + step % 13;
        let layout = layout(size, 1 << (step % 17 * step % 15));
        match heap.alloc(layout) {
            Ok(block) => {
                offsets.push(Some(block.addr().get() - start));
                live.push((block, layout));
            }
            Err(_) => offsets.push(None),
        }
        if step % 5 != 0 && !live.is_empty() {
            let (block, layout) = live.swap_remove(step * 31 % live.len());
            // SAFETY: live, with this layout, and forgotten.
            unsafe { heap.dealloc(block, layout) };
        }
    }
    offsets
}

#[test]
fn the_same_operations_give_the_same_offsets() {
    let bytes = if cfg!(miri) { 200_000 } else { 2_000_000 };
    let (first, second) = (offsets(1 << 15, 48, bytes), offsets(1 << 15, 48, bytes));
    assert!(first.iter().any(Option::is_some));
    assert_eq!(first, second);
    assert_ne!(
        first,
        offsets(1 << 15, 4096 + 48, bytes),
        "offsets depend on the address modulo the alignment"
    );
}

#[test]
fn the_block_freed_last_is_used_first() {
    let arena = Arena::new(65_536, 0);
    let mut heap = heap_on(&arena);
    let blocks = [(); 3].map(|()| heap.alloc(layout(40, 8)).expect("room"));
    for block in blocks {
        // SAFETY: live, with this layout, and forgotten.
        unsafe { heap.dealloc(block, layout(40, 8)) };
    }
    for nth in [2, 1, 0] {
        assert_eq!(heap.alloc(layout(33, 16)), Ok(blocks[nth]));
    }
}

#[test]
fn a_reclaim_keeps_the_order_of_what_stays_dead() {
    let arena = Arena::new(65_536, 0);
    let mut heap = heap_on(&arena);
    let blocks = [(); 4].map(|()| heap.alloc(layout(64, 8)).expect("room"));
    // The last one stays, and so does its page.
    for block in &blocks[..3] {
        // SAFETY: live, with this layout, and forgotten.
        unsafe { heap.dealloc(*block, layout(64, 8)) };
    }
    assert_eq!(heap.reclaim(), 0);
    heap.validate().unwrap();
    for nth in [2, 1, 0] {
        assert_eq!(heap.alloc(layout(64, 8)), Ok(blocks[nth]));
    }
}

#[test]
fn no_memory_stays_with_a_class() {
    let arena = Arena::new(40_000, 0);
    let mut heap = heap_on(&arena);
    let mut blocks = Vec::new();
    while let Ok(block) = heap.alloc(layout(64, 8)) {
        blocks.push(block);
    }
    let filled = heap.used_bytes();
    assert!(filled > 40_000 / 100 * 80, "{filled} of 40,000 bytes are used");
    for block in blocks.drain(..) {
        // SAFETY: live, with this layout, and forgotten.
        unsafe { heap.dealloc(block, layout(64, 8)) };
    }
    let large = heap.alloc(layout(30_000, 8)).expect("everything is free");
    // SAFETY: live, with this layout, and forgotten.
    unsafe { heap.dealloc(large, layout(30_000, 8)) };
    assert_eq!(heap.used_bytes(), 0);
    heap.validate().unwrap();
}

#[test]
fn each_misuse_is_named() {
    let arena = Arena::new(200_000, 0);
    let mut heap = heap_on(&arena);
    let block = heap.alloc(layout(100, 256)).expect("room");
    let run = heap.alloc(layout(70_000, 8)).expect("room");
    let address = block.addr().get();
    // SAFETY: a checked free needs no promise for what it refuses.
    let mut free = |block, layout| unsafe { heap.try_free(block, layout) };
    let inside = block.map_addr(|address| address.saturating_add(17));
    // Aligned to 256, in a block of 384 bytes that starts at the page.
    let found = free(inside, layout(100, 1));
    let interior =
        Fault::Interior { address: address + 17, block_address: address, block_bytes: 384 };
    assert_eq!(found, Err(interior));
    let wrong = free(block, layout(600, 8));
    assert!(matches!(wrong, Err(Fault::WrongLayout { size: 600, .. })), "{wrong:?}");
    for size in [69_632, 73_729] {
        let wrong = Fault::WrongLayout {
            address: run.addr().get(),
            size,
            align: 8,
            size_min: 69_633,
            size_max: 73_728,
        };
        assert_eq!(free(run, layout(size, 8)), Err(wrong));
    }
    let inside = run.map_addr(|address| address.saturating_add(40_000));
    let interior = Fault::Interior {
        address: run.addr().get() + 40_000,
        block_address: run.addr().get(),
        block_bytes: 73_728,
    };
    assert_eq!(free(inside, layout(8, 8)), Err(interior));
    let foreign = NonNull::from(&address).cast();
    assert!(matches!(free(foreign, layout(8, 8)), Err(Fault::Foreign { .. })));
    assert_eq!(free(block, layout(100, 256)), Ok(()));
    let double = Fault::DoubleFree { address, block_bytes: 384 };
    assert_eq!(free(block, layout(100, 256)), Err(double));
    assert_eq!(free(run, layout(70_000, 8)), Ok(()));
    let not_live = Fault::NotLive { address: run.addr().get() };
    assert_eq!(free(run, layout(70_000, 8)), Err(not_live));
    let plain = heap.alloc(layout(100, 8)).expect("room");
    // SAFETY: live, and forgotten.
    assert_eq!(unsafe { heap.try_free(plain, layout(100, 8)) }, Ok(()));
    let double = Fault::DoubleFree { address: plain.addr().get(), block_bytes: 112 };
    // SAFETY: a checked free needs no promise for what it refuses.
    assert_eq!(unsafe { heap.try_free(plain, layout(100, 8)) }, Err(double));
}

#[test]
fn an_overwritten_link_is_not_followed() {
    let arena = Arena::new(65_536, 0);
    let mut heap = heap_on(&arena);
    let blocks = [(); 4].map(|()| heap.alloc(layout(64, 8)).expect("room"));
    for block in blocks {
        // SAFETY: live, with this layout, and forgotten.
        unsafe { heap.dealloc(block, layout(64, 8)) };
    }
    // SAFETY: a use after free, which the heap promises to survive: the link lies in its own memory,
    // and is four bytes that are initialised.
    unsafe { blocks[3].cast::<u32>().write(0x1234) };
    let next = heap.alloc(layout(64, 8)).expect("fresh blocks");
    assert_eq!(heap.corrupt_links(), 1);
    assert!(!blocks.contains(&next), "the bin was given up");
    // SAFETY: live, with this layout, and forgotten.
    unsafe { heap.dealloc(next, layout(64, 8)) };
    heap.reclaim();
    assert_eq!(heap.largest_free_run_bytes() + heap.metadata_bytes(), 65_536, "nothing is lost");
}

#[test]
fn regions_are_refused_with_numbers() {
    let mut heap = BinnedByteAllocator::new();
    assert_eq!(heap.alloc(layout(8, 8)), Err(AllocError::NoMemory));
    let small = Arena::new(4096, 0);
    // SAFETY: refused memory is not used.
    let Err(RegionError::TooSmall { required, size: 4096, .. }) =
        (unsafe { heap.add_region(small.region()) })
    else {
        panic!("a page has no room for its own bookkeeping");
    };
    let enough = Arena::new(required, 0);
    // SAFETY: the arena outlives the heap's use.
    unsafe { heap.add_region(enough.region()) }.expect("as many bytes as were asked for");
    // SAFETY: refused memory is not used.
    let again = unsafe { heap.add_region(enough.region()) };
    assert!(matches!(again, Err(RegionError::Overlap { .. })));
    assert!(heap.alloc(layout(2048, 2048)).is_ok());
    let many: Vec<Arena> = (0..32).map(|_| Arena::new(8192, 0)).collect();
    for arena in &many[..31] {
        // SAFETY: the arenas outlive the heap's use.
        unsafe { heap.add_region(arena.region()) }.expect("up to 32 regions");
    }
    // SAFETY: refused memory is not used.
    let refused = unsafe { heap.add_region(many[31].region()) };
    assert_eq!(refused, Err(RegionError::TooManyRegions { limit: 32 }));
    heap.validate().unwrap();
}

#[test]
fn runs_are_resized_where_they_lie() {
    let arena = Arena::new(400_000, 0);
    let mut heap = heap_on(&arena);
    let block = heap.alloc(layout(80_000, 8)).expect("room");
    // SAFETY: the block is live; each size is the one it was given last.
    let mut resize = |old, new| unsafe { heap.realloc(block, layout(old, 8), new) };
    assert_eq!(resize(80_000, 150_000), Ok(block));
    assert_eq!(resize(150_000, 70_000), Ok(block));
    assert_eq!(resize(70_000, 10_000), Ok(block));
    assert_eq!(heap.used_bytes(), 12_288);
    // SAFETY: live, with this layout, and forgotten.
    unsafe { heap.dealloc(block, layout(10_000, 8)) };
    assert_eq!(heap.used_bytes(), 0);
}

/// Fills a heap with blocks of one size and returns how many there are.
fn fill(heap: &mut BinnedByteAllocator, size: usize) -> Vec<NonNull<u8>> {
    std::iter::from_fn(|| heap.alloc(layout(size, 1)).ok()).collect()
}

#[test]
fn a_small_block_takes_no_large_dead_one() {
    let cases = [(80_000, 65_536), (1 << 20, 65_536), (1 << 20, 2048), (1 << 20, 20_000)];
    let sizes = [700, 64, 1];
    let (cases, sizes) =
        if cfg!(miri) { (&cases[..1], &sizes[..1]) } else { (&cases[..], &sizes[..]) };
    for &(bytes, large) in cases {
        for &small in sizes {
            let fresh = fill(&mut heap_on(&Arena::aligned(bytes, 4096, 0)), small).len();
            let arena = Arena::aligned(bytes, 4096, 0);
            let mut heap = heap_on(&arena);
            for block in fill(&mut heap, large) {
                // SAFETY: live, with this layout, and forgotten.
                unsafe { heap.dealloc(block, layout(large, 1)) };
            }
            assert_eq!(fill(&mut heap, small).len(), fresh, "{small} after {large} in {bytes}");
            heap.validate().unwrap();
        }
    }
}

#[test]
fn dead_blocks_that_share_a_page_serve_smaller_ones_at_last() {
    let arena = Arena::new(10_000, 0);
    let mut heap = heap_on(&arena);
    let blocks = fill(&mut heap, 1024);
    for pair in blocks.chunks_exact(2) {
        // SAFETY: live, with this layout, and forgotten.
        unsafe { heap.dealloc(pair[0], layout(1024, 1)) };
    }
    assert_eq!(fill(&mut heap, 100).len(), blocks.len() / 2);
}

#[test]
fn a_shrink_never_fails() {
    let sizes = [
        1, 16, 17, 64, 100, 200, 500, 1000, 1024, 1500, 2048, 3000, 4096, 6000, 8192, 12_000,
        20_000, 40_000, 65_536, 70_000, 100_000,
    ];
    let (aligns, fillers) = ([1, 64, 4096], [5000, 1000, 100, 1]);
    let (step, aligns, fillers) =
        if cfg!(miri) { (9, &aligns[..1], &fillers[..2]) } else { (1, &aligns[..], &fillers[..]) };
    for (nth, &old) in sizes.iter().enumerate().step_by(step) {
        for &new in sizes[..nth].iter().step_by(step).chain(&[0]) {
            for &align in aligns {
                let arena = Arena::new(140_000, 0);
                let mut heap = heap_on(&arena);
                let block = heap.alloc(layout(old, align)).expect("an empty heap");
                for &filler in fillers {
                    fill(&mut heap, filler);
                }
                // SAFETY: the block has at least one byte, and `new` at most `old`.
                unsafe { block.write_bytes(7, old) };
                let (from, to) = (layout(old, align), layout(new, align));
                // SAFETY: live, with this layout; the result alone is used.
                let shrunk = unsafe { heap.shrink(block, from, to) };
                let shrunk = shrunk.unwrap_or_else(|error| panic!("{old} to {new}: {error}"));
                // SAFETY: what was kept was written.
                let kept = unsafe { std::slice::from_raw_parts(shrunk.as_ptr(), new) };
                assert!(kept.iter().all(|&byte| byte == 7));
                // SAFETY: live, with its new layout, and forgotten.
                assert_eq!(unsafe { heap.try_free(shrunk, to) }, Ok(()));
                heap.validate().unwrap();
            }
        }
    }
}

#[test]
fn blocks_behind_an_overwritten_link_come_back() {
    for size in [64, 4096] {
        let arena = Arena::aligned(80_000, 4096, 0);
        let mut heap = heap_on(&arena);
        let blocks = fill(&mut heap, size);
        let rest = heap.largest_free_run_bytes();
        // The first one stays, and so does its page.
        for &block in &blocks[1..] {
            // SAFETY: live, with this layout, and forgotten.
            unsafe { heap.dealloc(block, layout(size, 1)) };
        }
        let last = blocks[blocks.len() - 1];
        // SAFETY: a use after free, which the heap promises to survive: the link lies in its own memory,
        // and is four bytes that are initialised.
        unsafe { last.cast::<u32>().write(0x1234) };
        assert_eq!(fill(&mut heap, size).len(), blocks.len() - 1, "of {size} bytes, {rest}");
        assert_eq!(heap.corrupt_links(), 1);
        heap.validate().unwrap();
    }
}

#[test]
fn an_aligned_run_that_fits_is_served() {
    let align = 1 << 15;
    // Eight pages from a multiple of the alignment on, or from a page behind one.
    for (offset, expected) in [(0, true), (4096, false)] {
        let arena = Arena::aligned(8 * 4096 + 4000, align, offset);
        let mut heap = heap_on(&arena);
        assert_eq!(heap.alloc(layout(8 * 4096, align)).is_ok(), expected);
        heap.validate().unwrap();
    }
}

#[test]
fn what_is_refused_is_refused_by_every_resize() {
    let arena = Arena::new(400_000, 0);
    let mut heap = heap_on(&arena);
    for size in [200, 80_000] {
        let (block, dead) =
            (heap.alloc(layout(size, 8)).unwrap(), heap.alloc(layout(size, 8)).unwrap());
        // SAFETY: live, with this layout, and forgotten.
        unsafe { heap.dealloc(dead, layout(size, 8)) };
        let inside = block.map_addr(|address| address.saturating_add(16));
        let foreign = NonNull::from(&arena).cast();
        let wrong = [
            (dead, layout(size, 8), AllocError::NotAllocated),
            (inside, layout(size, 8), AllocError::NotAllocated),
            (foreign, layout(size, 8), AllocError::NotAllocated),
            (block, layout(2 * size, 8), AllocError::InvalidParam),
            // Twice the largest power of two that divides the address.
            (block, layout(size, 2 << block.addr().trailing_zeros()), AllocError::InvalidParam),
        ];
        for (block, old, error) in wrong {
            let larger = layout(4 * size, old.align());
            let smaller = layout(size / 8, old.align());
            // SAFETY: a checked resize needs no promise for what it refuses.
            let grown = unsafe { heap.grow(block, old, larger) };
            // SAFETY: a checked resize needs no promise for what it refuses.
            let shrunk = unsafe { heap.shrink(block, old, smaller) };
            assert_eq!((grown, shrunk), (Err(error), Err(error)), "{old:?}");
            let fault = heap.take_fault().expect("the reason is kept");
            assert_eq!((AllocError::from(fault), heap.take_fault()), (error, None));
            for new in [larger, smaller] {
                // SAFETY: a checked resize needs no promise for what it refuses.
                let moved = unsafe { heap.realloc(block, old, new.size()) };
                // SAFETY: a checked resize needs no promise for what it refuses.
                let kept = unsafe { heap.resize_in_place(block, old, new) };
                assert_eq!((moved, kept), (Err(error), Err(error)), "{old:?} to {new:?}");
            }
        }
        assert!(heap.used_bytes() >= size);
        heap.validate().unwrap();
        // SAFETY: live, with this layout, and forgotten.
        unsafe { heap.dealloc(block, layout(size, 8)) };
        assert_eq!(heap.used_bytes(), 0);
    }
}

#[test]
fn a_resize_in_place_keeps_the_new_alignment() {
    let arena = Arena::aligned(65_536, 4096, 0);
    let mut heap = heap_on(&arena);
    let _first = heap.alloc(layout(16, 1)).expect("room");
    let block = heap.alloc(layout(100, 1)).expect("room");
    assert!(!block.addr().get().is_multiple_of(4096));
    // SAFETY: the block is live, with this layout.
    let placed = unsafe { heap.resize_in_place(block, layout(100, 1), layout(100, 4096)) };
    assert_eq!(placed, Err(AllocError::NoMemory));
    // SAFETY: the block is live, with this layout; only the result is used afterwards.
    let moved = unsafe { heap.shrink(block, layout(100, 1), layout(90, 4096)) }.expect("room");
    assert!(moved.addr().get().is_multiple_of(4096));
    // SAFETY: live, with this layout, and forgotten.
    unsafe { heap.dealloc(moved, layout(90, 4096)) };
}

/// Under stacked borrows the pointer that a box was made of is good for the box's length only.
#[test]
fn a_block_that_grows_in_place_may_be_used_to_its_new_end() {
    let arena = Arena::new(400_000, 0);
    let heap = Local::new(BinnedByteAllocator::new());
    // SAFETY: the arena outlives the heap, and no other code uses it.
    unsafe { heap.add_region(arena.region()) }.expect("large enough");
    for (len, more) in [(40, 16), (70_000, 9000)] {
        let mut bytes = allocator_api2::vec::Vec::new_in(&heap);
        bytes.resize(len, 1_u8);
        let mut bytes = bytes.into_boxed_slice().into_vec();
        bytes.reserve_exact(more);
        bytes.resize(len + more, 2);
        assert_eq!((bytes[0], bytes[len - 1], bytes[len + more - 1]), (1, 1, 2));
        bytes.truncate(len / 2);
        let bytes = bytes.into_boxed_slice();
        assert!(bytes.iter().all(|&byte| byte == 1));
    }
    assert_eq!(heap.used_bytes(), 0);
}
