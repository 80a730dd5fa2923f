//! Behaviour that users of the published systems and of rivals rely on, and the bugs that those had.
#![expect(unsafe_code, reason = "uses raw memory")]

use std::alloc::Layout;
use std::ptr::NonNull;

use slab_bytes::{Fault, SlabByteAllocator};
use slab_core::{Checked, Hardened, Mode, Unchecked};
use slab_testkit::Arena;
use slab_traits::{AllocError, BaseAllocator, ByteAllocator, RegionError};

const KIB: usize = 1024;

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a valid layout")
}

fn bytes(size: usize) -> Layout {
    layout(size, 1)
}

/// A heap over one arena; the arena outlives it because it is dropped last.
struct Fixture<M: Mode = Checked> {
    heap: SlabByteAllocator<M>,
    arena: Arena,
}

impl<M: Mode> Fixture<M> {
    fn new(size: usize, offset: usize) -> Self {
        let mut fixture = Self { heap: SlabByteAllocator::new(), arena: Arena::new(size, offset) };
        fixture.try_add(size).expect("the arena is large enough");
        fixture
    }

    fn try_add(&mut self, size: usize) -> Result<(), RegionError> {
        let region = NonNull::slice_from_raw_parts(self.arena.region().cast(), size);
        // SAFETY: the arena is dropped after the heap and used through it alone.
        unsafe { self.heap.add_region(region) }
    }

    fn alloc(&mut self, layout: Layout) -> NonNull<u8> {
        let block = self.heap.alloc(layout).unwrap_or_else(|error| panic!("{layout:?}: {error}"));
        assert!(block.addr().get().is_multiple_of(layout.align()));
        block
    }

    fn free(&mut self, block: NonNull<u8>, layout: Layout) -> Result<(), Fault> {
        // SAFETY: the tests use no block after they passed it here.
        let outcome = unsafe { self.heap.try_free(block, layout) };
        self.heap.validate().expect("the heap is consistent after every free");
        outcome
    }

    /// Allocates blocks until there is no more memory.
    fn fill(&mut self, layout: Layout) -> Vec<NonNull<u8>> {
        let mut blocks = Vec::new();
        while let Ok(block) = self.heap.alloc(layout) {
            blocks.push(block);
        }
        blocks
    }

    fn free_all(&mut self, blocks: Vec<NonNull<u8>>, layout: Layout) {
        for block in blocks {
            // SAFETY: the blocks came from this heap with this layout and are forgotten here.
            unsafe { self.heap.try_free(block, layout) }.expect("the block is live");
        }
        self.heap.validate().expect("the heap is consistent");
    }
}

#[test]
fn before_any_memory_everything_is_refused_and_zero() {
    let mut heap: SlabByteAllocator = SlabByteAllocator::new();
    for layout in [bytes(0), bytes(1), layout(64, 64), bytes(100_000), layout(8, 65_536)] {
        assert_eq!(heap.alloc(layout), Err(AllocError::NoMemory));
    }
    assert_eq!(heap.total_bytes(), 0);
    assert_eq!(heap.used_bytes(), 0);
    assert_eq!(heap.available_bytes(), 0);
    assert_eq!(heap.metadata_bytes(), 0);
    assert_eq!(heap.largest_free(), 0);
    assert_eq!(heap.reclaim(), 0);
    heap.validate().expect("an empty heap is consistent");
}

#[test]
fn a_region_of_any_size_at_any_address_is_used_or_refused_with_what_would_do() {
    let (mut taken, mut refused) = (0, 0);
    let step = if cfg!(miri) { 1499 } else { 37 };
    for offset in [0, 1, 7, 8, 500, 1023, 1024, 4095] {
        for size in (0..6000).step_by(step) {
            let arena = Arena::new(6000 + 4 * KIB, offset);
            let start = arena.region().cast::<u8>();
            let mut fixture: Fixture = Fixture { heap: SlabByteAllocator::new(), arena };
            match fixture.try_add(size) {
                Ok(()) => {
                    taken += 1;
                    fixture.alloc(bytes((size.saturating_sub(160) / 2 + 1).min(512)));
                }
                Err(RegionError::TooSmall { start: at, size: offered, required }) => {
                    refused += 1;
                    assert_eq!((at, offered), (start.addr().get(), size));
                    assert!(required > size);
                    let short = fixture.try_add(required - 1);
                    assert!(matches!(short, Err(RegionError::TooSmall { .. })), "{short:?}");
                    assert_eq!(fixture.heap.total_bytes(), 0);
                    assert!(required < 128, "{required}");
                    fixture.try_add(required).expect("this many bytes are enough");
                    fixture.alloc(bytes(16));
                }
                Err(other) => panic!("{other}"),
            }
            fixture.heap.validate().expect("consistent");
        }
    }
    assert!(taken > 15 && refused > 5, "{taken} taken, {refused} refused");
}

