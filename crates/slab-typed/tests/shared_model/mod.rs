//! Programs on a `SharedSlab`, with guards and pins that are kept, compared with a `HashMap`. Tests and the fuzz target
//! `typed_shared` run them.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::convert::Infallible;
use std::rc::Rc;

use slab_testkit::{Machine, Operation, program};
use slab_typed::shared::{Guard, Pinned, TakeError};
use slab_typed::{SharedSlab, SlotHandle};

/// The guards that a thread can hold before they count as pins.
const CELLS: usize = 8;

/// An operation. Numbers choose among the candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Insert(u8),
    InsertWith,
    Remove(u16),
    Take(u16),
    Get(u16),
    DropGuard(u8),
    ForgetGuard(u8),
    Pin,
    FindUnderPin(u16),
    Unpin(u8),
    Stale(u16),
    Forge(u16),
    Retain(u8),
    Clear,
    Reserve(u16),
    Compact,
    IterateMut,
    Drain(u8),
    Shrink,
    NearLastGeneration(u8),
}

impl Operation for Op {
    type Code = [u8; 3];

    fn from_code([tag, low, high]: [u8; 3]) -> Self {
        let n = u16::from_le_bytes([low, high]);
        match tag % 64 {
            0..=9 => Self::Insert(low),
            10..=12 => Self::InsertWith,
            13..=22 => Self::Remove(n),
            23..=26 => Self::Take(n),
            27..=34 => Self::Get(n),
            35..=40 => Self::DropGuard(low),
            41 => Self::ForgetGuard(low),
            42..=43 => Self::Pin,
            44..=46 => Self::FindUnderPin(n),
            47..=50 => Self::Unpin(low),
            51 => Self::Stale(n),
            52 => Self::Forge(n),
            53 => Self::Retain(low),
            54 => Self::Clear,
            55..=56 => Self::Reserve(n),
            57..=58 => Self::Compact,
            59 => Self::IterateMut,
            60 => Self::Drain(low),
            61..=62 => Self::Shrink,
            _ => Self::NearLastGeneration(low),
        }
    }
}

/// The numbers of the values that were not dropped.
type Alive = Rc<RefCell<HashSet<u64>>>;

/// A value that says when it is dropped.
struct Tracked {
    number: u64,
    alive: Alive,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        assert!(self.alive.borrow_mut().remove(&self.number), "{} was dropped twice", self.number);
    }
}

/// Counts of what a program did. Tests assert them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Report {
    pub executed: usize,
    pub removed: usize,
    /// Values that a guard or pin kept after their removal.
    pub outlived: usize,
    pub released: usize,
}

/// The slab between two operations that need it alone.
#[derive(Default)]
struct Model {
    live: HashMap<SlotHandle, u64>,
    removed: Vec<SlotHandle>,
    alive: Alive,
    /// The values of forgotten guards, until the slab shrinks.
    forgotten: Vec<u64>,
    forgotten_cells: usize,
    /// A slot that a forgotten guard announces may have a later value.
    is_blurred: bool,
    next_number: u64,
    report: Report,
}

/// Operations that share the slab.
struct Sharing<'a> {
    slab: &'a SharedSlab<Tracked>,
    model: &'a mut Model,
    guards: Vec<Kept<'a>>,
    pins: Vec<(Pinned<'a, Tracked>, Vec<u64>)>,
}

/// A guard that is kept.
struct Kept<'a> {
    guard: Guard<'a, Tracked>,
    number: u64,
    /// It found no cell.
    counts_as_pin: bool,
}

/// Runs operations, and panics at the first wrong result.
pub fn check(ops: &[Op]) -> Report {
    let mut slab = SharedSlab::new();
    let mut model = Model::default();
    for ops in ops.split_inclusive(|op| op.is_exclusive()) {
        let (last, shared) = match ops.split_last() {
            Some((last, shared)) if last.is_exclusive() => (Some(*last), shared),
            _ => (None, ops),
        };
        let mut sharing =
            Sharing { slab: &slab, model: &mut model, guards: Vec::new(), pins: Vec::new() };
        let Ok(counts) = program::run(&mut sharing, shared);
        drop(sharing);
        model.report.executed += counts.executed;
        model.compare(&slab, true, &[]);
        if let Some(op) = last {
            model.alone(&mut slab, op);
            model.report.executed += 1;
            model.compare(&slab, true, &[]);
        }
    }
    drop(slab);
    assert!(model.alive.borrow().is_empty(), "values leaked");
    model.report
}

impl Op {
    /// Whether the operation needs `&mut` to the slab. Guards and pins end before.
    fn is_exclusive(self) -> bool {
        matches!(
            self,
            Self::IterateMut | Self::Drain(_) | Self::Shrink | Self::NearLastGeneration(_)
        )
    }
}

impl Model {
    fn value(&mut self) -> Tracked {
        self.next_number += 1;
        self.alive.borrow_mut().insert(self.next_number);
        Tracked { number: self.next_number, alive: Rc::clone(&self.alive) }
    }

