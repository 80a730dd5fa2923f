//! The shared tier: whole magazines, in shards whose locks are only ever tried on the way of an
//! acquire or a release.
//!
//! # Invariants
//!
//! - **D1 (credits)**: a magazine in the depot holds one credit per item. Credits left, credits of
//!   the depot and credits of thread caches add up to a class's capacity; their bytes to the
//!   retained limit.
//! - **D2 (closed)**: once `close` has returned and those who were inside have left, the depot is empty
//!   for ever. Whoever unlocks a rack looks at `closed` afterwards and empties the rack himself.

use std::sync::Arc;

use super::counts::{Counts, SharedCounts, Totals};
use super::credits::Credits;
use super::rack::{Rack, Shard};
use super::stack::{Linked, Magazine};
use crate::sync::{AtomicBool, AtomicU64, AtomicUsize, Mutex, Ordering, fence, hint};

/// Racks that one call looks into: a sweep over all of them would cost more than an allocation.
const TRIES_MAX: usize = 4;
/// How often a lock of the registry is tried before somebody goes without a cache.
const REGISTRY_TRIES: usize = 64;
/// What [`Depot::orders`] grows by when everything idle is to be let go.
const TRIM: u64 = 1 << 32;

/// What a class of items is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Bytes of one item, as the limit of retained bytes counts them.
    pub item_bytes: usize,
    /// Idle items that are kept at most.
    pub capacity: usize,
    /// Items in a magazine.
    pub batch: usize,
    /// Credits that one thread holds at most.
    pub share: usize,
}

impl Shape {
    /// Returns a shape whose magazines hold about `magazine_bytes`, `batch_max` items at most, and
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

/// The part of a class that is shared.
#[derive(Debug)]
pub(super) struct Class<T: Linked> {
    pub(super) shape: Shape,
    credits: Credits,
    shards: Box<[Shard<T>]>,
    pub(super) shared: SharedCounts,
}

/// Live counters, and the sums of those whose threads are gone.
#[derive(Debug)]
struct Registry {
    live: Vec<(usize, Arc<Counts>)>,
    retired: Box<[Totals]>,
}

impl Registry {
    /// Calls every thread cache to its slow path.
    fn call(&self) {
        for (_, counts) in &self.live {
            counts.allow(0);
        }
    }
}

/// The shared tier of all classes.
#[derive(Debug)]
pub struct Depot<T: Linked> {
    classes: Box<[Class<T>]>,
    /// Bytes of idle items that may still be kept.
    bytes: Credits,
    /// Sweeps in the low half, trims in the high half: what thread caches have to obey.
    orders: AtomicU64,
    closed: AtomicBool,
    registry: Mutex<Registry>,
    homes: AtomicUsize,
}

impl<T: Linked> Depot<T> {
    /// Returns an empty depot for classes of these shapes, `shards` (a power of two) racks each.
    pub fn new(shapes: &[Shape], retained_bytes_max: usize, shards: usize) -> Self {
        let class = |&shape: &Shape| Class {
            shape,
            credits: Credits::new(shape.capacity),
            shards: (0..shards.next_power_of_two()).map(|_| Shard::new()).collect(),
            shared: SharedCounts::new(),
        };
        let registry =
            Registry { live: Vec::new(), retired: vec![Totals::default(); shapes.len()].into() };
        Self {
            classes: shapes.iter().map(class).collect(),
            bytes: Credits::new(retained_bytes_max),
            orders: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            registry: Mutex::new(registry),
            homes: AtomicUsize::new(0),
        }
    }

    pub(super) fn class(&self, class: usize) -> &Class<T> {
        &self.classes[class]
    }

    /// Returns the shape of a class.
    pub fn shape(&self, class: usize) -> Option<Shape> {
        self.classes.get(class).map(|class| class.shape)
    }

    /// Returns where a new thread cache looks first.
    pub(super) fn next_home(&self) -> usize {
        self.homes.fetch_add(1, Ordering::Relaxed)
    }