#[test]
fn an_overlapping_region_is_refused_with_both_ranges() {
    let mut fixture: Fixture = Fixture::new(16 * KIB, 0);
    let start = fixture.arena.region().cast::<u8>();
    let address = start.addr().get();
    for (skip, size) in [(0, 16 * KIB), (0, 1), (16 * KIB - 1, 1), (4000, 5000)] {
        // SAFETY: within the arena.
        let part = NonNull::slice_from_raw_parts(unsafe { start.add(skip) }, size);
        // SAFETY: the heap refuses what it owns already and touches nothing.
        let refusal = unsafe { fixture.heap.add_region(part) };
        let expected = RegionError::Overlap {
            start: address + skip,
            size,
            other_start: address,
            other_size: 16 * KIB,
        };
        assert_eq!(refusal, Err(expected));
    }
    assert_eq!(fixture.heap.total_bytes(), 16 * KIB);
}

#[test]
fn sizes_and_alignments_at_the_edges_are_served_or_refused() {
    let mut fixture: Fixture = Fixture::new(64 * KIB, 3);
    let one = fixture.alloc(bytes(0));
    let other = fixture.alloc(bytes(0));
    assert_ne!(one, other, "empty blocks have their own addresses");
    fixture.free(one, bytes(0)).expect("live");
    fixture.free(other, bytes(0)).expect("live");

    let huge = layout(isize::MAX as usize, 1);
    assert!(matches!(
        fixture.heap.alloc(huge),
        Err(AllocError::NoMemory | AllocError::InvalidParam)
    ));
    assert_eq!(fixture.heap.alloc(layout(1, 1 << (usize::BITS - 2))), Err(AllocError::NoMemory));
    assert_eq!(fixture.heap.alloc(bytes(65 * KIB)), Err(AllocError::NoMemory));

    let mut served = 0;
    for align in (0..17).map(|log2| 1 << log2) {
        for size in [1, 16, 100, KIB, 5000] {
            let layout = layout(size, align);
            if let Ok(block) = fixture.heap.alloc(layout) {
                assert!(block.addr().get().is_multiple_of(align), "{layout:?}");
                fixture.free(block, layout).expect("live");
                served += 1;
            } else {
                assert!(align > 16 * KIB, "{layout:?} is refused by a heap of 64 KiB");
            }
        }
    }
    assert!(served >= 75, "{served}");
    assert_eq!(fixture.heap.used_bytes(), 0);
}

