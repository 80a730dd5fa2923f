//! The misuse matrix: each wrong free and each wrong write in each mode that promises to find it. First
//! through `try_free`, which names what is wrong; then through the global allocator's face, in a child
//! process, because there a refused free ends the program.
#![expect(unsafe_code, reason = "misuses raw memory")]

use std::alloc::Layout;
use std::cell::RefCell;
use std::fmt::Debug;
use std::ptr::NonNull;

use slab_bytes::{Fault, SlabByteAllocator};
use slab_core::{Checked, Exhaustive, Hardened, Mode, Unchecked};
use slab_testkit::{Arena, Misuse, child};
use slab_traits::{AllocError, BaseAllocator, ByteAllocator, Locked};

const REGION_BYTES: usize = 32 * 1024;

fn bytes(size: usize) -> Layout {
    Layout::from_size_align(size, 1).expect("a valid layout")
}

/// The layout of the blocks that are misused: 112 bytes in every mode.
const SMALL: usize = 100;
/// One that is a whole run.
const LARGE: usize = 9000;

/// Returns whether an error is the one documented for a misuse.
fn is_named(misuse: Misuse, size: usize, fault: &Fault) -> bool {
    match misuse {
        Misuse::DoubleFree => {
            let usable = if size == SMALL { 112 } else { 9 * 1024 };
            matches!(*fault, Fault::DoubleFree { block_bytes, .. } if block_bytes == usable)
        }
        Misuse::Interior | Misuse::AlignedInterior | Misuse::Unaligned => {
            matches!(fault, Fault::Interior { .. })
        }
        Misuse::Foreign | Misuse::Stack => matches!(fault, Fault::Foreign { .. }),
        Misuse::NeverHandedOut => matches!(fault, Fault::NotLive { .. }),
        Misuse::SmallerLayout | Misuse::LargerLayout | Misuse::StricterLayout => {
            matches!(*fault, Fault::WrongLayout { size_min, size_max, .. }
                if (size_min..=size_max).contains(&size))
        }
        Misuse::DoubleFreeAfterReuse => false,
    }
}

struct Fixture<M: Mode> {
    heap: SlabByteAllocator<M>,
    arena: Arena,
}

impl<M: Mode> Fixture<M> {
    fn new() -> Self {
        let arena = Arena::new(REGION_BYTES, 0);
        let mut heap = SlabByteAllocator::new();
        // SAFETY: the arena is dropped after the heap and used through it alone.
        unsafe { heap.add_region(arena.region()) }.expect("large enough");
        Self { heap, arena }
    }
}

fn refused_and_nothing_changed<M: Mode>(misuse: Misuse, size: usize) {
    let (mut fixture, mut other) = (Fixture::<M>::new(), Fixture::<M>::new());
    let foreign = other.heap.alloc(bytes(size)).expect("room");
    let heap = RefCell::new(&mut fixture.heap);
    let (pointer, layout) = misuse.prepare(
        size,
        fixture.arena.region(),
        foreign,
        |layout| heap.borrow_mut().alloc(layout).expect("room"),
        // SAFETY: live, with this layout.
        |block, layout| unsafe { heap.borrow_mut().try_free(block, layout) }.expect("live"),
    );
    let used = fixture.heap.used_bytes();
    // SAFETY: the heap refuses an address of no live block, and a live block is not used again.
    let outcome = unsafe { fixture.heap.try_free(pointer, layout) };
    fixture.heap.validate().expect("consistent whatever was passed");
    if misuse == Misuse::DoubleFreeAfterReuse {
        // The address names a live block, and is taken for that. Whose block it was finds out.
        assert_eq!(outcome, Ok(()), "{misuse:?}");
        // SAFETY: a checked heap refuses what is not live.
        unsafe { fixture.heap.try_free(pointer, layout) }.expect_err("freed by another's mistake");
        return;
    }
    let fault = outcome.expect_err("misuse");
    if M::CHECKED {
        assert!(is_named(misuse, size, &fault), "{misuse:?} of {size} bytes: {fault:?}");
    }
    assert_eq!(fixture.heap.take_fault(), Some(fault), "{misuse:?}");
    assert_eq!(fixture.heap.used_bytes(), used, "{misuse:?}");
    // The pointer's own block, if it is one, is live still.
    if matches!(fault, Fault::WrongLayout { .. }) {
        // SAFETY: live, with this layout.
        unsafe { fixture.heap.try_free(pointer, bytes(size)) }.expect("live");
    }
}

