//! Programs of pops, pushes and misuse, checked against a model of the live slots and their content. The fuzz
//! target uses them too.

#[path = "../common/mod.rs"]
mod common;

use core::alloc::Layout;

use slab_core::{
    Checked, ErasedSlots, Hardened, Mode, Segment, Shape, Slot, SlotError, SlotIndex, SlotsState,
    Unchecked,
};
use slab_testkit::{Arena, Shadow};

/// How often the steps of a run did something.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Steps that used the segment; of several segments, the smallest number.
    pub executed: usize,
    /// Steps that used a segment, summed over all segments.
    pub executed_anywhere: usize,
    pub popped: usize,
    pub pushed: usize,
    pub refused: usize,
    pub misuse_found: usize,
}

/// Runs a program of two bytes per operation. Every byte string is a program.
fn run<S: Shape<M, I>, M: Mode, I: SlotIndex>(
    mut slots: Segment<S, M, I>,
    arena: &Arena,
    layout: Layout,
    program: &[u8],
) -> Tally {
    let mut tally = Tally::default();
    let mut shadow = Shadow::new();
    shadow.add_region(arena.region());
    let mut live: Vec<Slot<S::Block>> = Vec::new();
    for step in program.chunks_exact(2) {
        let nth = usize::from(step[1]).checked_rem(live.len());
        match (step[0] % 16, nth) {
            (0..=6, _) => match slots.try_pop_slot() {
                Ok(slot) => {
                    let start = slot.as_ptr().cast();
                    shadow.insert(start, layout).expect("overlaps no live slot");
                    // SAFETY: the token owns that many bytes.
                    unsafe { shadow.fill(start) }.expect("just inserted");
                    live.push(slot);
                    tally.popped += 1;
                }
                Err(error) => {
                    assert!(matches!(error, SlotError::OutOfMemory { available: 0, .. }));
                    assert_eq!(live.len(), slots.slot_count() as usize);
                    tally.refused += 1;
                }
            },
            (7..=12, Some(nth)) => {
                let slot = live.swap_remove(nth);
                let start = slot.as_ptr().cast();
                // SAFETY: the token owns the bytes, which were filled.
                unsafe { shadow.check_content(start) }.expect("only the owner writes there");
                shadow.remove(start).expect("it was live");
                if step[0] % 2 == 0 {
                    slots.push(slot).expect("it came from here");
                } else {
                    let slot = slot.into_ptr();
                    // SAFETY: the slot is live and its token was given up.
                    unsafe { slots.try_push_slot(slot) }.expect("it came from here");
                    if M::CHECKED {
                        // SAFETY: the slot is not used, and a tracking mode refuses a dead slot.
                        let again = unsafe { slots.try_push_slot(slot) };
                        assert!(matches!(again, Err(SlotError::DoubleFree { .. })), "{again:?}");
                        tally.misuse_found += 1;
                    }
                }
                tally.pushed += 1;
            }
            (13, Some(nth)) if layout.size() > 1 => {
                let inside = live[nth].as_ptr().cast::<u8>();
                // SAFETY: a slot has at least two bytes here.
                let inside = unsafe { inside.add(1) };
                assert_eq!(slots.index_of(inside), None);
                assert!(slots.owns(inside));
                tally.misuse_found += 1;
            }
            _ => continue,
        }
        tally.executed += 1;
        tally.executed_anywhere += 1;
        slots.validate().expect("the invariants hold");
        assert_eq!(slots.live_count() as usize, live.len());
        let expected = match live.len() {
            0 => SlotsState::Free,
            all if all == slots.slot_count() as usize => SlotsState::Full,
            _ => SlotsState::Partial,
        };
        assert_eq!((slots.state(), slots.has_free()), (expected, expected != SlotsState::Full));
    }
    for slot in live {
        // SAFETY: the token owns the bytes, which were filled.
        unsafe { shadow.check_content(slot.as_ptr().cast()) }.expect("only the owner writes there");
        slots.push(slot).expect("it came from here");
    }
    assert_eq!(slots.state(), SlotsState::Free);
    tally
}

/// Runs one program over every mode and shape, in a small segment at an odd address.
pub fn run_all(program: &[u8]) -> Tally {
    fn typed<T, M: Mode, I: SlotIndex>(program: &[u8]) -> Tally {
        let arena = Arena::new(24 * (size_of::<T>() + 9) + 16, 1);
        run(common::slots_in::<T, M, I>(&arena), &arena, Layout::new::<T>(), program)
    }
    fn erased<M: Mode>(layout: Layout, program: &[u8]) -> Tally {
        let arena = Arena::new(600, 7);
        let (start, bytes) = (arena.region().cast(), arena.region().len());
        // SAFETY: the arena outlives the slots and is theirs alone.
        let slots = unsafe { ErasedSlots::<M>::new(layout, start, bytes) }.expect("fits");
        run(slots, &arena, layout, program)
    }
    let layout = Layout::from_size_align(20, 4).expect("valid");
    let tallies = [
        typed::<u8, Unchecked, u8>(program),
        typed::<u64, Checked, u16>(program),
        typed::<[u8; 3], Checked, u32>(program),
        typed::<[u16; 5], Hardened, u16>(program),
        erased::<Unchecked>(layout, program),
        erased::<Checked>(layout, program),
        erased::<Hardened>(layout, program),
    ];
    let [first, others @ ..] = tallies;
    others.into_iter().fold(first, |sum, one| Tally {
        executed: sum.executed.min(one.executed),
        executed_anywhere: sum.executed_anywhere + one.executed_anywhere,
        popped: sum.popped.min(one.popped),
        pushed: sum.pushed.min(one.pushed),
        refused: sum.refused + one.refused,
        misuse_found: sum.misuse_found + one.misuse_found,
    })
}
