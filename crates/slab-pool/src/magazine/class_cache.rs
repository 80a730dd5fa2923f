//! One thread's items of one class, with the hot path of acquire and release.

use std::sync::Arc;

use super::counts::{Counts, add};
use super::depot::{Depot, Shape};
use super::registry::Epoch;
use super::stack::{Linked, Magazine, Stack};
use crate::sync::Ordering;

/// The items of one class in a thread's cache. One cache line.
///
/// # Invariants
///
/// - **L1 (counted)**: `counts.top` and `counts.len` are the numbers of items in `top` and in `loaded`.
/// - **L2 (reserved)**: `top + len ≤ reservations ≤ batch` and `previous.len() ≤ previous_reservations ≤ batch`; together
///   the reservations are at most the class's `share`.
/// - **L3 (top first)**: outside of slow paths `top` is empty only if `len < reservations`, so that an item may be put
///   there without reading `len`. Slow paths begin with [`ClassCache::open`] and end with [`ClassCache::publish`].
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct ClassCache<T: Linked> {
    /// The newest item of the loaded magazine. A thread that uses one item at a time touches nothing else.
    top: Option<Box<T>>,
    /// The other items of the loaded magazine.
    loaded: Stack<T>,
    counts: Arc<Counts>,
    reservations: usize,
    previous: Magazine<T>,
    previous_reservations: usize,
    /// The epoch of the last sync, or [`Epoch::NONE`].
    epoch: Epoch,
}

/// A class of a depot, and the shard that the thread tries first: where a [`ClassCache`] exchanges magazines.
#[derive(Debug)]
pub(super) struct Source<'a, T: Linked> {
    pub(super) depot: &'a Depot<T>,
    pub(super) class: usize,
    pub(super) first_shard: usize,
}

impl<T: Linked> Source<'_, T> {
    fn shape(&self) -> Shape {
        self.depot.shape(self.class)
    }

    fn reserve(&self, wanted: usize) -> usize {
        self.depot.reserve(self.class, wanted)
    }

    fn unreserve(&self, items: usize) {
        self.depot.unreserve(self.class, items);
    }

    fn take(&self) -> Option<Magazine<T>> {
        self.depot.take(self.class, self.first_shard)
    }

    fn store(&self, magazine: Magazine<T>) -> Result<(), Magazine<T>> {
        self.depot.store(self.class, self.first_shard, magazine)
    }
}

impl<T: Linked> ClassCache<T> {
    /// Returns an empty cache. Until it is registered it has no reservations, so `counts` stay zero and may be shared.
    pub(super) fn new(counts: &Arc<Counts>) -> Self {
        Self {
            top: None,
            loaded: Stack::new(),
            counts: Arc::clone(counts),
            reservations: 0,
            previous: Magazine::new(),
            previous_reservations: 0,
            epoch: Epoch::NONE,
        }
    }

    // The hot path.

    /// Takes the newest item of the loaded magazine.
    #[inline(always)]
    pub(super) fn pop(&mut self) -> Option<Box<T>> {
        let Some(item) = self.top.take() else { return self.pop_loaded() };
        self.counts.top.store(0, Ordering::Relaxed);
        add(&self.counts.recycles, 1);
        Some(item)
    }

    /// Adds an item to the loaded magazine; returns it if there is no reservation for it.
    #[inline(always)]
    pub(super) fn push(&mut self, item: Box<T>) -> Result<(), Box<T>> {
        if self.top.is_some() || self.counts.top_limit.load(Ordering::Relaxed) == 0 {
            return self.push_loaded(item);
        }
        self.counts.top.store(1, Ordering::Relaxed);
        // The replaced value is `None`; forgetting it spares the hot path a check.
        std::mem::forget(self.top.replace(item));
        Ok(())
    }