#[test]
fn every_wrong_free_is_refused_by_name() {
    for misuse in Misuse::ALL {
        for size in [SMALL, LARGE] {
            refused_and_nothing_changed::<Checked>(misuse, size);
            refused_and_nothing_changed::<Hardened>(misuse, size);
            refused_and_nothing_changed::<Exhaustive>(misuse, size);
        }
    }
}

/// Promises that an unchecked heap still keeps.
#[test]
fn unchecked_refuses_what_lies_in_no_region_and_in_no_large_block() {
    for (misuse, size) in [
        (Misuse::Foreign, SMALL),
        (Misuse::Stack, SMALL),
        (Misuse::Foreign, LARGE),
        (Misuse::Stack, LARGE),
        (Misuse::DoubleFree, LARGE),
        (Misuse::Interior, LARGE),
        (Misuse::NeverHandedOut, LARGE),
    ] {
        refused_and_nothing_changed::<Unchecked>(misuse, size);
    }
}

/// Writes a byte of a freed block, allocates until a request is refused, and returns whether the refusal names it.
fn write_after_free_is_found<M: Mode>(size: usize, block_bytes: usize, offset: usize) -> bool {
    let mut fixture = Fixture::<M>::new();
    // An empty heap merges what was freed.
    let _other = fixture.heap.alloc(bytes(SMALL)).expect("room");
    let block = fixture.heap.alloc(bytes(size)).expect("room");
    // SAFETY: live, with this layout.
    unsafe { fixture.heap.try_free(block, bytes(size)) }.expect("live");
    poke(block, offset);
    let refusal = (0..2 * REGION_BYTES).find_map(|_| fixture.heap.alloc(bytes(size)).err());
    fixture.heap.validate().expect("consistent");
    if refusal != Some(AllocError::Damaged) {
        return false;
    }
    let address = block.addr().get();
    let written = Fault::WrittenAfterFree { address, block_bytes, offset };
    assert_eq!(fixture.heap.take_fault(), Some(written));
    true
}

#[test]
fn a_write_after_free_is_found_before_the_memory_is_handed_out_in_hardened_modes() {
    for offset in [0, 1, 50, 99] {
        assert!(write_after_free_is_found::<Exhaustive>(SMALL, 112, offset), "{offset}");
    }
    for offset in [0, 1, 15, 96, 99, 111] {
        assert!(write_after_free_is_found::<Hardened>(SMALL, 112, offset), "{offset}");
    }
    for offset in [0, 15, 9 * 1024 - 16, 9 * 1024 - 1] {
        assert!(write_after_free_is_found::<Exhaustive>(LARGE, 9 * 1024, offset), "{offset}");
        assert!(write_after_free_is_found::<Hardened>(LARGE, 9 * 1024, offset), "{offset}");
    }
}

/// The samples miss these.
#[test]
fn hardened_mode_does_not_look_at_the_middle_of_a_dead_block() {
    for offset in [16, 50, 95] {
        assert!(!write_after_free_is_found::<Hardened>(SMALL, 112, offset), "{offset}");
    }
    assert!(!write_after_free_is_found::<Hardened>(LARGE, 9 * 1024, 4000));
}

/// Changes a byte behind a block and returns the answer to its free.
fn free_after_overflow<M: Mode>(size: usize, usable: usize, offset: usize) -> Result<(), Fault> {
    let mut fixture = Fixture::<M>::new();
    let block = fixture.heap.alloc(bytes(size)).expect("room");
    let is_canary = M::EXHAUSTIVE || offset < size + 8 || offset >= usable - 8;
    if is_canary {
        flip(block, offset)
    } else {
        poke(block, offset)
    };
    // SAFETY: live, with this layout.
    let outcome = unsafe { fixture.heap.try_free(block, bytes(size)) };
    let address = block.addr().get();
    let expected = Fault::WrittenPastEnd { address, size, offset };
    assert_eq!(outcome.err().unwrap_or(expected), expected);
    fixture.heap.validate().expect("consistent");
    outcome
}

