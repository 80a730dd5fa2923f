//! The part of one thread. It is passed explicitly, so that tests and models can play several
//! threads.

use std::sync::Arc;

use super::CLASSES_MAX;
use super::counts::{Counts, bump};
use super::depot::Depot;
use super::stack::{Linked, Magazine, Stack};
use crate::sync::Ordering;

/// Instead of orders, for a class in which the thread has no counters yet.
const NOT_ENROLLED: u64 = u64::MAX;

/// What one thread keeps of one class. One cache line.
///
/// # Invariants
///
/// - **L1 (counted)**: `counts.len` is the number of items in `loaded`.
/// - **L2 (credited)**: `counts.len ≤ credits ≤ batch` and `previous.len() ≤ previous_credits ≤ batch`; together
///   they are at most the class's `share`. `counts.limit` is `credits` or zero.
#[derive(Debug)]
struct Shelf<T: Linked> {
    loaded: Stack<T>,
    counts: Arc<Counts>,
    credits: usize,
    previous: Magazine<T>,
    previous_credits: usize,
    /// The orders that were obeyed last, or [`NOT_ENROLLED`].
    orders: u64,
    recycles_at_order: u64,
}

/// What one thread keeps: two small stacks per class.
///
/// Give it back with [`Local::flush`]; one that is only dropped takes its credits with it.
#[derive(Debug)]
pub struct Local<T: Linked> {
    shelves: [Shelf<T>; CLASSES_MAX],
    home: usize,
}

impl<T: Linked> Local<T> {
    /// Returns the part of a thread that has done nothing yet.
    pub fn new(depot: &Depot<T>) -> Self {
        let nobody = Arc::new(Counts::new());
        let shelf = |_| Shelf {
            loaded: Stack::new(),
            counts: Arc::clone(&nobody),
            credits: 0,
            previous: Magazine::new(),
            previous_credits: 0,
            orders: NOT_ENROLLED,
            recycles_at_order: 0,
        };
        Self { shelves: std::array::from_fn(shelf), home: depot.next_home() }
    }

    /// Takes the item that was put last, if there is one at hand. No read-modify-write, no call. `None` for
    /// a class that cannot be.
    #[inline(always)]
    pub fn pop(&mut self, class: usize) -> Option<Box<T>> {
        let shelf = self.shelves.get_mut(class)?;
        let item = shelf.loaded.pop()?;
        let counts = &*shelf.counts;
        // The owner's own last store is what it reads; others may see it late.
        counts.len.store(counts.len.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
        bump(&counts.recycles);
        Some(item)
    }

    /// Keeps an item if there is room at hand; hands it back if not. No read-modify-write, no call.
    #[inline(always)]
    pub fn push(&mut self, class: usize, item: Box<T>) -> Result<(), Box<T>> {
        let Some(shelf) = self.shelves.get_mut(class) else { return Err(item) };
        let counts = &*shelf.counts;
        let len = counts.len.load(Ordering::Relaxed);
        if len >= counts.limit.load(Ordering::Relaxed) {
            return Err(item);
        }
        counts.len.store(len + 1, Ordering::Relaxed);
        shelf.loaded.push(item);
        Ok(())
    }

    /// As [`Local::pop`], and swaps magazines until there is an item or nobody has one.
    pub fn take(&mut self, depot: &Depot<T>, class: usize) -> Option<Box<T>> {
        if let Some(item) = self.pop(class) {
            return Some(item);
        }
        if !self.enrol(depot, class) {
            return depot.take_one(class);
        }
        self.obey(depot, class);
        let home = self.home;
        let shelf = &mut self.shelves[class];
        if shelf.previous.is_empty() {
            let magazine = depot.take(class, home)?;
            // What is left of the empty one's lease goes back; the full one brings its own.
            depot.give(class, shelf.credits);
            shelf.credits = magazine.len();
            shelf.load(magazine);
        } else {
            shelf.swap();
        }
        shelf.publish(depot);
        self.pop(class)
    }

    /// As [`Local::push`], and swaps magazines and leases credits until there is room; hands the item
    /// back if it must not be kept.
    pub fn put(&mut self, depot: &Depot<T>, class: usize, item: Box<T>) -> Result<(), Box<T>> {
        let item = match self.push(class, item) {
            Ok(()) => return Ok(()),
            Err(item) => item,
        };
        if !self.enrol(depot, class) {
            return depot.put_one(class, item);
        }
        self.obey(depot, class);
        let home = self.home;
        let shelf = &mut self.shelves[class];
        let shape = depot.class(class).shape;
        let room = !depot.is_closed() && shelf.make_room(depot, class, home);
        debug_assert!(!room || shelf.len() < shelf.credits && shelf.credits <= shape.batch);
        let outcome = if room {
            shelf.loaded.push(item);
            shelf.set_len(shelf.len() + 1);
            Ok(())
        } else {
            bump(&shelf.counts.discards);
            Err(item)
        };
        // Also without room: credits may have changed places.
        shelf.publish(depot);
        outcome
    }

    /// Does what was ordered since this thread's last slow path, in all classes.
    pub fn settle(&mut self, depot: &Depot<T>) {
        for class in 0..CLASSES_MAX {
            if self.shelves[class].enrolled() {
                self.obey(depot, class);
            }
        }
    }

    /// Lets go of everything here, and gives the credits back; returns the bytes let go.
    pub fn trim(&mut self, depot: &Depot<T>) -> usize {
        let mut released_bytes = 0;
        for (class, shelf) in
            self.shelves.iter_mut().enumerate().filter(|(_, shelf)| shelf.enrolled())
        {
            released_bytes += shelf.clear(depot, class) * depot.class(class).shape.item_bytes;
            shelf.publish(depot);
        }
        released_bytes
    }

    /// Ends this part: items go to the depot, credits and counts back where they came from.
    pub fn flush(&mut self, depot: &Depot<T>) {
        let home = self.home;
        for (class, shelf) in
            self.shelves.iter_mut().enumerate().filter(|(_, shelf)| shelf.enrolled())
        {
            shelf.store_previous(depot, class, home);
            shelf.swap();
            shelf.store_previous(depot, class, home);
            // What found no place in the depot.
            shelf.clear(depot, class);
            shelf.counts.limit.store(0, Ordering::Relaxed);
            depot.retire(class, &shelf.counts);
            shelf.counts = Arc::new(Counts::new());
            shelf.orders = NOT_ENROLLED;
        }
    }

    /// Returns the items and the credits that are here, for tests.
    pub fn held(&self, class: usize) -> (usize, usize) {
        let shelf = &self.shelves[class];
        (shelf.len() + shelf.previous.len(), shelf.credits + shelf.previous_credits)
    }

    /// Gets counters for the first work in a class; false if there are none to be had.
    fn enrol(&mut self, depot: &Depot<T>, class: usize) -> bool {
        let shelf = &mut self.shelves[class];
        if !shelf.enrolled()
            && let Some(counts) = depot.register(class)
        {
            shelf.counts = counts;
            shelf.orders = depot.orders();
        }
        shelf.enrolled()
    }

    /// Does what was ordered since the last slow path.
    fn obey(&mut self, depot: &Depot<T>, class: usize) {
        let orders = depot.orders();
        let shelf = &mut self.shelves[class];
        if shelf.orders == orders {
            return;
        }
        if Depot::<T>::trimmed_between(shelf.orders, orders) {
            shelf.clear(depot, class);
        } else {
            shelf.store_previous(depot, class, self.home);
            let recycles = shelf.counts.recycles.load(Ordering::Relaxed);
            if std::mem::replace(&mut shelf.recycles_at_order, recycles) == recycles {
                // Nothing was taken since the last order, so the depot shall see to the rest as well.
                shelf.swap();
                shelf.store_previous(depot, class, self.home);
            }
        }
        shelf.orders = orders;
        shelf.publish(depot);
    }
}

impl<T: Linked> Shelf<T> {
    fn enrolled(&self) -> bool {
        self.orders != NOT_ENROLLED
    }

