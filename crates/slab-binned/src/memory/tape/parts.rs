//! The parts of a tape: which rows were kept, and the entries in their order.

extern crate alloc;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Which rows were kept since the last checkpoint.
#[derive(Debug)]
pub struct Stamps {
    /// The current epoch; 0 while the tape is off.
    pub epoch: u32,
    /// By row: the epoch in which it was kept last.
    rows: Vec<u32>,
}

impl Stamps {
    pub const NEW: Self = Self { epoch: 0, rows: Vec::new() };

    pub fn is_on(&self) -> bool {
        self.epoch != 0
    }

    /// Starts an epoch in which no row was kept, and returns whether epochs are counted from 1 again.
    pub fn start_epoch(&mut self) -> bool {
        let wraps = self.epoch == u32::MAX;
        if wraps {
            self.rows.fill(0);
            self.epoch = 0;
        }
        self.epoch += 1;
        wraps
    }

    pub fn stop(&mut self) {
        *self = Self::NEW;
    }

    /// Returns whether a row has to be kept: the tape is on, and the row was not kept in this epoch.
    #[inline]
    pub fn is_due(&self, row: u32) -> bool {
        self.is_on() && self.rows.get(row as usize) != Some(&self.epoch)
    }

    /// Marks a row as kept.
    ///
    /// # Errors
    ///
    /// There is no memory for its stamp.
    pub fn mark(&mut self, row: u32) -> Result<(), ()> {
        let row = row as usize;
        if row >= self.rows.len() {
            let len = (row + 1).max(2 * self.rows.len());
            self.rows.try_reserve_exact(len - self.rows.len()).map_err(|_| ())?;
            self.rows.resize(len, 0);
        }
        self.rows[row] = self.epoch;
        Ok(())
    }

    pub fn memory_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<u32>()
    }
}

/// Entries in the order in which they were kept. Positions count from the first entry that ever was, so that
/// they stay when the oldest are forgotten.
#[derive(Debug)]
pub struct Entries<T> {
    entries: VecDeque<T>,
    /// Position of the first entry.
    first: u64,
}

impl<T> Entries<T> {
    pub const NEW: Self = Self { entries: VecDeque::new(), first: 0 };

    /// Returns the position behind the last entry.
    pub fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub fn push(&mut self, entry: T) -> Result<(), ()> {
        self.entries.try_reserve(1).map_err(|_| ())?;
        self.entries.push_back(entry);
        Ok(())
    }

    /// Takes the last entry, if it lies at or behind a position.
    pub fn pop_from(&mut self, start: u64) -> Option<T> {
        if self.end() > start { self.entries.pop_back() } else { None }
    }

    /// Takes the first entry, if it lies before a position.
    pub fn pop_before(&mut self, end: u64) -> Option<T> {
        if self.first >= end {
            return None;
        }
        let entry = self.entries.pop_front()?;
        self.first += 1;
        Some(entry)
    }

    /// Forgets the entries before a position.
    pub fn forget_before(&mut self, position: u64) {
        let count = position.saturating_sub(self.first) as usize;
        let count = count.min(self.entries.len());
        self.entries.drain(..count);
        self.first += count as u64;
    }

    /// Forgets all entries and gives their memory back.
    pub fn clear(&mut self) {
        *self = Self { entries: VecDeque::new(), first: self.end() };
    }

    /// Returns the entries at and behind a position, the oldest first.
    pub fn since(&self, position: u64) -> impl Iterator<Item = &T> {
        let skipped = position.saturating_sub(self.first) as usize;
        self.entries.range(skipped.min(self.entries.len())..)
    }

    pub fn memory_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<T>()
    }
}