    fn stored(&mut self, key: SlotHandle, number: u64) {
        assert_eq!(self.live.insert(key, number), None, "{key:?} was live already");
        assert!(!self.removed.contains(&key), "{key:?} was removed and came back");
    }

    fn removed(&mut self, key: SlotHandle) {
        let number = self.live.remove(&key).expect("the model has it");
        self.report.removed += 1;
        self.report.outlived += usize::from(self.alive.borrow().contains(&number));
        if self.removed.len() == 64 {
            self.removed.swap_remove(self.report.removed % 64);
        }
        self.removed.push(key);
    }

    fn forget(&mut self, goes: impl Fn(u64) -> bool) {
        let going = self.live.iter().filter(|&(_, &number)| goes(number));
        for key in going.map(|(&key, _)| key).collect::<Vec<_>>() {
            self.removed(key);
        }
    }

    fn key(&self, n: u16) -> Option<SlotHandle> {
        let keys: BTreeSet<_> = self.live.keys().copied().collect();
        keys.iter().nth(usize::from(n) % keys.len().max(1)).copied()
    }

    /// Runs an operation that needs the slab alone.
    fn alone(&mut self, slab: &mut SharedSlab<Tracked>, op: Op) {
        match op {
            Op::IterateMut => {
                for (key, value) in slab.iter_mut() {
                    assert_eq!(self.live[&key], value.number);
                    let number = self.next_number + 1;
                    self.next_number = number;
                    assert!(self.alive.borrow_mut().remove(&value.number));
                    self.alive.borrow_mut().insert(number);
                    value.number = number;
                    let old = self.live.insert(key, number);
                    self.forgotten
                        .iter_mut()
                        .filter(|kept| Some(**kept) == old)
                        .for_each(|kept| *kept = number);
                }
            }
            Op::Drain(count) => {
                let mut drain = slab.drain();
                for (key, value) in drain.by_ref().take(count.into()) {
                    assert_eq!(self.live[&key], value.number);
                    drop(value);
                    self.removed(key);
                }
                drop(drain);
                self.forget(|_| true);
                self.forgotten.retain(|number| self.alive.borrow().contains(number));
                self.is_blurred |= self.forgotten_cells > 0;
            }
            Op::Shrink => {
                slab.shrink_to_fit();
                self.forgotten.clear();
                (self.forgotten_cells, self.is_blurred) = (0, false);
                assert_eq!(slab.slab_count(), self.chunks());
                assert!(!self.live.is_empty() || slab.capacity() == 0);
            }
            Op::NearLastGeneration(lives) => {
                slab.raise_generation_floor(u32::MAX - 4 - 2 * u32::from(lives % 8));
            }
            _ => unreachable!("the operation shares the slab"),
        }
    }

    /// The number of chunks with live values.
    fn chunks(&self) -> usize {
        let chunks = self.live.keys().map(|key| key.to_bits() as u32 >> 10);
        chunks.collect::<HashSet<_>>().len()
    }

    /// Compares all queries. If `exact`, all values that are removed and not in `guarded` were dropped.
    fn compare(&self, slab: &SharedSlab<Tracked>, exact: bool, guarded: &[u64]) {
        assert_eq!((slab.len(), slab.is_empty()), (self.live.len(), self.live.is_empty()));
        assert!(slab.capacity() >= slab.len());
        let alive = self.alive.borrow();
        let kept = guarded.iter().chain(&self.forgotten);
        let expected: HashSet<_> = self.live.values().chain(kept).copied().collect();
        assert!(expected.is_subset(&alive), "a value was dropped too early");
        assert!(
            !exact || self.is_blurred || expected.len() == alive.len(),
            "a value was not dropped"
        );
        for (&key, &number) in &self.live {
            assert!(slab.contains(key));
            assert_eq!(slab.pin().get(key).map(|value| value.number), Some(number));
        }
        assert!(self.removed.iter().all(|&key| !slab.contains(key)));
    }
}