    /// [`ClassCache::pop`] with an empty `top`.
    #[cold]
    #[inline(never)]
    fn pop_loaded(&mut self) -> Option<Box<T>> {
        let item = self.loaded.pop()?;
        self.set_len(self.len() - 1);
        add(&self.counts.recycles, 1);
        Some(item)
    }

    /// [`ClassCache::push`] with an item in `top`, or without the right to put one there.
    #[cold]
    #[inline(never)]
    fn push_loaded(&mut self, item: Box<T>) -> Result<(), Box<T>> {
        let len = self.len();
        if len >= self.counts.limit.load(Ordering::Relaxed) {
            return Err(item);
        }
        self.set_len(len + 1);
        self.loaded.push(item);
        Ok(())
    }

    // Slow paths.

    /// Exchanges magazines until there is an item in the loaded one, if any is to be had.
    pub(super) fn refill(&mut self, source: &Source<'_, T>) {
        self.open();
        // It is not empty if a sync has just loaded a magazine that the busy depot did not take.
        if self.loaded.is_empty() {
            if !self.previous.is_empty() {
                self.swap();
            } else if let Some(magazine) = source.take() {
                // The reservations of the empty room go back; the new magazine brings one for each item.
                source.unreserve(self.reservations);
                self.reservations = magazine.len();
                self.load(magazine);
            }
        }
        self.publish(source.depot);
    }

    /// Exchanges magazines and reserves room until the item fits; returns it, counted as discarded, if it does not.
    pub(super) fn push_slow(&mut self, source: &Source<'_, T>, item: Box<T>) -> Result<(), Box<T>> {
        self.open();
        let outcome = if !source.depot.is_closed() && self.make_room(source) {
            debug_assert!(self.reservations <= source.shape().batch);
            self.loaded.push(item);
            self.set_len(self.len() + 1);
            Ok(())
        } else {
            add(&self.counts.discards, 1);
            Err(item)
        };
        // Also without room: reservations may have moved.
        self.publish(source.depot);
        outcome
    }

    /// Registers this cache if it is not; returns whether it is now.
    pub(super) fn register(&mut self, source: &Source<'_, T>) -> bool {
        if !self.is_registered()
            && let Some(counts) = source.depot.register(source.class)
        {
            self.counts = counts;
            self.epoch = source.depot.epoch();
        }
        self.is_registered()
    }

    pub(super) fn is_registered(&self) -> bool {
        self.epoch != Epoch::NONE
    }

    /// Catches up with the epoch: after a trim this cache frees everything; after a sweep it stores the previous
    /// magazine in the depot, and the loaded one too if no item was taken since the last sync.
    pub(super) fn sync(&mut self, source: &Source<'_, T>) {
        let epoch = source.depot.epoch();
        if self.epoch == epoch {
            return;
        }
        self.open();
        if epoch.trimmed_since(self.epoch) {
            self.free_all(source);
        } else {
            self.store_previous(source);
            let recycles = self.counts.recycles.load(Ordering::Relaxed);
            let before = self.counts.recycles_at_sync.load(Ordering::Relaxed);
            self.counts.recycles_at_sync.store(recycles, Ordering::Relaxed);
            if before == recycles {
                self.swap();
                self.store_previous(source);
            }
        }
        self.epoch = epoch;
        self.publish(source.depot);
    }

    /// Frees all items, and returns how many there were.
    pub(super) fn trim(&mut self, source: &Source<'_, T>) -> usize {
        self.open();
        let items = self.free_all(source);
        self.publish(source.depot);
        items
    }

    /// Stores all items in the depot, or frees them if it is closed or busy, and unregisters this cache.
    pub(super) fn flush(&mut self, source: &Source<'_, T>) {
        self.open();
        self.store_previous(source);
        self.swap();
        self.store_previous(source);
        let discarded = self.free_all(source);
        add(&self.counts.discards, discarded as u64);
        self.counts.set_limits(0);
        source.depot.unregister(source.class, &self.counts);
        self.counts = Arc::new(Counts::new());
        self.epoch = Epoch::NONE;
    }