#[test]
fn misuse_is_found_with_numbers_and_changes_nothing() {
    let mut fixture: Fixture = Fixture::new(64 * KIB, 0);
    let small = bytes(100);
    let block = fixture.alloc(small);
    let address = block.addr().get();
    let before = fixture.heap.used_bytes();

    let interior =
        Fault::Interior { address: address + 8, block_address: address, block_bytes: 112 };
    // SAFETY: within the block.
    let inside = unsafe { block.add(8) };
    assert_eq!(fixture.free(inside, small), Err(interior));

    let wrong = Fault::WrongLayout { address, size: 200, align: 1, size_min: 97, size_max: 112 };
    assert_eq!(fixture.free(block, bytes(200)), Err(wrong));
    assert_eq!(fixture.heap.take_fault(), Some(wrong));
    assert_eq!(fixture.heap.take_fault(), None, "it is returned once");
    assert!(matches!(fixture.free(block, bytes(5000)), Err(Fault::WrongLayout { .. })));

    let stack = NonNull::from(&before).cast();
    let foreign = Fault::Foreign { address: stack.addr().get() };
    assert_eq!(fixture.free(stack, small), Err(foreign));

    // The slot behind the block was never handed out, nor was any granule far behind it.
    // SAFETY: within the arena.
    let next = unsafe { block.add(112) };
    let free_slot = Fault::DoubleFree { address: address + 112, block_bytes: 112 };
    assert_eq!(fixture.free(next, small), Err(free_slot));
    for kib in [8, 30] {
        // SAFETY: within the arena.
        let far = unsafe { block.add(kib * KIB) };
        assert!(matches!(fixture.free(far, small), Err(Fault::NotLive { .. })), "{kib} KiB");
    }

    assert_eq!(fixture.heap.used_bytes(), before);
    fixture.free(block, small).expect("live all the while");
    let twice = Fault::DoubleFree { address, block_bytes: 112 };
    assert_eq!(fixture.free(block, small), Err(twice));
    // SAFETY: within the block that was freed.
    let inside = unsafe { block.add(8) };
    let interior = Fault::NotLive { address: address + 8 };
    assert_eq!(fixture.free(inside, small), Err(interior), "into a block that is free");

    let large = bytes(9000);
    let block = fixture.alloc(large);
    let address = block.addr().get();
    for offset in [1, 16, 2 * KIB, 9 * KIB - 1] {
        // SAFETY: within the block.
        let inside = unsafe { block.add(offset) };
        let interior = Fault::Interior {
            address: address + offset,
            block_address: address,
            block_bytes: 9 * KIB,
        };
        assert_eq!(fixture.free(inside, large), Err(interior));
    }
    let wrong = Fault::WrongLayout {
        address,
        size: 100,
        align: 1,
        size_min: 8 * KIB + 1,
        size_max: 9 * KIB,
    };
    assert_eq!(fixture.free(block, small), Err(wrong));
    fixture.free(block, large).expect("live");
    let twice = Fault::DoubleFree { address, block_bytes: 9 * KIB };
    assert_eq!(fixture.free(block, large), Err(twice), "the run is cached");
    fixture.heap.reclaim();
    assert_eq!(fixture.free(block, large), Err(twice), "the run is free, and longer");
    assert_eq!(AllocError::from(twice), AllocError::NotAllocated);
}

/// A pointer is traced back to the start of its block over one mebibyte at most.
#[test]
#[cfg_attr(miri, ignore = "slow, and the same as in shorter blocks")]
fn a_pointer_far_into_a_large_block_is_refused_too() {
    let mut fixture: Fixture = Fixture::new(4096 * KIB, 0);
    let layout = bytes(3000 * KIB);
    let block = fixture.alloc(layout);
    for (offset, near) in [(1024 * KIB - 1, true), (1024 * KIB, false), (2999 * KIB, false)] {
        // SAFETY: within the block.
        let inside = unsafe { block.add(offset) };
        let fault = fixture.free(inside, layout).expect_err("no block starts there");
        assert_eq!(matches!(fault, Fault::Interior { .. }), near, "{fault}");
        assert_eq!(matches!(fault, Fault::NotLive { .. }), !near, "{fault}");
    }
    fixture.free(block, layout).expect("live");
}

/// A freed slot that the class holds again, but has not handed out, is free too.
#[test]
fn a_double_free_is_found_wherever_the_slot_waits() {
    let mut fixture: Fixture = Fixture::new(16 * KIB, 0);
    let layout = bytes(64);
    let first: Vec<_> = (0..16).map(|_| fixture.alloc(layout)).collect();
    for &block in &first[..4] {
        fixture.free(block, layout).expect("live");
    }
    // The class holds no slot now: the next block makes it take hold of the four freed ones.
    let again = fixture.alloc(layout);
    assert_eq!(again, first[0]);
    for &block in &first[1..4] {
        assert!(matches!(fixture.free(block, layout), Err(Fault::DoubleFree { .. })));
    }
    fixture.free(again, layout).expect("live");
}

#[test]
fn dealloc_refuses_misuse_counts_it_and_keeps_the_fault() {
    fn run<M: Mode>() {
        let mut fixture: Fixture<M> = Fixture::new(16 * KIB, 0);
        let block = fixture.alloc(bytes(9000));
        // SAFETY: the block is forgotten.
        unsafe { fixture.heap.dealloc(block, bytes(9000)) };
        assert_eq!(fixture.heap.take_fault(), None);
        // SAFETY: a checked heap refuses what is not live.
        unsafe { fixture.heap.dealloc(block, bytes(9000)) };
        // SAFETY: a checked heap refuses what is not live.
        let refused = unsafe { fixture.heap.try_dealloc(block, bytes(9000)) };
        assert_eq!(refused, Err(AllocError::NotAllocated));
        assert_eq!(fixture.heap.refused_frees(), 2);
        let address = block.addr().get();
        let twice = Fault::DoubleFree { address, block_bytes: 9 * KIB };
        assert_eq!(fixture.heap.take_fault(), Some(twice));
        assert_eq!(fixture.heap.take_fault(), None);
        fixture.heap.validate().expect("consistent");
    }
    run::<Checked>();
    run::<Hardened>();
}