    // Credits.

    /// Takes up to `wanted` credits; each is one item and its bytes.
    pub(super) fn lease(&self, class: usize, wanted: usize) -> usize {
        let Class { shape, credits, .. } = self.class(class);
        let got = credits.lease(wanted, 1);
        let affordable = self.bytes.lease(got, shape.item_bytes);
        credits.give(got - affordable);
        affordable
    }

    pub(super) fn give(&self, class: usize, count: usize) {
        let Class { shape, credits, .. } = self.class(class);
        self.bytes.give(count * shape.item_bytes);
        credits.give(count);
    }

    /// Returns how many items of a class may still be kept, were there no limit of bytes.
    pub fn credits_left(&self, class: usize) -> usize {
        self.class(class).credits.left()
    }

    /// Returns the bytes that are not spoken for.
    pub fn bytes_left(&self) -> usize {
        self.bytes.left()
    }

    // Magazines.

    /// Works on a rack if nobody else does, and keeps **D2**.
    fn try_rack<R>(&self, shard: &Shard<T>, action: impl FnOnce(&mut Rack<T>) -> R) -> Option<R> {
        let result = shard.try_with(action)?;
        // Between the unlocking and the look at `closed`; `close` has its pair.
        fence(Ordering::SeqCst);
        if self.is_closed() {
            drop(shard.try_with(Rack::take_all));
        }
        Some(result)
    }

    /// The shards of a class, beginning at `home`.
    fn shards_from(&self, class: usize, home: usize) -> impl Iterator<Item = &Shard<T>> {
        let shards = &self.class(class).shards;
        (0..shards.len()).map(move |step| &shards[(home + step) & (shards.len() - 1)])
    }

    /// Takes a magazine, from `home` or else from somebody else's rack, with a credit per item.
    pub(super) fn take(&self, class: usize, home: usize) -> Option<Magazine<T>> {
        self.shards_from(class, home)
            .filter(|shard| shard.items() > 0)
            .take(TRIES_MAX)
            .find_map(|shard| self.try_rack(shard, Rack::pop)?)
    }

    /// Takes a magazine with a credit per item; hands it back if all racks it tried were busy, or
    /// the depot is closed.
    pub(super) fn store(
        &self,
        class: usize,
        home: usize,
        magazine: Magazine<T>,
    ) -> Result<(), Magazine<T>> {
        if magazine.is_empty() {
            return Ok(());
        }
        let mut pending = Some(magazine);
        for shard in self.shards_from(class, home).take(TRIES_MAX) {
            if self.is_closed() {
                break;
            }
            let stored = self.try_rack(shard, |rack| pending.take().map(|full| rack.push(full)));
            if stored.is_some() {
                return Ok(());
            }
        }
        pending.map_or(Ok(()), Err)
    }

    /// Takes one item, for those without a cache.
    pub fn take_one(&self, class: usize) -> Option<Box<T>> {
        let item = self
            .shards_from(class, 0)
            .filter(|shard| shard.items() > 0)
            .take(TRIES_MAX)
            .find_map(|shard| self.try_rack(shard, Rack::pop_one)?)?;
        self.give(class, 1);
        self.class(class).shared.recycled();
        Some(item)
    }

    /// Keeps one item, for those without a cache; hands it back if it cannot be kept.
    pub fn put_one(&self, class: usize, item: Box<T>) -> Result<(), Box<T>> {
        let outcome = self.try_put_one(class, item);
        if outcome.is_err() {
            self.class(class).shared.discarded();
        }
        outcome
    }

    /// As [`Depot::put_one`], for an item that was never handed out.
    pub fn try_put_one(&self, class: usize, item: Box<T>) -> Result<(), Box<T>> {
        if self.is_closed() || self.lease(class, 1) == 0 {
            return Err(item);
        }
        let batch = self.class(class).shape.batch;
        let mut pending = Some(item);
        for shard in self.shards_from(class, 0).take(TRIES_MAX) {
            let put = |rack: &mut Rack<T>| pending.take().map(|item| rack.push_one(item, batch));
            if self.try_rack(shard, put).is_some() {
                return Ok(());
            }
        }
        self.give(class, 1);
        pending.map_or(Ok(()), Err)
    }

