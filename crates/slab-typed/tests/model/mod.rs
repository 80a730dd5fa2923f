//! Operations on an allocator, and the model that each result is compared with. Shared by the property tests, the fuzz
//! target and Miri.

use std::collections::BTreeMap;
use std::rc::Rc;

use slab_typed::{SlabAllocator, SlabError, SlotHandle};

/// The bytes of one operation.
pub const OP_BYTES: usize = 3;

/// The stale handles that are tried again after each step.
const FREED_MAX: usize = 512;

/// An operation. Numbers are taken modulo the number of choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Allocate(u8),
    AllocateWith,
    DropVacantEntry,
    Free(u16),
    Take(u16),
    FreeStale(u16),
    Mutate(u16),
    Disjoint(u16),
    Reserve(u8),
    Retain(u8),
    Clear,
    Drain(u8),
    IterateMut,
    Compact,
    SpareSlabs(u8),
    ShrinkTo(u16),
    Defragment {
        max_moves: u8,
        stop_after: u8,
    },
    Clone,
    /// Leaves only a few lives to later slabs.
    NearLastGeneration(u8),
    Forge {
        index: u16,
        generation: u8,
    },
    Place {
        slab: u8,
        slot: u8,
    },
}

impl Op {
    fn decode([kind, low, high]: [u8; OP_BYTES]) -> Self {
        let wide = u16::from_le_bytes([low, high]);
        match kind % 64 {
            0..=19 => Self::Allocate(low % 16),
            20..=32 => Self::Free(wide),
            33..=38 => Self::Take(wide),
            39..=40 => Self::AllocateWith,
            41 => Self::DropVacantEntry,
            42..=43 => Self::FreeStale(wide),
            44 => Self::Mutate(wide),
            45 => Self::Disjoint(wide),
            46 => Self::Reserve(low),
            47 => Self::Retain(low),
            48 => Self::Clear,
            49 => Self::Drain(low),
            50 => Self::IterateMut,
            51..=53 => Self::Compact,
            54 => Self::SpareSlabs(low % 4),
            55..=56 => Self::ShrinkTo(wide % 128),
            57..=59 => Self::Defragment { max_moves: low, stop_after: high },
            60 => Self::Clone,
            61 if high < 8 => Self::NearLastGeneration(low),
            61 | 62 => Self::Forge { index: wide, generation: low },
            _ => Self::Place { slab: low % 16, slot: high },
        }
    }

    /// Reads a program, and ignores an incomplete operation at its end.
    pub fn decode_all(bytes: &[u8]) -> Vec<Self> {
        bytes.as_chunks().0.iter().map(|&bytes| Self::decode(bytes)).collect()
    }
}

/// A value whose leak or second drop is noticed.
#[derive(Debug, Clone)]
pub struct Tracked {
    number: u64,
    _owner: Rc<()>,
}

/// The effects of a run. Tests assert them, because a run without effects proves nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Report {
    pub executed: usize,
    pub stored: usize,
    pub removed: usize,
    pub released: usize,
    pub moved: usize,
    pub retired: usize,
}

struct Run {
    subject: SlabAllocator<Tracked>,
    model: BTreeMap<SlotHandle, u64>,
    freed: Vec<SlotHandle>,
    owner: Rc<()>,
    next_number: u64,
    report: Report,
}

/// Runs operations on an allocator, and panics at the first wrong result.
pub fn check(slab_capacity: usize, ops: &[Op]) -> Report {
    let mut run = Run {
        subject: SlabAllocator::new(slab_capacity),
        model: BTreeMap::new(),
        freed: Vec::new(),
        owner: Rc::new(()),
        next_number: 0,
        report: Report::default(),
    };
    // Under Miri a comparison takes a thousand times as long as a step.
    let compare_every = if cfg!(miri) { 10 } else { 1 };
    for (step, &op) in ops.iter().enumerate() {
        run.step(op);
        if step % compare_every == 0 {
            run.compare();
        }
        run.report.executed += 1;
    }
    run.compare();
    let Run { subject, owner, report, .. } = run;
    drop(subject);
    assert_eq!(Rc::strong_count(&owner), 1, "values leaked");
    report
}

