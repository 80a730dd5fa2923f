//! The registered thread caches: their counters, and the epoch with which they sync.

use std::ops::DerefMut;
use std::sync::Arc;

use super::counts::{Counts, Totals};
use crate::sync::{AtomicU64, Mutex, Ordering, fence, hint};

/// How often an acquire or a release tries the registry's lock before it does without a cache.
const LOCK_TRIES: usize = 64;

/// The number of sweeps and of trims so far. Thread caches sync with the newest one on their slow paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch(u64);

impl Epoch {
    /// Not an epoch: the cache of a class is not registered.
    pub(super) const NONE: Self = Self(u64::MAX);
    const SWEEP: u64 = 1;
    const TRIM: u64 = 1 << 32;

    /// Returns whether there was a trim between `older` and this epoch.
    pub(super) fn trimmed_since(self, older: Self) -> bool {
        self.0 / Self::TRIM != older.0 / Self::TRIM
    }
}

/// All thread caches of a depot.
#[derive(Debug)]
pub(super) struct Registry {
    /// An [`Epoch`]: sweeps in the low half, trims in the high half.
    epoch: AtomicU64,
    list: Mutex<List>,
}

#[derive(Debug)]
struct List {
    /// The class and the counters of each cache.
    live: Vec<(usize, Arc<Counts>)>,
    /// By class, the sums of the caches whose threads have ended.
    ended: Box<[Totals]>,
}

impl List {
    /// Sends each thread cache into a slow path.
    fn call_all(&self) {
        for (_, counts) in &self.live {
            counts.set_limits(0);
        }
    }
}

impl Registry {
    pub(super) fn new(classes: usize) -> Self {
        let list = List { live: Vec::new(), ended: vec![Totals::default(); classes].into() };
        Self { epoch: AtomicU64::new(0), list: Mutex::new(list) }
    }

    // The epoch.

    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    /// Begins the epoch of a sweep. `wait`: waits for the lock; without it, caches may learn of the epoch later.
    pub(super) fn begin_sweep(&self, wait: bool) {
        self.advance(Epoch::SWEEP, wait);
    }

    /// Begins the epoch of a trim; `wait` as in [`Registry::begin_sweep`].
    pub(super) fn begin_trim(&self, wait: bool) {
        self.advance(Epoch::TRIM, wait);
    }

    fn advance(&self, step: u64, wait: bool) {
        self.epoch.fetch_add(step, Ordering::AcqRel);
        // Pairs with `publish_limits`: either the cache sees the new epoch, or its limits stay zero.
        fence(Ordering::SeqCst);
        if wait {
            self.list.lock().call_all();
        } else if let Some(list) = self.try_list() {
            list.call_all();
        }
    }

    /// Publishes the limits of a cache that is in sync with `epoch`; zero if there is a newer epoch.
    pub(super) fn publish_limits(&self, epoch: Epoch, counts: &Counts, reservations: usize) {
        counts.set_limits(reservations);
        fence(Ordering::SeqCst);
        if self.epoch() != epoch {
            counts.set_limits(0);
        }
    }

    // The list.

    /// Returns new counters for a thread's work in a class. `None` if the lock stays taken, as it does permanently in
    /// the child of a fork that happened while another thread held it.
    pub(super) fn register(&self, class: usize) -> Option<Arc<Counts>> {
        let mut list = self.try_list()?;
        let counts = Arc::new(Counts::new());
        list.live.push((class, Arc::clone(&counts)));
        Some(counts)
    }

    /// Adds the counters of a thread that ends to the sums. If the lock stays taken they stay in the list: this costs
    /// some memory, and the sums are still right.
    pub(super) fn unregister(&self, class: usize, counts: &Arc<Counts>) {
        let Some(mut list) = self.try_list() else { return };
        let live = list.live.iter().position(|(_, other)| Arc::ptr_eq(other, counts));
        if let Some(index) = live {
            list.live.swap_remove(index);
            list.ended[class].add(counts.totals());
        }
    }

    /// Returns the sums of each class. *O*(threads × classes). Holds the lock, so that no thread is counted twice or not
    /// at all while it ends.
    pub(super) fn totals(&self) -> Vec<Totals> {
        let list = self.list.lock();
        let mut totals = list.ended.to_vec();
        for (class, counts) in &list.live {
            totals[*class].add(counts.totals());
        }
        totals
    }

    /// Returns the items of a class in the thread caches, plus `elsewhere`, which is called under the lock.
    pub(super) fn held_and(&self, class: usize, elsewhere: impl FnOnce() -> usize) -> usize {
        let list = self.list.lock();
        let of_class = list.live.iter().filter(|(other, _)| *other == class);
        of_class.map(|(_, counts)| counts.held()).sum::<usize>() + elsewhere()
    }

    fn try_list(&self) -> Option<impl DerefMut<Target = List> + '_> {
        let attempt = || {
            let guard = self.list.try_lock();
            if guard.is_none() {
                hint::spin_loop();
            }
            guard
        };
        std::iter::repeat_with(attempt).take(LOCK_TRIES).flatten().next()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_ends_leaves_its_sums_and_no_counters() {
        let registry = Registry::new(2);
        for thread in 1..=3 {
            let counts = registry.register(1).expect("the lock is free");
            counts.recycles.store(thread, Ordering::Relaxed);
            assert_eq!(registry.list.lock().live.len(), 1);
            registry.unregister(1, &counts);
        }
        assert!(registry.list.lock().live.is_empty());
        assert_eq!(
            registry.totals().iter().map(|totals| totals.recycles).collect::<Vec<_>>(),
            [0, 6]
        );
    }
}