    /// Counts an item that had to be made.
    pub fn count_miss(&self, class: usize) {
        self.class(class).shared.missed();
    }

    // Letting go.

    /// Lets go of what nobody needed since the last sweep, calls thread caches to part with their
    /// spare magazines, and returns the bytes let go. `wait`: also if that takes waiting for a lock.
    pub fn sweep(&self, wait: bool) -> usize {
        self.order(1, wait);
        self.release_each(wait, Rack::take_idle)
    }

    /// Lets go of everything, tells thread caches to do the same, and returns the bytes let go.
    pub fn trim(&self) -> usize {
        self.order(TRIM, true);
        self.release_each(true, Rack::take_all)
    }

    fn release_each(&self, wait: bool, pick: fn(&mut Rack<T>) -> Vec<Magazine<T>>) -> usize {
        let mut released_bytes = 0;
        for (index, class) in self.classes.iter().enumerate() {
            for shard in &class.shards {
                let picked = if wait { Some(shard.with(pick)) } else { shard.try_with(pick) };
                let magazines = picked.unwrap_or_default();
                let count: usize = magazines.iter().map(Magazine::len).sum();
                drop(magazines);
                self.give(index, count);
                released_bytes += count * class.shape.item_bytes;
            }
        }
        released_bytes
    }

    /// Ends the depot: nothing is kept from now on. Waits for nobody.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.order(TRIM, false);
        // Whoever holds a rack now looks at `closed` once it has let go.
        fence(Ordering::SeqCst);
        for shard in self.classes.iter().flat_map(|class| &class.shards) {
            drop(shard.try_with(Rack::take_all));
        }
    }

    /// Returns whether [`Depot::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Publishes an order and calls every thread cache to its slow path.
    fn order(&self, step: u64, wait: bool) {
        self.orders.fetch_add(step, Ordering::AcqRel);
        // Pairs with `answers_to`: either the cache sees the order, or its limits stay zero.
        fence(Ordering::SeqCst);
        if wait {
            self.registry.lock().call();
        } else if let Some(registry) = self.try_registry() {
            registry.call();
        }
    }

    pub(super) fn orders(&self) -> u64 {
        self.orders.load(Ordering::Acquire)
    }

    /// Publishes the limits of a cache that has obeyed `orders`; zero if there are newer ones.
    pub(super) fn answers_to(&self, orders: u64, counts: &Counts, credits: usize) {
        counts.allow(credits);
        fence(Ordering::SeqCst);
        if self.orders() != orders {
            counts.allow(0);
        }
    }

    /// Returns whether between two orders everything was to be let go.
    pub(super) fn trimmed_between(before: u64, after: u64) -> bool {
        before / TRIM != after / TRIM
    }

    // Counting.