impl Run {
    fn step(&mut self, op: Op) {
        match op {
            Op::Allocate(count) => (0..=count).for_each(|_| self.allocate()),
            Op::AllocateWith => {
                let (number, value) = self.value();
                let mut told = None;
                let handle = self.subject.allocate_with(|handle| {
                    told = Some(handle);
                    value
                });
                assert_eq!(handle.ok(), told);
                self.stored(told.expect("memory is not refused here"), number);
            }
            Op::DropVacantEntry => {
                let key = self.subject.try_vacant_entry().map(|entry| entry.key());
                let again = self.subject.try_vacant_entry().map(|entry| entry.key());
                assert_eq!(key, again, "a dropped entry changes nothing");
            }
            Op::Free(n) => {
                let Some(handle) = self.live(n) else { return };
                assert_eq!(self.subject.free(handle), Ok(()));
                self.removed(handle);
            }
            Op::Take(n) => {
                let Some(handle) = self.live(n) else { return };
                let value = self.subject.take(handle).expect("the handle is live");
                assert_eq!(value.number, self.model[&handle]);
                self.removed(handle);
            }
            Op::FreeStale(n) => {
                let Some(&handle) = self.freed.get(n as usize % self.freed.len().max(1)) else {
                    return;
                };
                assert_eq!(self.subject.free(handle).unwrap_err(), self.refusal(handle));
                assert!(self.subject.take(handle).is_none());
            }
            Op::Mutate(n) => {
                let Some(handle) = self.live(n) else { return };
                let value = self.subject.get_mut(handle).expect("the handle is live");
                value.number += 1_000_000;
                self.model.insert(handle, value.number);
            }
            Op::Disjoint(n) => self.disjoint(n),
            Op::Reserve(additional) => {
                let count = self.subject.live_count();
                assert_eq!(self.subject.try_reserve(additional.into()), Ok(()));
                assert!(self.subject.free_slots() >= additional.into());
                assert_eq!(self.subject.live_count(), count);
            }
            Op::Retain(divisor) => {
                let keep = |number: u64| !number.is_multiple_of(u64::from(divisor) + 2);
                self.subject.retain(|_, value| keep(value.number));
                self.forget(|_, number| !keep(number));
            }
            Op::Clear => {
                self.subject.clear();
                self.forget(|_, _| true);
            }
            Op::Drain(count) => {
                let mut drain = self.subject.drain();
                let mut left = self.model.iter();
                for n in 0..count {
                    let from_back = (count ^ n) & 1 == 1;
                    let taken = if from_back { drain.next_back() } else { drain.next() };
                    let expected = if from_back { left.next_back() } else { left.next() };
                    let taken = taken.map(|(handle, value)| (handle, value.number));
                    assert_eq!(taken, expected.map(|(&handle, &number)| (handle, number)));
                    assert_eq!(drain.len(), left.len());
                }
                drop(drain);
                self.forget(|_, _| true);
            }
            Op::IterateMut => {
                for (handle, value) in &mut self.subject {
                    value.number += 1;
                    assert_eq!(self.model.insert(handle, value.number), Some(value.number - 1));
                }
            }
            Op::Compact => {
                let before = self.subject.slab_count();
                let released = self.subject.compact();
                assert_eq!(self.subject.slab_count(), before - released);
                self.report.released += released;
            }
            Op::SpareSlabs(slabs) => self.subject.set_spare_slabs(slabs.into()),
            Op::ShrinkTo(slots) => {
                let before = self.subject.slab_count();
                self.subject.shrink_to(slots.into());
                assert!(self.subject.total_slots() >= usize::from(slots).min(before));
                self.report.released += before - self.subject.slab_count();
            }
            Op::Defragment { max_moves, stop_after } => self.defragment(max_moves, stop_after),
            Op::Clone => {
                let copy = self.subject.clone();
                drop(std::mem::replace(&mut self.subject, copy));
            }
            Op::NearLastGeneration(lives) => {
                self.subject.raise_generation_floor(u32::MAX - 2 - 2 * u32::from(lives % 8));
            }
            Op::Forge { index, generation } => self.forge(index, generation),
            Op::Place { slab, slot } => {
                for generation in 0..6 {
                    let found = self.subject.handle_at(slab.into(), slot.into(), generation);
                    assert!(found.is_err() || self.model.contains_key(&found.unwrap()));
                }
            }
        }
    }

    fn value(&mut self) -> (u64, Tracked) {
        self.next_number += 1;
        (self.next_number, Tracked { number: self.next_number, _owner: Rc::clone(&self.owner) })
    }

    fn allocate(&mut self) {
        let (number, value) = self.value();
        let handle = self.subject.allocate(value).expect("memory is not refused here");
        self.stored(handle, number);
    }