/// The seed kept its links in freed blocks and followed what it found there.
#[test]
#[cfg(not(miri))]
fn writing_to_freed_blocks_damages_nothing() {
    for value in [0x00, 0x41, 0xFF] {
        let mut fixture: Fixture<Checked> = Fixture::new(64 * KIB, 0);
        let layout = bytes(48);
        let blocks = fixture.fill(layout);
        let count = blocks.len();
        for &block in &blocks {
            fixture.free(block, layout).expect("live");
            // SAFETY: still inside the arena, which nothing else uses; a bug that users have.
            unsafe { block.write_bytes(value, 48) };
        }
        fixture.heap.validate().expect("user memory holds no bookkeeping");
        let mut again = fixture.fill(layout);
        assert_eq!(again.len(), count);
        again.sort();
        again.dedup();
        assert_eq!(again.len(), count, "no block is handed out twice");
    }
}

/// A heap that found damage goes on without the damaged memory.
#[test]
fn hardened_finds_a_write_after_free_before_the_memory_is_handed_out() {
    // Miri takes its time over every byte.
    let kib = if cfg!(miri) { 16 } else { 32 };
    for (size, usable) in [(40, 48), (1000, 1024), (4090, 5 * KIB), (5000, 5 * KIB)] {
        if cfg!(miri) && size < KIB / 2 {
            continue;
        }
        let mut fixture: Fixture<Hardened> = Fixture::new(kib * KIB, 0);
        let layout = bytes(size);
        let block = fixture.alloc(layout);
        let address = block.addr().get();
        fixture.free(block, layout).expect("live");
        // SAFETY: still inside the arena; a bug that users have.
        let stale = unsafe { block.add(5) };
        // SAFETY: the byte lies in the arena; the sanitizer must let the write pass.
        unsafe { slab_core::poison::allow_access(stale, 1) };
        // SAFETY: the byte lies in the arena.
        unsafe { stale.write(1) };
        let (mut served, mut damaged) = (Vec::new(), 0);
        loop {
            match fixture.heap.alloc(layout) {
                Ok(block) => served.push(block),
                Err(AllocError::Damaged) => damaged += 1,
                Err(_) => break,
            }
        }
        fixture.heap.validate().expect("consistent");
        assert_eq!(damaged, 1, "{size} bytes");
        let fault = Fault::WrittenAfterFree { address, block_bytes: usable, offset: 5 };
        assert_eq!(fixture.heap.take_fault(), Some(fault));
        assert!(!served.is_empty() && !served.contains(&block), "it is never handed out");
        let twice = Fault::DoubleFree { address, block_bytes: usable };
        assert_eq!(fixture.free(block, layout), Err(twice));
        // SAFETY: a heap that checks refuses what is not live.
        let resized = unsafe { fixture.heap.realloc(block, layout, 10) };
        assert_eq!(resized, Err(AllocError::NotAllocated));
        fixture.free_all(served, layout);
        assert_eq!(fixture.heap.used_bytes(), usable, "what is damaged stays taken");
        fixture.heap.reclaim();
        assert!(!fixture.fill(layout).contains(&block));
    }
}