    fn len(&self) -> usize {
        self.counts.len.load(Ordering::Relaxed)
    }

    fn set_len(&self, len: usize) {
        self.counts.len.store(len, Ordering::Relaxed);
    }

    /// Makes `counts` say what is true again after a slow path.
    fn publish(&self, depot: &Depot<T>) {
        self.counts.previous.store(self.previous.len(), Ordering::Relaxed);
        depot.answers_to(self.orders, &self.counts, self.credits);
    }

    /// Replaces an empty loaded stack.
    fn load(&mut self, magazine: Magazine<T>) {
        debug_assert!(self.loaded.is_empty());
        let (items, len) = magazine.into_parts();
        self.loaded = items;
        self.set_len(len);
    }

    /// Exchanges loaded and previous, credits included.
    fn swap(&mut self) {
        let loaded = Magazine::from_parts(std::mem::take(&mut self.loaded), self.len());
        let previous = std::mem::replace(&mut self.previous, loaded);
        self.load(previous);
        std::mem::swap(&mut self.credits, &mut self.previous_credits);
    }

    /// Moves the previous magazine into the depot, if that has a rack free.
    fn store_previous(&mut self, depot: &Depot<T>, class: usize, home: usize) {
        let full = std::mem::take(&mut self.previous);
        let spare = self.previous_credits - full.len();
        match depot.store(class, home, full) {
            Ok(()) => self.previous_credits = 0,
            Err(full) => {
                self.previous_credits = full.len();
                self.previous = full;
            }
        }
        depot.give(class, spare);
    }

    /// Makes room for one more item in `loaded`; false if none is to be had.
    fn make_room(&mut self, depot: &Depot<T>, class: usize, home: usize) -> bool {
        let shape = depot.class(class).shape;
        if self.len() >= shape.batch {
            let alone = shape.share == shape.batch;
            if !alone && self.previous.len() >= shape.batch {
                self.store_previous(depot, class, home);
            }
            // The emptier one is loaded; if there is to be only one, the full one goes on to the depot.
            self.swap();
            if alone {
                self.store_previous(depot, class, home);
            }
            if self.len() >= shape.batch {
                // Every rack was busy.
                return false;
            }
        }
        if self.len() >= self.credits {
            let room = shape.share - self.credits - self.previous_credits;
            self.credits += depot.lease(class, room.min(shape.batch - self.credits));
        }
        self.len() < self.credits
    }

    /// Lets go of all items and credits; returns how many items there were.
    fn clear(&mut self, depot: &Depot<T>, class: usize) -> usize {
        let items = (std::mem::take(&mut self.loaded), std::mem::take(&mut self.previous));
        let count = self.len() + items.1.len();
        self.set_len(0);
        self.counts.previous.store(0, Ordering::Relaxed);
        depot.give(class, self.credits + self.previous_credits);
        self.credits = 0;
        self.previous_credits = 0;
        drop(items);
        count
    }
}
