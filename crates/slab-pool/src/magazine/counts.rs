//! Counters that one thread writes and everybody may read.

use crate::sync::{AtomicU64, AtomicUsize, Ordering};

/// What one thread did in one class. Written by that thread alone, but for `limit`.
///
/// | field | written by | says |
/// |---|---|---|
/// | `len` | owner | items in the loaded stack |
/// | `limit` | owner: the credits of the loaded stack; anybody: 0 | a push beyond it takes the slow path |
/// | `previous` | owner | items in the previous magazine |
/// | `recycles`, `discards` | owner, by a load and a store | never fall |
///
/// A `limit` of zero is how the depot calls a thread that has not come by for long: its next push is a
/// slow one and looks for orders. Everything is relaxed; what has to be ordered has fences.
#[derive(Debug)]
#[repr(align(64))]
pub struct Counts {
    pub(super) len: AtomicUsize,
    pub(super) limit: AtomicUsize,
    pub(super) previous: AtomicUsize,
    pub(super) recycles: AtomicU64,
    pub(super) discards: AtomicU64,
}

impl Counts {
    pub(super) fn new() -> Self {
        Self {
            len: AtomicUsize::new(0),
            limit: AtomicUsize::new(0),
            previous: AtomicUsize::new(0),
            recycles: AtomicU64::new(0),
            discards: AtomicU64::new(0),
        }
    }

    /// Returns the items that the thread holds.
    pub(super) fn held(&self) -> usize {
        self.len.load(Ordering::Relaxed) + self.previous.load(Ordering::Relaxed)
    }

    pub(super) fn totals(&self) -> Totals {
        Totals {
            recycles: self.recycles.load(Ordering::Relaxed),
            misses: 0,
            discards: self.discards.load(Ordering::Relaxed),
        }
    }
}

/// Adds one, for the only writer of a counter: no read-modify-write.
#[inline(always)]
pub(super) fn bump(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// What happened in one class, summed over threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Items handed out that had been kept.
    pub recycles: u64,
    /// Items handed out that had to be made.
    pub misses: u64,
    /// Items given back that could not be kept.
    pub discards: u64,
}

impl Totals {
    pub(super) fn add(&mut self, other: Self) {
        self.recycles += other.recycles;
        self.misses += other.misses;
        self.discards += other.discards;
    }
}

/// Counters for those who have no thread cache, and of misses, which cost much more than a
/// read-modify-write.
#[derive(Debug)]
pub(super) struct SharedCounts {
    recycles: AtomicU64,
    misses: AtomicU64,
    discards: AtomicU64,
}

impl SharedCounts {
    pub(super) fn new() -> Self {
        Self { recycles: AtomicU64::new(0), misses: AtomicU64::new(0), discards: AtomicU64::new(0) }
    }

    pub(super) fn recycled(&self) {
        self.recycles.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn missed(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn discarded(&self) {
        self.discards.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn totals(&self) -> Totals {
        Totals {
            recycles: self.recycles.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            discards: self.discards.load(Ordering::Relaxed),
        }
    }
}