#[test]
fn an_overflow_into_the_neighbour_is_found_on_free_in_hardened_modes() {
    // A slot that the request would fill exactly has room for a canary too.
    for (size, usable) in [(SMALL, 112), (16, 32), (24, 32), (112, 128), (9 * 1024, 10 * 1024)] {
        for offset in (size..size + 8).chain(usable - 8..usable) {
            free_after_overflow::<Hardened>(size, usable, offset).expect_err("an overflow");
            free_after_overflow::<Exhaustive>(size, usable, offset).expect_err("an overflow");
        }
    }
}

/// `Hardened` mode misses a write that skips the first eight bytes behind the block and ends before the last
/// eight of its slot.
#[test]
fn hardened_mode_does_not_look_at_the_middle_of_the_slack() {
    for offset in [528, 600, 631] {
        free_after_overflow::<Hardened>(520, 640, offset).expect("missed");
        free_after_overflow::<Exhaustive>(520, 640, offset).expect_err("an overflow");
    }
}

#[test]
fn a_freed_block_is_not_handed_out_before_sixteen_further_frees() {
    let mut fixture = Fixture::<Hardened>::new();
    let heap = &mut fixture.heap;
    let live: Vec<_> = (0..200).map(|_| heap.alloc(bytes(64)).expect("room")).collect();
    let free = |heap: &mut SlabByteAllocator<Hardened>, block| {
        // SAFETY: live, with this layout.
        unsafe { heap.try_free(block, bytes(64)) }.expect("live");
    };
    // A class that would have to grow gets quarantined memory sooner.
    live[100..130].iter().for_each(|&block| free(heap, block));
    heap.reclaim();
    free(heap, live[0]);
    for &block in &live[1..16] {
        let next = heap.alloc(bytes(64)).expect("room");
        assert_ne!(next, live[0]);
        free(heap, block);
        heap.validate().expect("consistent");
    }
    assert_eq!(heap.quarantined_bytes(), 16 * 80);
    assert_eq!(heap.used_bytes(), (200 - 30 - 1) * 80);
    heap.reclaim();
    assert_eq!(heap.quarantined_bytes(), 0);
}

#[test]
fn a_quarantined_block_is_dead() {
    for size in [SMALL, 1] {
        let mut fixture = Fixture::<Hardened>::new();
        let heap = &mut fixture.heap;
        let _other = heap.alloc(bytes(size)).expect("room");
        let block = heap.alloc(bytes(size)).expect("room");
        // SAFETY: live, with this layout.
        unsafe { heap.try_free(block, bytes(size)) }.expect("live");
        let block_bytes = heap.quarantined_bytes();
        assert!(block_bytes > size);
        let address = block.addr().get();
        // SAFETY: a checked heap refuses what is not live.
        let twice = unsafe { heap.try_free(block, bytes(size)) };
        assert_eq!(twice, Err(Fault::DoubleFree { address, block_bytes }));
        // SAFETY: a checked heap refuses what is not live.
        let other_class = unsafe { heap.try_free(block, bytes(size + 1000)) };
        assert_eq!(other_class, Err(Fault::DoubleFree { address, block_bytes }));
        // SAFETY: within the region.
        let inside = unsafe { block.add(8) };
        // SAFETY: a checked heap refuses what is not live.
        let interior = unsafe { heap.try_free(inside, bytes(size)) };
        assert_eq!(interior, Err(Fault::NotLive { address: address + 8 }));
        // SAFETY: a checked heap refuses what is not live.
        let resized = unsafe { heap.resize_in_place(block, bytes(size), bytes(size)) };
        assert_eq!(resized, Err(AllocError::NotAllocated));
        heap.validate().expect("consistent");
    }
}

