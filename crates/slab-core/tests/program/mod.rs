//! Programs of pops, pushes and misuse, checked against a model of the live slots and their content. The fuzz
//! target uses them too.

#[path = "../common/mod.rs"]
mod common;

use core::alloc::Layout;

use slab_core::{
    Checked, ErasedSlots, Hardened, Mode, Segment, Shape, Slot, SlotError, SlotIndex, SlotsState,
    Unchecked,
};
use slab_testkit::program::{self, Counts};
use slab_testkit::{Arena, Machine, Operation, Shadow};

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

/// A step of a program. `nth` picks a live slot, modulo their number.
#[derive(Debug, Clone, Copy)]
enum Op {
    Pop,
    Push {
        nth: usize,
    },
    /// Pushes a slot by its pointer, and then once more.
    PushTwice {
        nth: usize,
    },
    /// Looks up a pointer into a live slot.
    LookUpInterior {
        nth: usize,
    },
    Nothing,
}

impl Operation for Op {
    type Code = [u8; 2];

    fn from_code([tag, nth]: [u8; 2]) -> Self {
        let nth = nth.into();
        match tag % 16 {
            0..=6 => Self::Pop,
            7..=12 if tag % 2 == 0 => Self::Push { nth },
            7..=12 => Self::PushTwice { nth },
            13 => Self::LookUpInterior { nth },
            _ => Self::Nothing,
        }
    }
}

/// A segment, and the model of its live slots.
struct Run<S: Shape<M, I>, M: Mode, I: SlotIndex> {
    slots: Segment<S, M, I>,
    layout: Layout,
    shadow: Shadow,
    live: Vec<Slot<S::Block>>,
    tally: Tally,
}

impl<S: Shape<M, I>, M: Mode, I: SlotIndex> Run<S, M, I> {
    fn pop(&mut self) {
        match self.slots.try_pop_slot() {
            Ok(slot) => {
                let start = slot.as_ptr().cast();
                self.shadow.insert(start, self.layout).expect("overlaps no live slot");
                // SAFETY: the token owns that many bytes.
                unsafe { self.shadow.fill(start) }.expect("just inserted");
                self.live.push(slot);
                self.tally.popped += 1;
            }
            Err(error) => {
                assert!(matches!(error, SlotError::OutOfMemory { available: 0, .. }));
                assert_eq!(self.live.len(), self.slots.slot_count() as usize);
                self.tally.refused += 1;
            }
        }
    }

    /// Removes a live slot from the model, and returns its token.
    fn take(&mut self, nth: usize) -> Slot<S::Block> {
        let slot = self.live.swap_remove(nth);
        let start = slot.as_ptr().cast();
        // SAFETY: the token owns the bytes, which were filled.
        unsafe { self.shadow.check_content(start) }.expect("only the owner writes there");
        self.shadow.remove(start).expect("it was live");
        self.tally.pushed += 1;
        slot
    }

    fn push_twice(&mut self, nth: usize) {
        let slot = self.take(nth).into_ptr();
        // SAFETY: the slot is live and its token was given up.
        unsafe { self.slots.try_push_slot(slot) }.expect("it came from here");
        if M::CHECKED {
            // SAFETY: the slot is not used, and a tracking mode refuses a dead slot.
            let again = unsafe { self.slots.try_push_slot(slot) };
            assert!(matches!(again, Err(SlotError::DoubleFree { .. })), "{again:?}");
            self.tally.misuse_found += 1;
        }
    }

    fn look_up_interior(&mut self, nth: usize) {
        // SAFETY: the slot has at least two bytes.
        let inside = unsafe { self.live[nth].as_ptr().cast::<u8>().add(1) };
        assert_eq!(self.slots.index_of(inside), None);
        assert!(self.slots.owns(inside));
        self.tally.misuse_found += 1;
    }

    /// Pushes all live slots.
    fn finish(mut self, counts: Counts) -> Tally {
        while !self.live.is_empty() {
            let slot = self.take(0);
            self.tally.pushed -= 1;
            self.slots.push(slot).expect("it came from here");
        }
        assert_eq!(self.slots.state(), SlotsState::Free);
        Tally { executed: counts.executed, executed_anywhere: counts.executed, ..self.tally }
    }
}

impl<S: Shape<M, I>, M: Mode, I: SlotIndex> Machine<Op> for Run<S, M, I> {
    type Fault = SlotError;

    fn step(&mut self, op: Op) -> Result<bool, SlotError> {
        let live_count = self.live.len();
        let pick = |nth: usize| nth.checked_rem(live_count);
        match op {
            Op::Pop => self.pop(),
            Op::Push { nth } => {
                let Some(nth) = pick(nth) else { return Ok(false) };
                let slot = self.take(nth);
                self.slots.push(slot).expect("it came from here");
            }
            Op::PushTwice { nth } => {
                let Some(nth) = pick(nth) else { return Ok(false) };
                self.push_twice(nth);
            }
            Op::LookUpInterior { nth } if self.layout.size() > 1 => {
                let Some(nth) = pick(nth) else { return Ok(false) };
                self.look_up_interior(nth);
            }
            Op::LookUpInterior { .. } | Op::Nothing => return Ok(false),
        }
        assert_eq!(self.slots.live_count() as usize, self.live.len());
        let expected = match self.live.len() {
            0 => SlotsState::Free,
            all if all == self.slots.slot_count() as usize => SlotsState::Full,
            _ => SlotsState::Partial,
        };
        let state = (self.slots.state(), self.slots.has_free());
        assert_eq!(state, (expected, expected != SlotsState::Full));
        self.slots.validate()?;
        Ok(true)
    }

    /// Does nothing: `step` validates, also in long programs.
    fn validate(&mut self) -> Result<(), SlotError> {
        Ok(())
    }
}

fn run<S: Shape<M, I>, M: Mode, I: SlotIndex>(
    slots: Segment<S, M, I>,
    arena: &Arena,
    layout: Layout,
    program: &[u8],
) -> Tally {
    let mut shadow = Shadow::new();
    shadow.add_region(arena.region());
    let mut run = Run { slots, layout, shadow, live: Vec::new(), tally: Tally::default() };
    // A byte too many is no operation.
    let ops = program::decode(&program[..program.len() / 2 * 2]);
    match program::run(&mut run, &ops) {
        Ok(counts) => run.finish(counts),
        Err(failure) => panic!("{failure}"),
    }
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
