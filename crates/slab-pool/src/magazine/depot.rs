//! The store that all threads share: whole magazines, in shards whose locks acquire and release only try.
//!
//! # Invariants
//!
//! - **D1 (reserved)**: each item in the depot holds one reservation. For each class, the available reservations, those of the
//!   depot's items and those of thread caches add up to the capacity; their bytes add up to the limit of retained bytes.
//! - **D2 (closed)**: the depot stays empty once `close` has returned and the calls that overlapped it have ended. A
//!   thread that unlocks a shard reads `closed` afterwards, and then empties the shard itself.

use std::sync::Arc;

use super::counts::{Counts, SharedCounts, Totals};
use super::registry::{Epoch, Registry};
use super::reservations::Reservations;
use super::shard::{Magazines, Shard};
use super::stack::{Linked, Magazine};
use crate::sync::{AtomicBool, AtomicUsize, Ordering, fence};

/// Shards that one call tries: trying all of them would cost more than an allocation.
const TRIES_MAX: usize = 4;

/// The sizes and limits of one class of items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Bytes of one item, as the limit of retained bytes counts them.
    pub item_bytes: usize,
    /// Idle items that are kept at most.
    pub capacity: usize,
    /// Items in a magazine.
    pub batch: usize,
    /// Reservations that one thread holds at most.
    pub share: usize,
}

impl Shape {
    /// Returns a shape whose magazines hold about `magazine_bytes` and at most `batch_max` items, and whose threads
    /// leave most of the capacity to others.
    pub fn new(
        item_bytes: usize,
        capacity: usize,
        magazine_bytes: usize,
        batch_max: usize,
    ) -> Self {
        let by_bytes = (magazine_bytes / item_bytes.max(1)).max(2);
        let batch = by_bytes.min(batch_max).min(capacity / 4).max(1);
        let share = if capacity <= 4 { 1 } else { 2 * batch };
        Self { item_bytes, capacity, batch, share }
    }
}

/// The shared part of a class.
#[derive(Debug)]
struct Class<T: Linked> {
    shape: Shape,
    reservations: Reservations,
    shards: Box<[Shard<T>]>,
    counts: SharedCounts,
}

/// The shared store of all classes.
#[derive(Debug)]
pub struct Depot<T: Linked> {
    classes: Box<[Class<T>]>,
    /// Bytes of idle items that may still be kept.
    bytes: Reservations,
    closed: AtomicBool,
    registry: Registry,
    next_shard: AtomicUsize,
}

impl<T: Linked> Depot<T> {
    /// Returns an empty depot for classes of these shapes, with `shards` shards each, rounded up to a power of two.
    pub fn new(shapes: &[Shape], retained_bytes_max: usize, shards: usize) -> Self {
        let class = |&shape: &Shape| Class {
            shape,
            reservations: Reservations::new(shape.capacity),
            shards: (0..shards.next_power_of_two()).map(|_| Shard::new()).collect(),
            counts: SharedCounts::new(),
        };
        Self {
            classes: shapes.iter().map(class).collect(),
            bytes: Reservations::new(retained_bytes_max),
            closed: AtomicBool::new(false),
            registry: Registry::new(shapes.len()),
            next_shard: AtomicUsize::new(0),
        }
    }

    // Reservations.

    /// Reserves up to `wanted` items and their bytes, and returns how many items it reserved.
    pub(super) fn reserve(&self, class: usize, wanted: usize) -> usize {
        let Class { shape, reservations, .. } = &self.classes[class];
        let items = reservations.take(wanted, 1);
        let affordable = self.bytes.take(items, shape.item_bytes);
        reservations.give_back(items - affordable);
        affordable
    }

    pub(super) fn unreserve(&self, class: usize, items: usize) {
        let Class { shape, reservations, .. } = &self.classes[class];
        self.bytes.give_back(items * shape.item_bytes);
        reservations.give_back(items);
    }

    /// Returns how many more items of a class may be kept, as far as the class's capacity allows.
    pub fn available_items(&self, class: usize) -> usize {
        self.classes[class].reservations.available()
    }

    /// Returns how many more bytes may be kept.
    pub fn available_bytes(&self) -> usize {
        self.bytes.available()
    }

    // Magazines.

    /// Returns the shard that a new thread cache tries first.
    pub(super) fn next_shard(&self) -> usize {
        self.next_shard.fetch_add(1, Ordering::Relaxed)
    }

    /// Calls `action` on a shard's magazines if its lock is free, and preserves **D2**.
    fn try_shard<R>(
        &self,
        shard: &Shard<T>,
        action: impl FnOnce(&mut Magazines<T>) -> R,
    ) -> Option<R> {
        let result = shard.try_with(action)?;
        // Between the unlock and the load of `closed`; pairs with the fence in `close`.
        fence(Ordering::SeqCst);
        if self.is_closed() {
            drop(shard.try_with(Magazines::take_all));
        }
        Some(result)
    }