#[test]
fn hardened_finds_an_overrun_and_a_wrong_size_of_the_same_class() {
    let mut fixture: Fixture<Hardened> = Fixture::new(64 * KIB, 0);
    for size in [1, 40, 100, 1000, 4096, 9000] {
        let block = fixture.alloc(bytes(size));
        let address = block.addr().get();
        // SAFETY: a write to the byte behind the block, inside the arena.
        let behind = unsafe { block.add(size) };
        // SAFETY: the byte lies in the arena and holds a canary.
        let canary = unsafe { behind.read() };
        // SAFETY: the byte lies in the arena.
        unsafe { behind.write(!canary) };
        let overrun = Fault::WrittenPastEnd { address, size, offset: size };
        assert_eq!(fixture.free(block, bytes(size)), Err(overrun));
        // SAFETY: a hardened heap finds it before it changes anything.
        let resized = unsafe { fixture.heap.realloc(block, bytes(size), size / 2) };
        assert_eq!(resized, Err(AllocError::Damaged));
        assert_eq!(fixture.heap.take_fault(), Some(overrun));
        // SAFETY: the byte lies in the arena.
        unsafe { behind.write(canary) };
        for other in [size + 1, size - 1, size / 2, 2 * size] {
            let wrong = Fault::WrongLayout {
                address,
                size: other,
                align: 1,
                size_min: size,
                size_max: size,
            };
            assert_eq!(fixture.free(block, bytes(other)), Err(wrong));
        }
        fixture.free(block, bytes(size)).expect("repaired");
    }
    assert_eq!(fixture.heap.used_bytes(), 0);
}

/// axallocator's slab: a fresh heap of 32 KiB refused 1, 2 and 4 KiB, and 64 bytes aligned to 8192
/// came back misaligned.
#[test]
fn a_small_fresh_heap_serves_large_and_aligned_blocks() {
    for size in [KIB, 2 * KIB, 4 * KIB, 8 * KIB, 20 * KIB] {
        let mut fixture: Fixture = Fixture::new(32 * KIB, 0);
        fixture.alloc(bytes(size));
    }
    let mut fixture: Fixture = Fixture::new(32 * KIB, 0);
    fixture.alloc(layout(64, 8192));
}

/// The seed never took memory out of a class again.
#[test]
fn memory_leaves_its_class_whatever_filled_it_before() {
    let sizes: &[usize] =
        if cfg!(miri) { &[64, 3000] } else { &[1, 16, 64, 100, 500, KIB, 3000, 4096, 10_000] };
    let kib = if cfg!(miri) { 16 } else { 64 };
    let mut fixture: Fixture = Fixture::new(kib * KIB, 0);
    let whole = fixture.heap.largest_free();
    assert!(whole > (kib - 4) * KIB);
    for &size in sizes {
        let blocks = fixture.fill(bytes(size));
        assert!(!blocks.is_empty());
        fixture.free_all(blocks, bytes(size));
        assert_eq!(fixture.heap.used_bytes(), 0);
        for after in sizes.iter().copied().chain([whole]) {
            let block = fixture.alloc(bytes(after));
            fixture.free(block, bytes(after)).expect("live");
        }
        fixture.heap.reclaim();
        assert_eq!(fixture.heap.largest_free(), whole, "after filling with {size}");
    }
}

#[test]
fn the_largest_free_block_can_always_be_had() {
    fn whole_region<M: Mode>() {
        for kib in [3, 17, 64, 129] {
            let mut fixture: Fixture<M> = Fixture::new(kib * KIB, 11);
            let largest = fixture.heap.largest_free();
            let block = fixture.alloc(bytes(largest));
            assert_eq!(fixture.heap.alloc(bytes(largest)), Err(AllocError::NoMemory));
            fixture.free(block, bytes(largest)).expect("live");
        }
    }
    whole_region::<Checked>();
    whole_region::<Hardened>();
    whole_region::<Unchecked>();
}

#[test]
fn when_memory_is_short_a_block_may_take_a_larger_slot() {
    let mut fixture: Fixture = Fixture::new(8 * KIB, 0);
    let filled = fixture.fill(bytes(512));
    let spare = filled[0];
    fixture.free(spare, bytes(512)).expect("live");
    let borrowed = fixture.alloc(bytes(20));
    assert_eq!(borrowed, spare, "no other memory is left");
    let wrong = fixture.free(borrowed, bytes(5000));
    assert!(matches!(wrong, Err(Fault::WrongLayout { .. })), "{wrong:?}");
    fixture.free(borrowed, bytes(20)).expect("live");
    assert_eq!(fixture.alloc(bytes(512)), spare);
}