/// All that fitted fits again.
#[test]
fn no_allocation_fails_because_of_the_quarantine() {
    fn fill<M: Mode>(heap: &mut SlabByteAllocator<M>, size: usize) -> Vec<NonNull<u8>> {
        std::iter::from_fn(|| heap.alloc(bytes(size)).ok()).collect()
    }
    for size in [1, 100, 700, 3000, 5000] {
        let mut fixture = Fixture::<Hardened>::new();
        let heap = &mut fixture.heap;
        let mut live = fill(heap, size);
        let count = live.len();
        for round in 0..3 {
            // One stays, so that the heap is never empty.
            for block in live.drain(1..) {
                // SAFETY: live, with this layout.
                unsafe { heap.try_free(block, bytes(size)) }.expect("live");
            }
            heap.validate().expect("consistent");
            live.extend(fill(heap, size));
            assert_eq!(live.len(), count, "round {round} of {size} bytes");
        }
    }
}

/// Returns the offsets of the first blocks, and the canary of the first one.
fn choices<M: Mode>(arena: &Arena, entropy: &[u64]) -> (Vec<usize>, [u8; 8]) {
    let mut heap = SlabByteAllocator::<M>::new();
    // SAFETY: the arena outlives the heap and is used through it alone.
    unsafe { heap.add_region(arena.region()) }.expect("large enough");
    for &word in entropy {
        heap.add_entropy(word);
    }
    let start = arena.region().cast::<u8>().addr().get();
    let blocks: Vec<_> = (0..60).map(|_| heap.alloc(bytes(8)).expect("room")).collect();
    heap.validate().expect("consistent");
    // SAFETY: the slack of the block, which a hardened heap has initialised.
    let slack = unsafe { blocks[0].add(8) };
    // SAFETY: the slack of the block.
    unsafe { slab_core::poison::allow_access(slack, 8) };
    // SAFETY: the slack of the block is initialised in hardened modes.
    let canary = if M::HARDENED { unsafe { slack.cast().read() } } else { [0; 8] };
    for &block in &blocks {
        // SAFETY: live, with this layout.
        unsafe { heap.try_free(block, bytes(8)) }.expect("live");
    }
    (blocks.iter().map(|block| block.addr().get() - start).collect(), canary)
}

#[test]
fn entropy_decides_which_slot_a_block_gets_and_what_its_canary_is() {
    let arena = Arena::new(REGION_BYTES, 0);
    for choices in [choices::<Hardened>, choices::<Exhaustive>] {
        let (plain, plain_canary) = choices(&arena, &[]);
        assert!(plain.is_sorted(), "without entropy the lowest slot is taken");
        let (one, one_canary) = choices(&arena, &[1]);
        let (other, other_canary) = choices(&arena, &[2]);
        assert_eq!(choices(&arena, &[1]).0, one, "equal entropy gives equal choices");
        assert_ne!(choices(&arena, &[1, 0]).0, one);
        let differ = |a: &[usize], b: &[usize]| a.iter().zip(b).filter(|(a, b)| a != b).count();
        assert!(differ(&one, &other) > 40 && differ(&one, &plain) > 40);
        assert!(!one.is_sorted() && !other.is_sorted());
        assert!(plain_canary != one_canary && one_canary != other_canary);
    }
    assert_eq!(choices::<Checked>(&arena, &[1]).0, choices::<Checked>(&arena, &[]).0);
}

/// Entropy that is given while blocks are live changes no canary.
#[test]
fn live_blocks_survive_further_entropy() {
    let mut fixture = Fixture::<Hardened>::new();
    let block = fixture.heap.alloc(bytes(SMALL)).expect("room");
    fixture.heap.add_entropy(7);
    // SAFETY: live, with this layout.
    unsafe { fixture.heap.try_free(block, bytes(SMALL)) }.expect("its canary is intact");
}

