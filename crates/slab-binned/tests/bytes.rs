//! The byte heap: fixed programs against the shadow model, and what only this heap promises.
#![expect(unsafe_code, reason = "allocates and frees raw memory")]

use std::alloc::Layout;
use std::ptr::NonNull;

use slab_binned::{BinnedByteAllocator, FreeError, SizeClasses};
use slab_testkit::{Arena, Op, check};
use slab_traits::{AllocError, BaseAllocator, ByteAllocator, RegionError};

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
    // SAFETY: the arena outlives the heap in every test, and nobody else uses it.
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
    for step in 0..if cfg!(miri) { 100_usize } else { 3000 } {
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
    let bytes = if cfg!(miri) { 300_000 } else { 2_000_000 };
    let (first, second) = (offsets(1 << 15, 48, bytes), offsets(1 << 15, 48, bytes));
    assert!(first.iter().any(Option::is_some));
    assert_eq!(first, second);
    assert_ne!(
        first,
        offsets(1 << 15, 4096 + 48, bytes),
        "the address matters modulo the alignment"
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
    // SAFETY: as above.
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
    let inside = block.map_addr(|address| address.saturating_add(16));
    let refused = Err(FreeError::NotLive { address: address + 16 });
    assert_eq!(free(inside, layout(100, 1)), refused);
    let wrong = free(block, layout(600, 8));
    assert!(matches!(wrong, Err(FreeError::WrongLayout { size: 600, .. })), "{wrong:?}");
    let wrong = free(run, layout(73_729, 8));
    assert_eq!(
        wrong,
        Err(FreeError::WrongLayout {
            address: run.addr().get(),
            size: 73_729,
            usable_bytes: 73_728
        })
    );
    let foreign = NonNull::from(&address).cast();
    assert!(matches!(free(foreign, layout(8, 8)), Err(FreeError::Foreign { .. })));
    assert_eq!(free(block, layout(100, 256)), Ok(()));
    assert!(free(block, layout(100, 256)).is_err());
    assert_eq!(free(run, layout(70_000, 8)), Ok(()));
    assert!(free(run, layout(70_000, 8)).is_err());
    let plain = heap.alloc(layout(100, 8)).expect("room");
    // SAFETY: live, and forgotten.
    assert_eq!(unsafe { heap.try_free(plain, layout(100, 8)) }, Ok(()));
    let double = FreeError::DoubleFree { address: plain.addr().get(), block_bytes: 112 };
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
