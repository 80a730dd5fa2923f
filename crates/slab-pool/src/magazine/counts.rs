//! Counters that one thread writes and all threads read.

use crate::sync::{AtomicU64, AtomicUsize, Ordering};

/// The counters of one thread in one class. Only that thread writes them, except for the two limits.
///
/// | field | writer | meaning |
/// |---|---|---|
/// | `top` | owner | items in the top place, above the loaded stack: 0 or 1 |
/// | `top_limit` | owner: 1 if it has a reservation; any thread: 0 | how many items may be in the top place |
/// | `len` | owner | items in the loaded stack |
/// | `limit` | owner: the remaining reservations; any thread: 0 | a push beyond it takes the slow path |
/// | `previous` | owner | items in the previous magazine |
/// | `recycles`, `discards` | owner, by a load and a store | events; they never fall |
///
/// `top` is a separate word that the owner writes without reading it: if push and pop changed one common length, each
/// would wait for the store of the other. Another thread sets the limits to zero to send the owner into a slow path
/// at its next push, where it syncs with the epoch. All accesses are relaxed; the registry orders with fences where needed.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Counts {
    pub(super) top: AtomicUsize,
    pub(super) top_limit: AtomicUsize,
    pub(super) len: AtomicUsize,
    pub(super) limit: AtomicUsize,
    pub(super) previous: AtomicUsize,
    pub(super) recycles: AtomicU64,
    pub(super) discards: AtomicU64,
    pub(super) recycles_at_sync: AtomicU64,
}

impl Counts {
    pub(super) fn new() -> Self {
        Self {
            top: AtomicUsize::new(0),
            top_limit: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            limit: AtomicUsize::new(0),
            previous: AtomicUsize::new(0),
            recycles: AtomicU64::new(0),
            discards: AtomicU64::new(0),
            recycles_at_sync: AtomicU64::new(0),
        }
    }

    /// Sets the limits for a thread with so many reservations. Zero sends its next push into the slow path.
    pub(super) fn set_limits(&self, reservations: usize) {
        self.top_limit.store(reservations.min(1), Ordering::Relaxed);
        self.limit.store(reservations.saturating_sub(1), Ordering::Relaxed);
    }

    /// Returns the number of items in the thread's cache.
    pub(super) fn held(&self) -> usize {
        let words = [&self.top, &self.len, &self.previous];
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

/// Adds to a counter for its only writer, without a read-modify-write.
#[inline(always)]
pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Relaxed);
}

/// The events of one class, summed over threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Idle items that were handed out.
    pub recycles: u64,
    /// New items that were handed out.
    pub misses: u64,
    /// Items that came back and could not be kept.
    pub discards: u64,
}

impl Totals {
    pub(super) fn add(&mut self, other: Self) {
        self.recycles += other.recycles;
        self.misses += other.misses;
        self.discards += other.discards;
    }
}

/// Counters of the threads without a cache, and of misses, which cost much more than a read-modify-write.
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