/// `Checked` does not look at user memory. Writes there damage other users, never the heap.
#[test]
#[cfg(not(any(miri, slab_sanitizer = "address")))]
fn wrong_writes_never_damage_the_bookkeeping() {
    let mut fixture = Fixture::<Checked>::new();
    let blocks: Vec<_> = (0..20).map(|_| fixture.heap.alloc(bytes(SMALL)).expect("room")).collect();
    for &block in &blocks[..10] {
        // SAFETY: live, with this layout.
        unsafe { fixture.heap.try_free(block, bytes(SMALL)) }.expect("live");
    }
    for &block in &blocks {
        (0..SMALL + 8).for_each(|offset| poke(block, offset));
    }
    fixture.heap.validate().expect("its bookkeeping lies elsewhere");
    while fixture.heap.alloc(bytes(SMALL)).is_ok() {}
    fixture.heap.validate().expect("consistent");
}

/// Writes one byte, as a program would that forgot whose it is.
fn poke(block: NonNull<u8>, offset: usize) {
    // SAFETY: within the region. The sanitizer would report it, and is told to let it pass.
    let byte = unsafe { block.add(offset) };
    // SAFETY: the byte lies within the region.
    unsafe { slab_core::poison::allow_access(byte, 1) };
    // SAFETY: the byte lies within the region.
    unsafe { byte.write(0x5A) };
}

/// As [`poke`], of a byte of a canary, which may be any: it is another one afterwards.
fn flip(block: NonNull<u8>, offset: usize) {
    // SAFETY: within the region.
    let byte = unsafe { block.add(offset) };
    // SAFETY: the byte lies within the region.
    unsafe { slab_core::poison::allow_access(byte, 1) };
    // SAFETY: a canary is initialised.
    let before = unsafe { byte.read() };
    // SAFETY: none: this is the mistake.
    unsafe { byte.write(!before) };
}

// The other face: a program whose allocator it is.

fn act_out<M: Mode>(misuse: Misuse, size: usize) {
    let ((heap, region), (other, _)) = (shared::<M>(), shared::<M>());
    misuse.act_out(size, &heap, region, &other);
}

type Shared<M> = Locked<spin::Mutex<()>, SlabByteAllocator<M>>;

/// Returns a heap and its region.
fn shared<M: Mode>() -> (Shared<M>, NonNull<[u8]>) {
    let heap = Locked::new(SlabByteAllocator::new());
    let region = NonNull::from(Box::leak(vec![0; REGION_BYTES].into_boxed_slice()));
    // SAFETY: leaked memory that nothing else uses.
    unsafe { heap.add_region(region) }.expect("large enough");
    (heap, region)
}

/// The child's part; on its own it does nothing.
#[test]
fn acts() {
    let Some(cell) = child::cell() else { return };
    for misuse in Misuse::ALL {
        for size in [SMALL, LARGE] {
            if cell == name_of::<Checked>(misuse, size) {
                act_out::<Checked>(misuse, size);
            } else if cell == name_of::<Hardened>(misuse, size) {
                act_out::<Hardened>(misuse, size);
            }
        }
    }
}

fn name_of<M: Mode>(misuse: impl Debug, size: usize) -> String {
    format!("{} {misuse:?} {size}", M::NAME)
}

/// Returns what the one line of the program says.
fn name_in_words(misuse: Misuse) -> &'static str {
    match misuse {
        Misuse::DoubleFree | Misuse::DoubleFreeAfterReuse => "double free of block",
        Misuse::Interior | Misuse::AlignedInterior | Misuse::Unaligned => "pointer into a block",
        Misuse::Foreign | Misuse::Stack => "foreign pointer",
        Misuse::NeverHandedOut => "not allocated",
        Misuse::SmallerLayout | Misuse::LargerLayout | Misuse::StricterLayout => "wrong layout",
    }
}

fn ends_the_program<M: Mode>(misuse: Misuse, size: usize) {
    let ending = child::run_child("acts", &name_of::<M>(misuse, size));
    if misuse == Misuse::DoubleFreeAfterReuse {
        assert!(ending.went_on(), "{ending}");
    } else {
        ending.assert_ended(&[name_in_words(misuse)]);
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri runs no other program")]
fn every_wrong_free_ends_a_program_whose_global_allocator_it_is() {
    for misuse in Misuse::ALL {
        for size in [SMALL, LARGE] {
            ends_the_program::<Checked>(misuse, size);
            ends_the_program::<Hardened>(misuse, size);
        }
    }
}