    /// The shards of a class, beginning with `first`.
    fn shards_from(&self, class: usize, first: usize) -> impl Iterator<Item = &Shard<T>> {
        let shards = &self.classes[class].shards;
        (0..shards.len()).map(move |step| &shards[(first + step) & (shards.len() - 1)])
    }

    /// Takes a magazine, with one reservation per item.
    pub(super) fn take(&self, class: usize, first_shard: usize) -> Option<Magazine<T>> {
        self.shards_from(class, first_shard)
            .filter(|shard| shard.items() > 0)
            .take(TRIES_MAX)
            .find_map(|shard| self.try_shard(shard, Magazines::pop)?)
    }

    /// Stores a magazine, with one reservation per item.
    ///
    /// # Errors
    ///
    /// The magazine, if all locks that it tried are taken, or the depot is closed.
    pub(super) fn store(
        &self,
        class: usize,
        first_shard: usize,
        magazine: Magazine<T>,
    ) -> Result<(), Magazine<T>> {
        if magazine.is_empty() {
            return Ok(());
        }
        let mut pending = Some(magazine);
        for shard in self.shards_from(class, first_shard).take(TRIES_MAX) {
            if self.is_closed() {
                break;
            }
            let push =
                |magazines: &mut Magazines<T>| pending.take().map(|full| magazines.push(full));
            if self.try_shard(shard, push).is_some() {
                return Ok(());
            }
        }
        pending.map_or(Ok(()), Err)
    }

    // Single items, for threads without a cache.

    /// Takes one item.
    pub fn take_one(&self, class: usize) -> Option<Box<T>> {
        let item = self
            .shards_from(class, 0)
            .filter(|shard| shard.items() > 0)
            .take(TRIES_MAX)
            .find_map(|shard| self.try_shard(shard, Magazines::pop_one)?)?;
        self.unreserve(class, 1);
        self.classes[class].counts.recycled();
        Some(item)
    }

    /// Stores one item.
    ///
    /// # Errors
    ///
    /// The item, if it cannot be kept; it counts as discarded.
    pub fn put_one(&self, class: usize, item: Box<T>) -> Result<(), Box<T>> {
        let outcome = self.try_put_one(class, item);
        if outcome.is_err() {
            self.classes[class].counts.discarded();
        }
        outcome
    }

    /// Stores one item that was never handed out.
    ///
    /// # Errors
    ///
    /// The item, if it cannot be kept. It is not counted.
    pub fn try_put_one(&self, class: usize, item: Box<T>) -> Result<(), Box<T>> {
        if self.is_closed() || self.reserve(class, 1) == 0 {
            return Err(item);
        }
        let batch = self.classes[class].shape.batch;
        let mut pending = Some(item);
        for shard in self.shards_from(class, 0).take(TRIES_MAX) {
            let push = |magazines: &mut Magazines<T>| {
                pending.take().map(|item| magazines.push_one(item, batch))
            };
            if self.try_shard(shard, push).is_some() {
                return Ok(());
            }
        }
        self.unreserve(class, 1);
        pending.map_or(Ok(()), Err)
    }

    // Releasing idle items.

    /// Frees the magazines that were not needed since the last sweep, and returns their bytes. Thread caches
    /// give up their previous magazines when they sync. `wait`: waits for locks; without it, skips what is locked.
    pub fn sweep(&self, wait: bool) -> usize {
        self.registry.begin_sweep(wait);
        self.free_from_all(wait, Magazines::take_unused)
    }

    /// Frees all magazines, and returns their bytes. Thread caches free their items when they sync.
    pub fn trim(&self) -> usize {
        self.registry.begin_trim(true);
        self.free_from_all(true, Magazines::take_all)
    }

    fn free_from_all(
        &self,
        wait: bool,
        choose: fn(&mut Magazines<T>) -> Vec<Magazine<T>>,
    ) -> usize {
        let mut freed_bytes = 0;
        for (index, class) in self.classes.iter().enumerate() {
            for shard in &class.shards {
                let chosen = if wait { Some(shard.with(choose)) } else { shard.try_with(choose) };
                let magazines = chosen.unwrap_or_default();
                let items: usize = magazines.iter().map(Magazine::len).sum();
                // Without the lock: freeing runs code of the allocator.
                drop(magazines);
                self.unreserve(index, items);
                freed_bytes += items * class.shape.item_bytes;
            }
        }
        freed_bytes
    }

