//! One shard of a class: magazines behind a lock that the hot side only ever tries.

use super::stack::{Linked, Magazine};
use crate::sync::{AtomicUsize, Mutex, Ordering};

/// Full and partly filled magazines of one class.
#[derive(Debug)]
pub(super) struct Rack<T: Linked> {
    magazines: Vec<Magazine<T>>,
    /// The fewest magazines there were since the last sweep: these nobody needed.
    low: usize,
    items: usize,
}

impl<T: Linked> Rack<T> {
    pub(super) fn push(&mut self, magazine: Magazine<T>) {
        if !magazine.is_empty() {
            self.items += magazine.len();
            self.magazines.push(magazine);
        }
    }

    /// Takes the magazine that was used last: its items are the likeliest to be in a cache.
    pub(super) fn pop(&mut self) -> Option<Magazine<T>> {
        let magazine = self.magazines.pop()?;
        self.items -= magazine.len();
        self.low = self.low.min(self.magazines.len());
        Some(magazine)
    }

    pub(super) fn push_one(&mut self, item: Box<T>, batch: usize) {
        match self.magazines.last_mut() {
            Some(top) if top.len() < batch => {
                top.push(item);
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
        let top = self.magazines.last_mut()?;
        let item = top.pop();
        self.items -= 1;
        if top.is_empty() {
            self.magazines.pop();
            self.low = self.low.min(self.magazines.len());
        }
        item
    }

    /// Takes the oldest magazines, as many as nobody needed since the last sweep.
    pub(super) fn take_idle(&mut self) -> Vec<Magazine<T>> {
        let idle: Vec<_> = self.magazines.drain(..self.low).collect();
        self.items -= idle.iter().map(Magazine::len).sum::<usize>();
        self.low = self.magazines.len();
        idle
    }

    pub(super) fn take_all(&mut self) -> Vec<Magazine<T>> {
        self.items = 0;
        self.low = 0;
        std::mem::take(&mut self.magazines)
    }
}

/// A rack, its lock, and how many items it had when it was last unlocked.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Shard<T: Linked> {
    items: AtomicUsize,
    rack: Mutex<Rack<T>>,
}

impl<T: Linked> Shard<T> {
    pub(super) fn new() -> Self {
        let rack = Rack { magazines: Vec::new(), low: 0, items: 0 };
        Self { items: AtomicUsize::new(0), rack: Mutex::new(rack) }
    }

    /// Returns a hint of how many items there are: what is false is found out under the lock.
    pub(super) fn items(&self) -> usize {
        self.items.load(Ordering::Relaxed)
    }

    /// Works on the rack if nobody else does.
    pub(super) fn try_with<R>(&self, action: impl FnOnce(&mut Rack<T>) -> R) -> Option<R> {
        let mut rack = self.rack.try_lock()?;
        let result = action(&mut rack);
        self.items.store(rack.items, Ordering::Relaxed);
        Some(result)
    }

    /// Works on the rack once nobody else does. Not for acquire and release.
    pub(super) fn with<R>(&self, action: impl FnOnce(&mut Rack<T>) -> R) -> R {
        let mut rack = self.rack.lock();
        let result = action(&mut rack);
        self.items.store(rack.items, Ordering::Relaxed);
        result
    }
}