    fn stored(&mut self, handle: SlotHandle, number: u64) {
        assert_eq!(self.model.insert(handle, number), None, "{handle:?} was live already");
        assert!(!self.freed.contains(&handle), "{handle:?} was freed and came back");
        self.report.stored += 1;
    }

    fn removed(&mut self, handle: SlotHandle) {
        assert!(self.model.remove(&handle).is_some());
        self.report.removed += 1;
        if self.freed.len() < FREED_MAX {
            self.freed.push(handle);
        } else {
            self.freed[self.report.removed % FREED_MAX] = handle;
        }
    }

    fn forget(&mut self, goes: impl Fn(SlotHandle, u64) -> bool) {
        let going = self.model.iter().filter(|&(&handle, &number)| goes(handle, number));
        for handle in going.map(|(&handle, _)| handle).collect::<Vec<_>>() {
            self.removed(handle);
        }
    }

    fn live(&self, n: u16) -> Option<SlotHandle> {
        self.model.keys().nth(usize::from(n) % self.model.len().max(1)).copied()
    }

    fn refusal(&self, handle: SlotHandle) -> SlabError {
        self.subject.locate(handle).expect_err("the handle is stale")
    }

    fn disjoint(&mut self, n: u16) {
        let (Some(one), Some(other)) = (self.live(n), self.live(n / 3)) else { return };
        if one == other {
            let refused = self.subject.try_get_disjoint_mut([one, other]).unwrap_err();
            assert!(matches!(refused, SlabError::DuplicateHandle { .. }));
            return;
        }
        let values = self.subject.try_get_disjoint_mut([one, other]).expect("both are live");
        assert_eq!(values.map(|value| value.number), [self.model[&one], self.model[&other]]);
    }

    fn defragment(&mut self, max_moves: u8, stop_after: u8) {
        let (model, mut changes) = (&self.model, Vec::new());
        let moves = self.subject.defragment(max_moves.into(), |value, old, new| {
            assert_eq!(value.number, model[&old]);
            let goes_on = changes.len() < usize::from(stop_after);
            if goes_on {
                changes.push((old, new));
            }
            goes_on
        });
        assert!(moves == changes.len() && moves <= max_moves.into());
        for (old, new) in changes {
            let number = self.model[&old];
            self.removed(old);
            assert_eq!(self.model.insert(new, number), None);
            self.report.moved += 1;
        }
    }

    fn forge(&mut self, index: u16, generation: u8) {
        for generation in [generation.into(), u64::from(u32::MAX - u32::from(generation))] {
            for index in [u64::from(index), u64::from(index) << 16, u64::from(u32::MAX)] {
                let forged = SlotHandle::from_bits(generation << 32 | index);
                let never = generation.is_multiple_of(2) || generation == u64::from(u32::MAX);
                assert_eq!(forged.is_none(), never);
                let Some(forged) = forged else { continue };
                let expected = self.model.get(&forged);
                assert_eq!(self.subject.get(forged).map(|value| &value.number), expected);
                assert_eq!(self.subject.locate(forged).is_ok(), expected.is_some());
            }
        }
    }

    /// Compares all queries.
    fn compare(&mut self) {
        self.subject.validate().unwrap_or_else(|broken| panic!("{broken}"));
        let subject = &self.subject;
        assert_eq!(subject.live_count(), self.model.len());
        assert_eq!(Rc::strong_count(&self.owner) - 1, self.model.len(), "a value leaked");
        assert_eq!(subject.total_slots(), subject.slab_count() * subject.slab_capacity());
        let listed = subject.iter().map(|(handle, value)| (handle, value.number));
        assert!(listed.eq(self.model.iter().map(|(&handle, &number)| (handle, number))));
        assert!(subject.keys().rev().eq(self.model.keys().rev().copied()));
        let mut folded = Vec::new();
        subject.iter().for_each(|(handle, value)| folded.push((handle, value.number)));
        assert!(
            folded.into_iter().eq(self.model.iter().map(|(&handle, &number)| (handle, number)))
        );
        for (&handle, &number) in &self.model {
            assert_eq!(subject.get(handle).map(|value| value.number), Some(number));
            let (slab, slot) = subject.locate(handle).expect("the handle is live");
            assert_eq!(subject.handle_at(slab, slot, handle.generation()), Ok(handle));
        }
        for &handle in &self.freed {
            assert!(subject.get(handle).is_none(), "{handle:?} reads again");
        }
        self.report.retired = self.report.retired.max(subject.retired_slots());
    }
}
