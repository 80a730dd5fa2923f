//! One shard of a class in the depot: magazines behind a lock that hot paths only try.

use super::stack::{Linked, Magazine};
use crate::sync::{AtomicUsize, Mutex, Ordering};

/// Full and partly filled magazines of one class.
#[derive(Debug)]
pub(super) struct Magazines<T: Linked> {
    stored: Vec<Magazine<T>>,
    /// The smallest number of magazines since the last sweep: the oldest so many were not needed.
    unused: usize,
    items: usize,
}

impl<T: Linked> Magazines<T> {
    pub(super) fn push(&mut self, magazine: Magazine<T>) {
        if !magazine.is_empty() {
            self.items += magazine.len();
            self.stored.push(magazine);
        }
    }

    /// Takes the newest magazine: its items are the likeliest to be in a CPU cache.
    pub(super) fn pop(&mut self) -> Option<Magazine<T>> {
        let magazine = self.stored.pop()?;
        self.items -= magazine.len();
        self.unused = self.unused.min(self.stored.len());
        Some(magazine)
    }

    pub(super) fn push_one(&mut self, item: Box<T>, batch: usize) {
        match self.stored.last_mut() {
            Some(newest) if newest.len() < batch => {
                newest.push(item);
                self.items += 1;
            }
            _ => {
                let mut magazine = Magazine::new();
                magazine.push(item);
                self.push(magazine);
            }
        }
    }

    pub(super) fn pop_one(&mut self) -> Option<Box<T>> {
        let newest = self.stored.last_mut()?;
        let item = newest.pop();
        self.items -= 1;
        if newest.is_empty() {
            self.stored.pop();
            self.unused = self.unused.min(self.stored.len());
        }
        item
    }

    /// Takes the magazines that were not needed since the last sweep.
    pub(super) fn take_unused(&mut self) -> Vec<Magazine<T>> {
        let unused: Vec<_> = self.stored.drain(..self.unused).collect();
        self.items -= unused.iter().map(Magazine::len).sum::<usize>();
        self.unused = self.stored.len();
        unused
    }

    pub(super) fn take_all(&mut self) -> Vec<Magazine<T>> {
        self.items = 0;
        self.unused = 0;
        std::mem::take(&mut self.stored)
    }
}

/// Magazines, their lock, and how many items there were at the last unlock.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Shard<T: Linked> {
    items: AtomicUsize,
    magazines: Mutex<Magazines<T>>,
}

impl<T: Linked> Shard<T> {
    pub(super) fn new() -> Self {
        let magazines = Magazines { stored: Vec::new(), unused: 0, items: 0 };
        Self { items: AtomicUsize::new(0), magazines: Mutex::new(magazines) }
    }

    /// Returns the number of items: a hint, which the caller verifies under the lock.
    pub(super) fn items(&self) -> usize {
        self.items.load(Ordering::Relaxed)
    }

    /// Calls `action` on the magazines if the lock is free.
    pub(super) fn try_with<R>(&self, action: impl FnOnce(&mut Magazines<T>) -> R) -> Option<R> {
        let mut magazines = self.magazines.try_lock()?;
        let result = action(&mut magazines);
        self.items.store(magazines.items, Ordering::Relaxed);
        Some(result)
    }

    /// Calls `action` on the magazines, after waiting for the lock. Not for acquire and release.
    pub(super) fn with<R>(&self, action: impl FnOnce(&mut Magazines<T>) -> R) -> R {
        let mut magazines = self.magazines.lock();
        let result = action(&mut magazines);
        self.items.store(magazines.items, Ordering::Relaxed);
        result
    }
}