impl Sharing<'_> {
    fn insert(&mut self) {
        let value = self.model.value();
        let number = value.number;
        let key = self.slab.insert(value);
        self.model.stored(key, number);
    }

    /// Runs an operation. Returns `None` if it did not reach the slab.
    fn run(&mut self, op: Op) -> Option<()> {
        let slab = self.slab;
        match op {
            Op::Insert(count) => (0..=count % 64).for_each(|_| self.insert()),
            Op::InsertWith => {
                let value = self.model.value();
                let (number, mut told) = (value.number, None);
                let key = slab.insert_with(|key| {
                    told = Some(key);
                    assert!(!slab.contains(key) && slab.get(key).is_none() && !slab.remove(key));
                    value
                });
                assert_eq!(key.ok(), told);
                self.model.stored(told?, number);
            }
            Op::Remove(n) => {
                let key = self.model.key(n)?;
                assert!(slab.remove(key) && !slab.remove(key));
                self.model.removed(key);
            }
            Op::Take(n) => {
                let key = self.model.key(n)?;
                let number = self.model.live[&key];
                let read = self.guards.iter().any(|kept| kept.number == number);
                match slab.take(key) {
                    Ok(value) => assert!(value.number == number && !read && self.pins.is_empty()),
                    Err(refused) => {
                        let kept = read || self.model.forgotten_cells > 0 || !self.is_exact();
                        assert!(refused == TakeError::StillRead && kept);
                    }
                }
                self.model.removed(key);
                assert_eq!(slab.take(key).err(), Some(TakeError::NotFound));
            }
            Op::Get(n) => {
                let key = self.model.key(n)?;
                let in_cells = self.guards.iter().filter(|kept| !kept.counts_as_pin).count();
                self.guards.push(Kept {
                    guard: slab.get(key).expect("the key is live"),
                    number: self.model.live[&key],
                    counts_as_pin: in_cells + self.model.forgotten_cells >= CELLS,
                });
            }
            Op::DropGuard(n) => {
                let kept = self.take_guard(n)?;
                assert_eq!(kept.guard.number, kept.number);
            }
            Op::ForgetGuard(n) => {
                let kept = self.take_guard(n)?;
                // One that counts as a pin would keep all values.
                if !kept.counts_as_pin {
                    std::mem::forget(kept.guard);
                    let number = kept.number;
                    self.model.forgotten.push(number);
                    self.model.forgotten_cells += 1;
                }
            }
            Op::Pin => self.pins.push((slab.pin(), Vec::new())),
            Op::FindUnderPin(n) => {
                let key = self.model.key(n)?;
                let (pinned, found) = self.pins.last_mut()?;
                let number = pinned.get(key).expect("the key is live").number;
                assert_eq!(number, self.model.live[&key]);
                found.push(number);
            }
            Op::Unpin(n) => {
                let count = self.pins.len();
                self.pins.swap_remove(usize::from(n).checked_rem(count)?);
            }
            Op::Stale(n) => {
                let removed = &self.model.removed;
                let key = removed[usize::from(n).checked_rem(removed.len())?];
                assert!(!slab.remove(key) && slab.get(key).is_none());
                assert_eq!(slab.take(key).err(), Some(TakeError::NotFound));
            }
            Op::Forge(n) => {
                for bits in
                    [u64::from(n) << 32 | u64::from(n >> 8), u64::MAX - (u64::from(n) << 31)]
                {
                    let Some(key) = SlotHandle::from_bits(bits) else { continue };
                    let live = self.model.live.get(&key);
                    assert_eq!(slab.get(key).map(|guard| guard.number).as_ref(), live);
                    assert!(live.is_some() || !slab.remove(key));
                }
            }
            Op::Retain(divisor) => {
                let keep = |number: u64| !number.is_multiple_of(u64::from(divisor) + 2);
                slab.retain(|key, value| {
                    assert_eq!(self.model.live[&key], value.number);
                    keep(value.number)
                });
                self.model.forget(|number| !keep(number));
            }
            Op::Clear => {
                slab.clear();
                self.model.forget(|_| true);
            }
            Op::Reserve(count) => {
                slab.try_reserve(usize::from(count % 2048)).expect("memory is not refused here");
                assert!(slab.capacity() >= slab.len() + usize::from(count % 2048));
                assert!(slab.try_reserve(usize::MAX).is_err());
            }
            Op::Compact => {
                let before = slab.slab_count();
                let released = slab.compact();
                assert_eq!(slab.slab_count(), before - released);
                if self.guards.is_empty() && self.pins.is_empty() && self.model.forgotten.is_empty()
                {
                    assert_eq!(slab.slab_count(), self.model.chunks());
                }
                self.model.report.released += released;
            }
            Op::IterateMut | Op::Drain(_) | Op::Shrink | Op::NearLastGeneration(_) => {
                unreachable!("the operation needs the slab alone")
            }
        }
        Some(())
    }

    /// Whether each removed value that no guard reads was dropped.
    fn is_exact(&self) -> bool {
        self.pins.is_empty() && !self.guards.iter().any(|kept| kept.counts_as_pin)
    }
}

impl<'a> Sharing<'a> {
    fn take_guard(&mut self, n: u8) -> Option<Kept<'a>> {
        let count = self.guards.len();
        Some(self.guards.swap_remove(usize::from(n).checked_rem(count)?))
    }
}

impl Machine<Op> for Sharing<'_> {
    type Fault = Infallible;

    fn step(&mut self, op: Op) -> Result<bool, Infallible> {
        Ok(self.run(op).is_some())
    }

    fn validate(&mut self) -> Result<(), Infallible> {
        let guarded = self.guards.iter().map(|kept| kept.number);
        let found = self.pins.iter().flat_map(|(_, found)| found).copied();
        let kept: Vec<_> = guarded.chain(found).collect();
        self.model.compare(self.slab, self.is_exact(), &kept);
        assert!(self.guards.iter().all(|kept| kept.guard.number == kept.number));
        Ok(())
    }
}
