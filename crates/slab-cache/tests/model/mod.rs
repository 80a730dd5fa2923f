//! Programs over a cache, and the model they are compared with: which boxes are live, what they hold,
//! and where they lie. Shared with the fuzz target.
#![expect(unsafe_code, reason = "adopts what was leaked")]

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use lock_api::RawMutex;
use slab_cache::{Checked, Global, Hardened, Mode, NoLock, SlabBox, SlabCache, Unchecked};
use slab_testkit::FailingSource;

#[path = "../config/mod.rs"]
mod config;
mod owners;
use config::With;
pub use owners::check_owners;

/// Bytes that one operation is decoded from.
pub const OP_BYTES: usize = 3;

/// One step of a program. Boxes are named by their age among the live ones, modulo their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Makes a number of boxes.
    Make(u8),
    /// Makes one by a closure, which may panic.
    MakeWith(bool),
    /// Makes one without a value, and writes it or not.
    MakeUninit(bool),
    /// Drops a number of boxes, and one more.
    Drop(u16, u8),
    /// Drops one on another thread, where the lock permits.
    DropElsewhere(u16),
    /// Takes the value out of one.
    Take(u16),
    /// Leaks one and adopts it again.
    Adopt(u16),
    /// Writes to one.
    Write(u16),
    /// Gives memory back.
    Reclaim,
    /// Makes another handle, and drops the older one.
    Rehandle,
}

impl Op {
    /// Reads an operation from a few bytes: each is one.
    fn decode([kind, low, high]: [u8; OP_BYTES]) -> Self {
        let which = u16::from_le_bytes([low, high]);
        match kind % 16 {
            0..=3 => Self::Make(low),
            4 => Self::MakeWith(low.is_multiple_of(8)),
            5 => Self::MakeUninit(low.is_multiple_of(2)),
            6..=8 => Self::Drop(which, kind / 16),
            9 => Self::DropElsewhere(which),
            10 => Self::Take(which),
            11 => Self::Adopt(which),
            12 | 13 => Self::Write(which),
            14 => Self::Reclaim,
            _ => Self::Rehandle,
        }
    }

    /// Reads a program.
    pub fn decode_all(bytes: &[u8]) -> Vec<Self> {
        bytes.as_chunks().0.iter().map(|&bytes| Self::decode(bytes)).collect()
    }
}

/// The counts of a program that ran.
#[derive(Debug, Default, Clone, Copy)]
pub struct Report {
    pub executed: usize,
    pub made: usize,
    pub dropped: usize,
    pub refused: usize,
    pub reclaimed: usize,
    pub panicked: usize,
}

type Value<const WORDS: usize> = [u64; WORDS];
type Source<'a> = &'a FailingSource<Global>;
type Held<'a, R, M, const WORDS: usize> = SlabBox<Value<WORDS>, With<R, Source<'a>, 1024, M>>;
type Cache<'a, R, M, const WORDS: usize> = SlabCache<Value<WORDS>, With<R, Source<'a>, 1024, M>>;

/// Drops a value somewhere.
pub trait Elsewhere<T> {
    fn drop_elsewhere(value: T);
}

/// Drops values here.
pub struct Here;

impl<T> Elsewhere<T> for Here {
    fn drop_elsewhere(value: T) {
        drop(value);
    }
}

/// Drops values on another thread.
pub struct There;

impl<T: Send> Elsewhere<T> for There {
    fn drop_elsewhere(value: T) {
        std::thread::scope(|scope| scope.spawn(move || drop(value)).join().expect("no panic"));
    }
}

struct Subject<'a, R: RawMutex + 'static, M: Mode, const WORDS: usize> {
    cache: Cache<'a, R, M, WORDS>,
    /// By age, with the number that each word of the value is.
    live: Vec<(Held<'a, R, M, WORDS>, u64)>,
    /// Where boxes lie.
    places: BTreeSet<usize>,
    next: u64,
    report: Report,
}

impl<'a, R: RawMutex + 'static, M: Mode, const WORDS: usize> Subject<'a, R, M, WORDS> {
    fn value(&mut self) -> Value<WORDS> {
        self.next += 1;
        [self.next; WORDS]
    }

    fn keep(&mut self, held: Held<'a, R, M, WORDS>) {
        let start = SlabBox::as_ptr(&held).addr().get();
        let end = start + size_of::<Value<WORDS>>();
        assert_eq!(start % align_of::<u64>(), 0);
        let overlaps = |&place: &usize| place < end && start < place + WORDS * 8;
        let near = self.places.range(start.saturating_sub(WORDS * 8)..end);
        assert!(!near.into_iter().any(overlaps), "two boxes at {start:#x}");
        self.places.insert(start);
        self.live.push((held, self.next));
        self.report.made += 1;
    }

    fn make(&mut self) {
        let value = self.value();
        match self.cache.alloc(value) {
            Ok(held) => self.keep(held),
            Err(full) => {
                assert_eq!(full.0, value, "handed back");
                self.report.refused += 1;
            }
        }
    }

    fn make_with(&mut self, panics: bool) {
        let value = self.value();
        let make = || if panics { std::panic::resume_unwind(Box::new(())) } else { value };
        match catch_unwind(AssertUnwindSafe(|| self.cache.alloc_with(make))) {
            Ok(Ok(held)) => self.keep(held),
            Ok(Err(full)) => {
                assert!(panics || (full.0)() == value, "handed back");
                self.report.refused += 1;
            }
            Err(_) => self.report.panicked += 1,
        }
    }