    /// Returns the numbers of items and of reservations, for tests.
    pub(super) fn held(&self) -> (usize, usize) {
        let items = usize::from(self.top.is_some()) + self.len() + self.previous.len();
        (items, self.reservations + self.previous_reservations)
    }

    // Steps of slow paths.

    fn len(&self) -> usize {
        self.counts.len.load(Ordering::Relaxed)
    }

    fn set_len(&self, len: usize) {
        self.counts.len.store(len, Ordering::Relaxed);
    }

    /// Begins a slow path: moves the top item onto the loaded stack, so that the steps deal with one place.
    fn open(&mut self) {
        if let Some(item) = self.top.take() {
            self.counts.top.store(0, Ordering::Relaxed);
            self.loaded.push(item);
            self.set_len(self.len() + 1);
        }
    }

    /// Ends a slow path: moves an item to the top, **L3**, and publishes lengths and limits.
    fn publish(&mut self, depot: &Depot<T>) {
        if self.top.is_none()
            && let Some(item) = self.loaded.pop()
        {
            self.set_len(self.len() - 1);
            self.counts.top.store(1, Ordering::Relaxed);
            self.top = Some(item);
        }
        self.counts.previous.store(self.previous.len(), Ordering::Relaxed);
        depot.publish_limits(self.epoch, &self.counts, self.reservations);
    }

    /// Replaces an empty loaded stack.
    fn load(&mut self, magazine: Magazine<T>) {
        debug_assert!(self.loaded.is_empty());
        let (items, len) = magazine.into_parts();
        self.loaded = items;
        self.set_len(len);
    }

    /// Exchanges the loaded and the previous magazine, reservations included.
    fn swap(&mut self) {
        let loaded = Magazine::from_parts(std::mem::take(&mut self.loaded), self.len());
        let previous = std::mem::replace(&mut self.previous, loaded);
        self.load(previous);
        std::mem::swap(&mut self.reservations, &mut self.previous_reservations);
    }

    /// Moves the previous magazine into the depot, if a shard is free, and gives the reservations of its empty room back.
    fn store_previous(&mut self, source: &Source<'_, T>) {
        let magazine = std::mem::take(&mut self.previous);
        let spare = self.previous_reservations - magazine.len();
        match source.store(magazine) {
            Ok(()) => self.previous_reservations = 0,
            Err(magazine) => {
                self.previous_reservations = magazine.len();
                self.previous = magazine;
            }
        }
        source.unreserve(spare);
    }

    /// Makes room for one more item in `loaded`; returns whether there is room.
    fn make_room(&mut self, source: &Source<'_, T>) -> bool {
        let shape = source.shape();
        if self.len() >= shape.batch {
            let single = shape.share == shape.batch;
            if !single && self.previous.len() >= shape.batch {
                self.store_previous(source);
            }
            // Load the emptier one. If the share is a single magazine, the full one goes to the depot.
            self.swap();
            if single {
                self.store_previous(source);
            }
            if self.len() >= shape.batch {
                // Every shard was busy.
                return false;
            }
        }
        if self.len() >= self.reservations {
            let room = shape.share - self.reservations - self.previous_reservations;
            self.reservations += source.reserve(room.min(shape.batch - self.reservations));
        }
        self.len() < self.reservations
    }

    /// Frees all items and gives all reservations back; returns how many items there were.
    fn free_all(&mut self, source: &Source<'_, T>) -> usize {
        let items = (std::mem::take(&mut self.loaded), std::mem::take(&mut self.previous));
        let count = self.len() + items.1.len();
        self.set_len(0);
        self.counts.previous.store(0, Ordering::Relaxed);
        source.unreserve(self.reservations + self.previous_reservations);
        self.reservations = 0;
        self.previous_reservations = 0;
        drop(items);
        count
    }
}
