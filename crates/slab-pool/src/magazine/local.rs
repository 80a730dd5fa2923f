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
/// - **L1 (counted)**: `counts.front` and `counts.len` are the numbers of items in `front` and in `loaded`.
/// - **L2 (credited)**: `front + len ≤ credits ≤ batch` and `previous.len() ≤ previous_credits ≤ batch`; together they
///   are at most the class's `share`.
/// - **L3 (front first)**: outside of slow paths `front` is empty only if `len < credits`, so that an item may be put
///   there without a look at `len`. Slow paths begin with [`Shelf::tuck`] and end with [`Shelf::publish`].
#[derive(Debug)]
#[repr(align(64))]
struct Shelf<T: Linked> {
    /// The item that a thread that uses one at a time takes and puts, over and over.
    front: Option<Box<T>>,
    loaded: Stack<T>,
    counts: Arc<Counts>,
    credits: usize,
    previous: Magazine<T>,
    previous_credits: usize,
    /// The orders that were obeyed last, or [`NOT_ENROLLED`].
    orders: u64,
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
            front: None,
            loaded: Stack::new(),
            counts: Arc::clone(&nobody),
            credits: 0,
            previous: Magazine::new(),
            previous_credits: 0,
            orders: NOT_ENROLLED,
        };
        Self { shelves: std::array::from_fn(shelf), home: depot.next_home() }
    }

    /// Takes the item that was put last, if there is one at hand. No read-modify-write, no call. `None` for
    /// a class that cannot be.
    #[inline(always)]
    pub fn pop(&mut self, class: usize) -> Option<Box<T>> {
        let shelf = self.shelves.get_mut(class)?;
        let Some(item) = shelf.front.take() else { return shelf.pop_loaded() };
        shelf.counts.front.store(0, Ordering::Relaxed);
        bump(&shelf.counts.recycles, 1);
        Some(item)
    }

    /// Keeps an item if there is room at hand; hands it back if not. No read-modify-write, no call.
    #[inline(always)]
    pub fn push(&mut self, class: usize, item: Box<T>) -> Result<(), Box<T>> {
        let Some(shelf) = self.shelves.get_mut(class) else { return Err(item) };
        if shelf.front.is_some() || shelf.counts.front_limit.load(Ordering::Relaxed) == 0 {
            return shelf.push_loaded(item);
        }
        shelf.counts.front.store(1, Ordering::Relaxed);
        // It was `None`; forgetting it spares the hot path a check that says so.
        std::mem::forget(shelf.front.replace(item));
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
        shelf.tuck();
        if shelf.previous.is_empty() {
            let Some(magazine) = depot.take(class, home) else {
                shelf.publish(depot);
                return None;
            };
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
        shelf.tuck();
        let shape = depot.class(class).shape;
        let room = !depot.is_closed() && shelf.make_room(depot, class, home);
        debug_assert!(!room || shelf.len() < shelf.credits && shelf.credits <= shape.batch);
        let outcome = if room {
            shelf.loaded.push(item);
            shelf.set_len(shelf.len() + 1);
            Ok(())
        } else {
            bump(&shelf.counts.discards, 1);
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
            shelf.tuck();
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
            shelf.tuck();
            shelf.store_previous(depot, class, home);
            shelf.swap();
            shelf.store_previous(depot, class, home);
            let homeless = shelf.clear(depot, class);
            bump(&shelf.counts.discards, homeless as u64);
            shelf.counts.allow(0);
            depot.retire(class, &shelf.counts);
            shelf.counts = Arc::new(Counts::new());
            shelf.orders = NOT_ENROLLED;
        }
    }

    /// Returns the items and the credits that are here, for tests.
    pub fn held(&self, class: usize) -> (usize, usize) {
        let shelf = &self.shelves[class];
        let front = usize::from(shelf.front.is_some());
        (front + shelf.len() + shelf.previous.len(), shelf.credits + shelf.previous_credits)
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
        shelf.tuck();
        if Depot::<T>::trimmed_between(shelf.orders, orders) {
            shelf.clear(depot, class);
        } else {
            shelf.store_previous(depot, class, self.home);
            let recycles = shelf.counts.recycles.load(Ordering::Relaxed);
            let before = shelf.counts.recycles_at_order.load(Ordering::Relaxed);
            shelf.counts.recycles_at_order.store(recycles, Ordering::Relaxed);
            if before == recycles {
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

    /// As [`Local::pop`], with nothing in front.
    #[cold]
    #[inline(never)]
    fn pop_loaded(&mut self) -> Option<Box<T>> {
        let item = self.loaded.pop()?;
        // The owner's own last store is what it reads; others may see it late.
        self.set_len(self.len() - 1);
        bump(&self.counts.recycles, 1);
        Some(item)
    }

    /// As [`Local::push`], with something in front, or no right to put anything there.
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

    /// Puts the item in front where slow paths see it.
    fn tuck(&mut self) {
        if let Some(item) = self.front.take() {
            self.counts.front.store(0, Ordering::Relaxed);
            self.loaded.push(item);
            self.set_len(self.len() + 1);
        }
    }

    /// Makes `counts` say what is true again after a slow path, and an item be in front if there is one: **L3**.
    fn publish(&mut self, depot: &Depot<T>) {
        if self.front.is_none()
            && let Some(item) = self.loaded.pop()
        {
            self.set_len(self.len() - 1);
            self.counts.front.store(1, Ordering::Relaxed);
            self.front = Some(item);
        }
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
