//! Misuse is named with its numbers, and writes to freed memory are found before they do harm.

use std::alloc::Layout;
use std::ptr::NonNull;

use slab_bytes::{Bounded, Compact, Fault, Policy, UnitByteAllocator};
use slab_testkit::Arena;
use slab_traits::{AllocError, BaseAllocator, ByteAllocator};

fn bytes(size: usize) -> Layout {
    Layout::from_size_align(size, 1).expect("small")
}

fn heap<P: Policy>(arena: &Arena) -> UnitByteAllocator<P> {
    let mut heap = UnitByteAllocator::with_policy();
    // SAFETY: the arena outlives the heap and is used through it alone.
    unsafe { heap.add_region(arena.region()) }.expect("large enough");
    heap
}

/// Frees what may be no block.
fn fault<P: Policy>(heap: &mut UnitByteAllocator<P>, at: NonNull<u8>, layout: Layout) -> Fault {
    let used = heap.used_bytes();
    // SAFETY: the heap refuses an address of no live block, and no block is used afterwards.
    let fault = unsafe { heap.try_free(at, layout) }.expect_err("refused");
    assert_eq!(heap.take_fault(), Some(fault));
    assert_eq!(heap.used_bytes(), used);
    heap.validate().expect("consistent");
    fault
}

fn each_misuse<P: Policy>() {
    for size in [1, 16, 17, 100, 512, 600, 9000, 30_000] {
        let arena = Arena::new(100_000, 3);
        let heap = &mut heap::<P>(&arena);
        let block = heap.alloc(bytes(size)).expect("room");
        let next = heap.alloc(bytes(size)).expect("room");
        let address = block.addr().get();
        let block_bytes = size.next_multiple_of(16);
        // SAFETY: inside the block.
        let inside = |offset| unsafe { block.add(offset) };
        let wrong = |at: NonNull<u8>, layout: Layout| Fault::WrongLayout {
            address: at.addr().get(),
            size: layout.size(),
            align: layout.align(),
            size_min: if block_bytes == 16 { 0 } else { block_bytes - 15 },
            size_max: block_bytes,
        };
        for layout in [bytes(block_bytes + 1), bytes(block_bytes * 2), bytes(1 << 30)] {
            assert_eq!(fault(heap, block, layout), wrong(block, layout));
        }
        if block_bytes > 16 {
            assert_eq!(
                fault(heap, block, bytes(block_bytes - 16)),
                wrong(block, bytes(block_bytes - 16))
            );
            let interior =
                Fault::Interior { address: address + 16, block_address: address, block_bytes };
            assert_eq!(fault(heap, inside(16), bytes(size)), interior);
        }
        let odd = Fault::Interior { address: address + 1, block_address: address, block_bytes };
        assert_eq!(fault(heap, inside(1), bytes(size)), odd);
        let mut local = 0_u8;
        let foreign = NonNull::from(&mut local);
        let address_of_local = foreign.addr().get();
        assert_eq!(fault(heap, foreign, bytes(1)), Fault::Foreign { address: address_of_local });
        // SAFETY: live, and not used again.
        unsafe { heap.try_free(block, bytes(size)) }.expect("live");
        assert_eq!(fault(heap, block, bytes(size)), Fault::DoubleFree { address, block_bytes });
        // SAFETY: live, and not used again.
        unsafe { heap.try_free(next, bytes(size)) }.expect("live");
        // SAFETY: in the region, but never part of a block.
        let fresh = unsafe { arena.region().cast::<u8>().add(99_000) };
        assert!(matches!(fault(heap, fresh, bytes(1)), Fault::NotLive { .. }));
        let refused = if block_bytes == 16 { 6 } else { 8 } + 1;
        assert_eq!((heap.used_bytes(), heap.refused_frees()), (0, refused));
    }
}

#[test]
fn misuse_is_named() {
    each_misuse::<Compact>();
    each_misuse::<Bounded>();
}

/// A layout beyond all units is refused like any other wrong one, through `dealloc` too.
#[test]
#[cfg(target_pointer_width = "64")]
fn a_layout_beyond_all_regions_is_no_layout_of_a_block() {
    let arena = Arena::new(10_000, 0);
    let heap = &mut heap::<Compact>(&arena);
    let small = heap.alloc(bytes(16)).expect("room");
    let block = heap.alloc(bytes(1000)).expect("room");
    // SAFETY: live. Then blocks may be parked.
    unsafe { heap.dealloc(small, bytes(16)) };
    let layout = bytes((1 << 36) + 17);
    // SAFETY: the heap refuses a layout that is not the block's.
    unsafe { heap.dealloc(block, layout) };
    let fault = heap.take_fault();
    assert!(matches!(fault, Some(Fault::WrongLayout { .. })), "{fault:?}");
    assert_eq!(heap.refused_frees(), 1);
}

