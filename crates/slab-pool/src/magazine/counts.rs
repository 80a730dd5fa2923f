//! Counters that one thread writes and everybody may read.

use crate::sync::{AtomicU64, AtomicUsize, Ordering};

/// What one thread did in one class. Written by that thread alone, but for the two limits.
///
/// | field | written by | says |
/// |---|---|---|
/// | `front` | owner | items in front of the loaded stack: 0 or 1 |
/// | `front_limit` | owner: 1 if there is a credit for it; anybody: 0 | whether a push may go there |
/// | `len` | owner | items in the loaded stack |
/// | `limit` | owner: the credits that are left for the loaded stack; anybody: 0 | a push beyond it takes the slow path |
/// | `previous` | owner | items in the previous magazine |
/// | `recycles`, `discards` | owner, by a load and a store | never fall |
///
/// The item in front has a word of its own, written without being read: a length that push and pop both
/// change would make each wait for the other. Limits of zero are how the depot calls a thread that has not come by for
/// long: its next push is a slow one and looks for orders. Everything is relaxed; what has to be ordered has fences.
#[derive(Debug)]
#[repr(align(64))]
pub struct Counts {
    pub(super) front: AtomicUsize,
    pub(super) front_limit: AtomicUsize,
    pub(super) len: AtomicUsize,
    pub(super) limit: AtomicUsize,
    pub(super) previous: AtomicUsize,
    pub(super) recycles: AtomicU64,
    pub(super) discards: AtomicU64,
    pub(super) recycles_at_order: AtomicU64,
}

impl Counts {
    pub(super) fn new() -> Self {
        Self {
            front: AtomicUsize::new(0),
            front_limit: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            limit: AtomicUsize::new(0),
            previous: AtomicUsize::new(0),
            recycles: AtomicU64::new(0),
            discards: AtomicU64::new(0),
            recycles_at_order: AtomicU64::new(0),
        }
    }

    /// Sets the limits for a thread that has so many credits; none is how a thread is called.
    pub(super) fn allow(&self, credits: usize) {
        self.front_limit.store(credits.min(1), Ordering::Relaxed);
        self.limit.store(credits.saturating_sub(1), Ordering::Relaxed);
    }

    /// Returns the items that the thread holds.
    pub(super) fn held(&self) -> usize {
        let words = [&self.front, &self.len, &self.previous];
        words.map(|word| word.load(Ordering::Relaxed)).iter().sum()
    }

    pub(super) fn totals(&self) -> Totals {
        Totals {
            recycles: self.recycles.load(Ordering::Relaxed),
            misses: 0,
            discards: self.discards.load(Ordering::Relaxed),
        }
    }
}

/// Adds to a counter for its only writer: no read-modify-write.
#[inline(always)]
pub(super) fn bump(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Relaxed);
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