#[test]
fn blocks_are_resized_in_place_where_they_can_be() {
    let mut fixture: Fixture = Fixture::new(128 * KIB, 0);
    let block = fixture.alloc(bytes(100));
    // SAFETY: live, with this layout.
    let same = unsafe { fixture.heap.realloc(block, bytes(100), 112) };
    assert_eq!(same, Ok(block), "within its class");

    let large = fixture.alloc(bytes(10 * KIB));
    // SAFETY: live, with this layout.
    let longer = unsafe { fixture.heap.realloc(large, bytes(10 * KIB), 40 * KIB) };
    assert_eq!(longer, Ok(large), "the memory behind it is free");
    assert_eq!(fixture.heap.used_bytes(), 112 + 40 * KIB);
    // SAFETY: live, with this layout.
    let shorter = unsafe { fixture.heap.realloc(large, bytes(40 * KIB), 6000) };
    assert_eq!(shorter, Ok(large));
    assert_eq!(fixture.heap.used_bytes(), 112 + 6 * KIB);
    fixture.heap.validate().expect("consistent");

    let barrier = fixture.alloc(bytes(9 * KIB));
    assert_eq!(barrier.addr().get(), large.addr().get() + 6 * KIB);
    // SAFETY: live; its bytes are ours to write.
    unsafe { large.write_bytes(0x5A, 6000) };
    // SAFETY: live, with this layout.
    let moved = unsafe { fixture.heap.realloc(large, bytes(6000), 20 * KIB) }.expect("room");
    assert_ne!(moved, large);
    // SAFETY: the first 6000 bytes were copied.
    let kept = unsafe { std::slice::from_raw_parts(moved.as_ptr(), 6000) };
    assert!(kept.iter().all(|&byte| byte == 0x5A));
    // SAFETY: live, with this layout; a refusal leaves it as it was.
    let refused = unsafe { fixture.heap.realloc(moved, bytes(20 * KIB), usize::MAX) };
    assert_eq!(refused, Err(AllocError::InvalidParam));
    fixture.free(moved, bytes(20 * KIB)).expect("live");
    fixture.free(barrier, bytes(9 * KIB)).expect("live");
    fixture.free(block, bytes(112)).expect("live");
    assert_eq!(fixture.heap.used_bytes(), 0);
}

#[test]
fn many_regions_work_as_one_heap() {
    let count = if cfg!(miri) { 12 } else { 500 };
    let arenas: Vec<Arena> = (0..count).map(|nth| Arena::new(3000, nth * 8 % 4096)).collect();
    let mut heap: SlabByteAllocator = SlabByteAllocator::new();
    for arena in &arenas {
        // SAFETY: the arenas outlive the heap and are used through it alone.
        unsafe { heap.add_region(arena.region()) }.expect("large enough");
    }
    assert_eq!(heap.total_bytes(), count * 3000);
    let mut blocks = Vec::new();
    while let Ok(block) = heap.alloc(bytes(200)) {
        blocks.push(block);
    }
    assert!(blocks.len() >= count * 4, "{} blocks", blocks.len());
    // An order that jumps between regions.
    blocks.sort_by_key(|block| block.addr().get().wrapping_mul(0x9E37_79B9).rotate_left(13));
    for block in blocks {
        // SAFETY: live, and forgotten here.
        unsafe { heap.try_free(block, bytes(200)) }.expect("live");
    }
    assert_eq!(heap.used_bytes(), 0);
    heap.validate().expect("consistent");
}

#[test]
fn bookkeeping_stays_within_its_bound() {
    for kib in [2, 4, 8, 16, 32, 64, 256, 1024, 4096] {
        let fixture: Fixture = Fixture::new(kib * KIB, 0);
        let lines = kib * KIB / 1056 * 32;
        let metadata = fixture.heap.metadata_bytes();
        // Lines, header and edges, and at worst one granule that the rest has no room for.
        assert!(metadata <= lines + 128 + KIB, "{kib} KiB: {metadata}");
    }
}

#[test]
fn a_moved_heap_keeps_its_blocks() {
    let arena = Arena::new(16 * KIB, 0);
    let mut heap: SlabByteAllocator = SlabByteAllocator::new();
    // SAFETY: the arena outlives the heap and is used through it alone.
    unsafe { heap.add_region(arena.region()) }.expect("large enough");
    let block = heap.alloc(bytes(100)).expect("room");
    let mut moved = Box::new(heap);
    let heap = std::thread::spawn(move || {
        moved.alloc(bytes(100)).expect("room");
        moved
    });
    let mut heap = heap.join().expect("no panic");
    // SAFETY: live, with this layout.
    unsafe { heap.try_free(block, bytes(100)) }.expect("live");
}
