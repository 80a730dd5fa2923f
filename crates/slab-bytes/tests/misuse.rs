//! The misuse matrix: each wrong free and each wrong write in each mode that promises to find it. First
//! through `try_free`, which names what is wrong; then through the global allocator's face, in a child
//! process, because there a refused free ends the program.
#![expect(unsafe_code, reason = "misuses raw memory")]

use std::alloc::Layout;
use std::cell::RefCell;
use std::fmt::Debug;
use std::ptr::NonNull;

use slab_bytes::{Fault, SlabByteAllocator};
use slab_core::{Checked, Hardened, Mode, Unchecked};
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

#[test]
fn a_write_after_free_is_found_before_the_memory_is_handed_out_in_hardened_mode() {
    for offset in [0, 1, 50, 99] {
        let mut fixture = Fixture::<Hardened>::new();
        let block = fixture.heap.alloc(bytes(SMALL)).expect("room");
        // SAFETY: live, with this layout.
        unsafe { fixture.heap.try_free(block, bytes(SMALL)) }.expect("live");
        poke(block, offset);
        let refusal = (0..2 * REGION_BYTES).find_map(|_| fixture.heap.alloc(bytes(SMALL)).err());
        assert_eq!(refusal, Some(AllocError::Damaged));
        let address = block.addr().get();
        let written = Fault::WrittenAfterFree { address, block_bytes: 112, offset };
        assert_eq!(fixture.heap.take_fault(), Some(written));
        fixture.heap.validate().expect("consistent");
    }
}

#[test]
fn an_overflow_into_the_neighbour_is_found_on_free_in_hardened_mode() {
    for offset in [SMALL, SMALL + 7] {
        let mut fixture = Fixture::<Hardened>::new();
        let block = fixture.heap.alloc(bytes(SMALL)).expect("room");
        flip(block, offset);
        // SAFETY: live, with this layout.
        let outcome = unsafe { fixture.heap.try_free(block, bytes(SMALL)) };
        let address = block.addr().get();
        assert_eq!(outcome, Err(Fault::WrittenPastEnd { address, size: SMALL, offset }));
        fixture.heap.validate().expect("consistent");
    }
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
