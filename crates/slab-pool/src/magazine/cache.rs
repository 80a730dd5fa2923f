//! One thread's items of all classes.

use std::sync::Arc;

use super::CLASSES_MAX;
use super::class_cache::{ClassCache, Source};
use super::counts::Counts;
use super::depot::Depot;
use super::stack::Linked;

/// The per-thread magazine cache.
///
/// End it with [`Cache::flush`]: a cache that is only dropped frees its items but keeps their reservations.
#[derive(Debug)]
pub struct Cache<T: Linked> {
    classes: [ClassCache<T>; CLASSES_MAX],
    first_shard: usize,
}

impl<T: Linked> Cache<T> {
    /// Returns the empty cache of a thread.
    pub fn new(depot: &Depot<T>) -> Self {
        let zero = Arc::new(Counts::new());
        Self {
            classes: std::array::from_fn(|_| ClassCache::new(&zero)),
            first_shard: depot.next_shard(),
        }
    }

    // The hot path: no read-modify-write and no lock.

    /// Takes the newest item of a class from this cache. `None` if there is none, or no such class.
    #[inline(always)]
    pub fn pop(&mut self, class: usize) -> Option<Box<T>> {
        self.classes.get_mut(class)?.pop()
    }

    /// Keeps an item in this cache.
    ///
    /// # Errors
    ///
    /// The item, if there is no reservation for it, or no such class.
    #[inline(always)]
    pub fn push(&mut self, class: usize, item: Box<T>) -> Result<(), Box<T>> {
        match self.classes.get_mut(class) {
            Some(cache) => cache.push(item),
            None => Err(item),
        }
    }

    // Slow paths. They try locks, and never wait for one.

    /// Takes an item from this cache or from the depot.
    pub fn take(&mut self, depot: &Depot<T>, class: usize) -> Option<Box<T>> {
        if let Some(item) = self.pop(class) {
            return Some(item);
        }
        let (cache, source) = self.class(depot, class);
        if !cache.register(&source) {
            return depot.take_one(class);
        }
        cache.sync(&source);
        cache.refill(&source);
        cache.pop()
    }

    /// Keeps an item in this cache or in the depot.
    ///
    /// # Errors
    ///
    /// The item, if a limit or busy locks leave no room for it.
    pub fn put(&mut self, depot: &Depot<T>, class: usize, item: Box<T>) -> Result<(), Box<T>> {
        let Err(item) = self.push(class, item) else { return Ok(()) };
        let (cache, source) = self.class(depot, class);
        if !cache.register(&source) {
            return depot.put_one(class, item);
        }
        cache.sync(&source);
        cache.push_slow(&source, item)
    }

    /// Catches up with the sweeps and trims since this thread's last slow path, in all classes.
    pub fn sync(&mut self, depot: &Depot<T>) {
        self.for_each_registered(depot, |cache, source| cache.sync(source));
    }

    /// Frees all items of this cache, and returns their bytes.
    pub fn trim(&mut self, depot: &Depot<T>) -> usize {
        let mut freed_bytes = 0;
        self.for_each_registered(depot, |cache, source| {
            freed_bytes += cache.trim(source) * depot.shape(source.class).item_bytes;
        });
        freed_bytes
    }

    /// Ends this cache: items go to the depot, reservations and counts back to where they came from.
    pub fn flush(&mut self, depot: &Depot<T>) {
        self.for_each_registered(depot, |cache, source| cache.flush(source));
    }

    /// Returns the numbers of items and of reservations in a class, for tests.
    pub fn held(&self, class: usize) -> (usize, usize) {
        self.classes[class].held()
    }

    fn class<'a>(
        &mut self,
        depot: &'a Depot<T>,
        class: usize,
    ) -> (&mut ClassCache<T>, Source<'a, T>) {
        let source = Source { depot, class, first_shard: self.first_shard };
        (&mut self.classes[class], source)
    }

    fn for_each_registered(
        &mut self,
        depot: &Depot<T>,
        mut action: impl FnMut(&mut ClassCache<T>, &Source<'_, T>),
    ) {
        for class in 0..CLASSES_MAX {
            let (cache, source) = self.class(depot, class);
            if cache.is_registered() {
                action(cache, &source);
            }
        }
    }
}