#[test]
fn layouts_that_no_region_holds_are_refused() {
    let arena = Arena::new(10_000, 0);
    let heap = &mut heap::<Bounded>(&arena);
    let most = Layout::from_size_align(isize::MAX as usize - 15, 16).expect("valid");
    assert!(heap.alloc(most).is_err());
    let wide = Layout::from_size_align(1, 1 << (usize::BITS - 2)).expect("valid");
    assert_eq!(heap.alloc(wide), Err(AllocError::NoMemory));
    assert!(heap.alloc(bytes(9000)).is_ok());
    heap.validate().expect("consistent");
}

/// Overwrites the first bytes of each freed block in turn, and goes on as a program would. No two blocks may overlap,
/// and none may lie outside the region.
///
/// The words written are valid addresses or zero: the heap reads what a link leads to, and compares it.
fn written_after_free<P: Policy>(pattern: impl Fn(&[NonNull<u8>], usize) -> Option<NonNull<u8>>) {
    let arena = Arena::new(20_000, 0);
    for victim in 0..8 {
        let mut heap = heap::<P>(&arena);
        let sizes = [16, 32, 48, 600, 48, 32, 16, 1000];
        let mut live = Vec::new();
        let blocks: Vec<_> = sizes
            .map(|size| {
                let block = heap.alloc(bytes(size)).expect("room");
                let beside = heap.alloc(bytes(24)).expect("room");
                // SAFETY: a live block. The heap may read it where a link leads to it.
                unsafe { beside.write_bytes(0, 24) };
                live.push((beside, bytes(24)));
                (block, bytes(size))
            })
            .into();
        for &(block, layout) in &blocks {
            // SAFETY: live, and not used again but for the mistake below.
            unsafe { heap.dealloc(block, layout) };
        }
        let place = blocks[victim].0.cast::<Option<NonNull<u8>>>();
        let known: Vec<_> = live.iter().map(|&(block, _)| block).collect();
        for word in 0..2 {
            // SAFETY: in the arena, whose memory is the test's. This is the mistake of the program.
            unsafe { place.add(word).write(pattern(&known, word)) };
        }
        let mut damaged = 0;
        for nth in 0..60 {
            let layout = bytes(sizes[nth % 8]);
            match heap.alloc(layout) {
                Ok(block) => live.push((block, layout)),
                Err(AllocError::Damaged) => {
                    let told = heap.take_fault();
                    assert!(matches!(told, Some(Fault::WrittenAfterFree { .. })), "{told:?}");
                    damaged += 1;
                }
                Err(other) => assert_eq!(other, AllocError::NoMemory),
            }
        }
        assert!(damaged <= 8, "each mistake is met once: {damaged}");
        live.sort_by_key(|(block, _)| block.addr());
        let region = arena.region();
        let (start, end) =
            (region.cast::<u8>().addr().get(), region.cast::<u8>().addr().get() + region.len());
        for pair in live.windows(2) {
            assert!(pair[0].0.addr().get() + pair[0].1.size() <= pair[1].0.addr().get());
        }
        assert!(live.iter().all(|(block, layout)| {
            let at = block.addr().get();
            start <= at && at + layout.size() <= end
        }));
    }
}

fn each_pattern<P: Policy>() {
    // Zero is a valid end of a list; the heap loses what is behind it.
    written_after_free::<P>(|_, _| None);
    // The block itself is not of interest: each is the address of a live block, or near one.
    written_after_free::<P>(|known, word| Some(known[word]));
    written_after_free::<P>(|known, word| (word == 0).then_some(known[3]));
    written_after_free::<P>(|known, word| (word == 1).then_some(known[3]));
    // SAFETY: inside a live block of the arena.
    written_after_free::<P>(|known, _| Some(unsafe { known[2].add(8) }));
}

#[test]
fn what_a_program_writes_to_a_freed_block_leads_to_no_overlap() {
    each_pattern::<Compact>();
    each_pattern::<Bounded>();
}