    fn try_registry(&self) -> Option<impl std::ops::DerefMut<Target = Registry> + '_> {
        let attempt = || {
            let guard = self.registry.try_lock();
            if guard.is_none() {
                hint::spin_loop();
            }
            guard
        };
        std::iter::repeat_with(attempt).take(REGISTRY_TRIES).flatten().next()
    }

    /// Returns counters for a thread's work in a class, or `None` if the registry stays busy, as it
    /// does for ever in the child of a fork that happened at the wrong moment.
    pub(super) fn register(&self, class: usize) -> Option<Arc<Counts>> {
        let mut registry = self.try_registry()?;
        let counts = Arc::new(Counts::new());
        registry.live.push((class, Arc::clone(&counts)));
        Some(counts)
    }

    /// Adds the counters of a thread that ends to the sums. If the registry stays busy they stay
    /// listed, which costs some memory and no truth.
    pub(super) fn retire(&self, class: usize, counts: &Arc<Counts>) {
        let Some(mut registry) = self.try_registry() else { return };
        let live = registry.live.iter().position(|(_, other)| Arc::ptr_eq(other, counts));
        if let Some(index) = live {
            registry.live.swap_remove(index);
            registry.retired[class].add(counts.totals());
        }
    }

    /// Returns what happened in each class. *O*(threads × classes), under the registry's lock, so that no
    /// thread is counted twice or not at all while it ends.
    pub fn totals(&self) -> Vec<Totals> {
        let registry = self.registry.lock();
        let mut totals = registry.retired.to_vec();
        for (class, counts) in &registry.live {
            totals[*class].add(counts.totals());
        }
        for (total, class) in totals.iter_mut().zip(&self.classes) {
            total.add(class.shared.totals());
        }
        totals
    }

    /// Returns the idle items of a class, wherever they are; exact while nobody moves any.
    pub fn idle(&self, class: usize) -> usize {
        let registry = self.registry.lock();
        let of_class = registry.live.iter().filter(|(other, _)| *other == class);
        let held: usize = of_class.map(|(_, counts)| counts.held()).sum();
        held + self.class(class).shards.iter().map(Shard::items).sum::<usize>()
    }
}

impl<T: Linked> Drop for Depot<T> {
    fn drop(&mut self) {
        debug_assert!(
            self.classes.iter().all(|class| class.credits.left() <= class.shape.capacity)
        );
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Item(Option<Box<Self>>);

    impl Linked for Item {
        fn link(&mut self) -> &mut Option<Box<Self>> {
            &mut self.0
        }
    }

    const SHAPE: Shape = Shape { item_bytes: 100, capacity: 8, batch: 2, share: 4 };

    #[test]
    fn threads_that_come_one_after_another_look_in_different_places_first() {
        let depot: Depot<Item> = Depot::new(&[SHAPE], usize::MAX, 4);
        let homes: Vec<_> = (0..4).map(|_| depot.next_home() % 4).collect();
        assert!((0..4).all(|shard| homes.contains(&shard)), "{homes:?}");
    }

    /// Racks that say they are empty cost no try.
    #[test]
    fn a_magazine_is_found_behind_any_number_of_empty_racks() {
        let depot: Depot<Item> = Depot::new(&[SHAPE], usize::MAX, 4 * TRIES_MAX);
        for home in 0..4 * TRIES_MAX {
            let mut magazine = Magazine::new();
            magazine.push(Box::new(Item(None)));
            assert!(depot.store(0, home, magazine).is_ok());
            assert_eq!(depot.take(0, home + 1).map(|found| found.len()), Some(1));
        }
    }

    #[test]
    fn a_thread_that_ends_leaves_its_sums_and_no_counters() {
        let depot: Depot<Item> = Depot::new(&[SHAPE, SHAPE], usize::MAX, 1);
        for thread in 1..=3 {
            let counts = depot.register(1).expect("nobody holds the registry");
            counts.recycles.store(thread, Ordering::Relaxed);
            assert_eq!(depot.registry.lock().live.len(), 1);
            depot.retire(1, &counts);
        }
        assert!(depot.registry.lock().live.is_empty());
        assert_eq!(depot.totals().iter().map(|totals| totals.recycles).collect::<Vec<_>>(), [0, 6]);
    }

    #[test]
    fn a_credit_is_an_item_and_its_bytes() {
        let depot: Depot<Item> = Depot::new(&[SHAPE, SHAPE], 1000, 1);
        assert_eq!(depot.lease(0, 5), 5);
        assert_eq!(depot.lease(0, 5), 3, "the class keeps eight");
        assert_eq!(depot.lease(1, 5), 2, "a thousand bytes are ten items");
        assert_eq!([depot.credits_left(0), depot.credits_left(1)], [0, 6]);
        depot.give(0, 8);
        assert_eq!(depot.lease(1, 9), 6);
        assert_eq!([depot.credits_left(0), depot.credits_left(1)], [8, 0]);
    }
}