    fn make_uninit(&mut self, is_written: bool) {
        let value = self.value();
        match self.cache.alloc_uninit() {
            Ok(empty) if is_written => self.keep(SlabBox::write(empty, value)),
            Ok(empty) => drop(empty),
            Err(_) => self.report.refused += 1,
        }
    }

    /// Removes a box from the model, once its content was checked.
    fn remove(&mut self, which: u16) -> Option<Held<'a, R, M, WORDS>> {
        let index = usize::from(which).checked_rem(self.live.len())?;
        let (held, number) = self.live.swap_remove(index);
        assert_eq!(*held, [number; WORDS], "the content changed");
        assert!(self.places.remove(&SlabBox::as_ptr(&held).addr().get()));
        self.report.dropped += 1;
        Some(held)
    }

    fn take(&mut self, which: u16) {
        if let Some(held) = self.remove(which) {
            let number = held[0];
            assert_eq!(SlabBox::into_inner(held), [number; WORDS]);
        }
    }

    fn write(&mut self, which: u16) {
        if let Some(index) = usize::from(which).checked_rem(self.live.len()) {
            self.next += 1;
            let (held, number) = &mut self.live[index];
            assert_eq!(**held, [*number; WORDS], "the content changed");
            *number = self.next;
            **held = [self.next; WORDS];
        }
    }

    fn adopt(&mut self, which: u16) {
        let Some(held) = self.remove(which) else { return };
        let leaked: &mut Value<WORDS> = SlabBox::leak(held);
        let pointer = NonNull::from(leaked);
        // SAFETY: the reference is not used any more, and the value has no other owner.
        let back = unsafe { self.cache.adopt(pointer) }.expect("it is live");
        self.next += 1;
        let mut back = back;
        *back = [self.next; WORDS];
        self.keep(back);
    }

    fn execute<E: Elsewhere<Held<'a, R, M, WORDS>>>(&mut self, op: Op) {
        match op {
            Op::Make(count) => (0..count % 24).for_each(|_| self.make()),
            Op::MakeWith(panics) => self.make_with(panics),
            Op::MakeUninit(is_written) => self.make_uninit(is_written),
            Op::Drop(first, count) => {
                (0..=count).for_each(|at| drop(self.remove(first.wrapping_add(u16::from(at) * 5))));
            }
            Op::DropElsewhere(which) => {
                if let Some(held) = self.remove(which) {
                    E::drop_elsewhere(held);
                }
            }
            Op::Take(which) => self.take(which),
            Op::Adopt(which) => self.adopt(which),
            Op::Write(which) => self.write(which),
            Op::Reclaim => {
                let bytes = self.cache.reclaim();
                self.report.reclaimed += usize::from(bytes > 0);
                assert_eq!(self.cache.reclaim(), 0, "nothing is left to give back");
            }
            Op::Rehandle => self.cache = self.cache.clone(),
        }
        self.report.executed += 1;
    }

    fn validate(&self, source: Source<'a>) {
        let stats = self.cache.stats();
        assert_eq!(stats.live, self.live.len() as u64);
        assert!(stats.slots >= stats.live && stats.slabs >= stats.slabs_used);
        assert_eq!(stats.held_bytes, source.live_bytes());
        assert!(stats.held_bytes_peak >= stats.held_bytes);
        if let Some((held, _)) = self.live.last() {
            assert!(self.cache.owns(SlabBox::as_ptr(held)));
        }
    }
}

/// Runs a program, compares each step with the model, and drops boxes and cache in one of two orders.
pub fn check<R, M, E, const WORDS: usize>(source: &FailingSource<Global>, ops: &[Op]) -> Report
where
    R: RawMutex + 'static,
    M: Mode,
    E: for<'a> Elsewhere<Held<'a, R, M, WORDS>>,
{
    let Ok(cache) = SlabCache::with_config_in(source) else { return Report::default() };
    let (live, places, report) = (Vec::new(), BTreeSet::new(), Report::default());
    let mut subject = Subject::<R, M, WORDS> { cache, live, places, next: 0, report };
    for &op in ops {
        subject.execute::<E>(op);
        subject.validate(source);
    }
    let Subject { cache, mut live, report, .. } = subject;
    if ops.len().is_multiple_of(2) {
        drop(cache);
    }
    for (held, number) in live.drain(..) {
        assert_eq!(*held, [number; WORDS], "the content changed");
    }
    report
}

/// Runs a program over a cache of each kind, and sees that all memory comes back.
pub fn check_all(ops: &[Op]) -> Report {
    type Spin = spin::Mutex<()>;
    let run = |check: fn(&FailingSource<Global>, &[Op]) -> Report| {
        let source = FailingSource::new(Global);
        let report = check(&source, ops);
        assert_eq!((source.live_blocks(), source.live_bytes()), (0, 0), "leaked");
        report
    };
    run(check::<NoLock, Unchecked, Here, 1>);
    run(check::<NoLock, Hardened, Here, 7>);
    run(check::<Spin, Checked, There, 8>);
    run(check::<Spin, Hardened, There, 3>);
    run(check::<NoLock, Checked, Here, 20>)
}