    /// Closes the depot: it keeps nothing from now on. Waits for no lock.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.registry.begin_trim(false);
        // A thread that holds a shard's lock now reads `closed` after it unlocks.
        fence(Ordering::SeqCst);
        for shard in self.classes.iter().flat_map(|class| &class.shards) {
            drop(shard.try_with(Magazines::take_all));
        }
    }

    /// Returns whether [`Depot::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    // Thread caches.

    pub(super) fn epoch(&self) -> Epoch {
        self.registry.epoch()
    }

    pub(super) fn register(&self, class: usize) -> Option<Arc<Counts>> {
        self.registry.register(class)
    }

    pub(super) fn unregister(&self, class: usize, counts: &Arc<Counts>) {
        self.registry.unregister(class, counts);
    }

    pub(super) fn publish_limits(&self, epoch: Epoch, counts: &Counts, reservations: usize) {
        self.registry.publish_limits(epoch, counts, reservations);
    }

    // Queries and statistics.

    /// Returns the shape of a class.
    ///
    /// # Panics
    ///
    /// If there is no such class.
    pub fn shape(&self, class: usize) -> Shape {
        self.classes[class].shape
    }

    /// Counts an item that had to be made.
    pub fn count_miss(&self, class: usize) {
        self.classes[class].counts.missed();
    }

    /// Returns the events of each class. *O*(threads × classes).
    pub fn totals(&self) -> Vec<Totals> {
        let mut totals = self.registry.totals();
        for (total, class) in totals.iter_mut().zip(&self.classes) {
            total.add(class.counts.totals());
        }
        totals
    }

    /// Returns the idle items of a class, wherever they are; exact while no thread moves any.
    pub fn idle(&self, class: usize) -> usize {
        let shards = &self.classes[class].shards;
        self.registry.held_and(class, || shards.iter().map(Shard::items).sum())
    }
}

impl<T: Linked> Drop for Depot<T> {
    fn drop(&mut self) {
        debug_assert!(
            self.classes.iter().all(|class| class.reservations.available() <= class.shape.capacity)
        );
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::magazine::Cache;

    #[derive(Debug)]
    struct Item(Option<Box<Self>>);

    impl Linked for Item {
        fn link(&mut self) -> &mut Option<Box<Self>> {
            &mut self.0
        }
    }

    const SHAPE: Shape = Shape { item_bytes: 100, capacity: 8, batch: 2, share: 4 };

    #[test]
    fn threads_that_come_one_after_another_try_different_shards_first() {
        let depot: Depot<Item> = Depot::new(&[SHAPE], usize::MAX, 4);
        let first: Vec<_> = (0..4).map(|_| depot.next_shard() % 4).collect();
        assert!((0..4).all(|shard| first.contains(&shard)), "{first:?}");
    }

    /// Shards whose hint says that they are empty do not count as tried.
    #[test]
    fn a_magazine_is_found_behind_any_number_of_empty_shards() {
        let depot: Depot<Item> = Depot::new(&[SHAPE], usize::MAX, 4 * TRIES_MAX);
        for shard in 0..4 * TRIES_MAX {
            let mut magazine = Magazine::new();
            magazine.push(Box::new(Item(None)));
            assert!(depot.store(0, shard, magazine).is_ok());
            assert_eq!(depot.take(0, shard + 1).map(|found| found.len()), Some(1));
        }
    }

    #[test]
    fn a_reservation_is_an_item_and_its_bytes() {
        let depot: Depot<Item> = Depot::new(&[SHAPE, SHAPE], 1000, 1);
        assert_eq!(depot.reserve(0, 5), 5);
        assert_eq!(depot.reserve(0, 5), 3, "the class keeps eight");
        assert_eq!(depot.reserve(1, 5), 2, "a thousand bytes are ten items");
        assert_eq!([depot.available_items(0), depot.available_items(1)], [0, 6]);
        depot.unreserve(0, 8);
        assert_eq!(depot.reserve(1, 9), 6);
        assert_eq!([depot.available_items(0), depot.available_items(1)], [8, 0]);
    }

    /// A sync that cannot store magazines loads one. The take behind it must use that.
    #[test]
    fn an_item_that_a_sync_has_loaded_is_taken_while_the_depot_is_busy() {
        let depot: Depot<Item> = Depot::new(&[SHAPE], usize::MAX, 1);
        let busy = &depot.classes[0].shards[0];
        let mut cache = Cache::new(&depot);
        for _ in 0..4 {
            assert!(cache.put(&depot, 0, Box::new(Item(None))).is_ok());
        }
        assert!(cache.pop(0).is_some() && cache.pop(0).is_some() && cache.pop(0).is_none());
        depot.sweep(true);
        busy.with(|_| cache.sync(&depot));
        depot.sweep(true);
        busy.with(|_| assert!(cache.take(&depot, 0).is_some()));
        assert_eq!(cache.held(0).0, 1);
        cache.flush(&depot);
        assert_eq!((depot.idle(0), depot.available_items(0)), (1, 7));
    }
}
