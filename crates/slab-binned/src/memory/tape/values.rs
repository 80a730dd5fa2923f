//! The tape of an array of plain values.

use core::fmt;

use super::Tape;
use super::parts::{Entries, Stamps};

/// Keeps plain values.
#[derive(Debug)]
pub struct ValueTape<T> {
    stamps: Stamps,
    entries: Entries<(u32, T)>,
}

impl<T: Copy + fmt::Debug> Tape<T> for ValueTape<T> {
    const NEW: Self = Self { stamps: Stamps::NEW, entries: Entries::NEW };

    #[inline]
    fn keep(&mut self, row: u32, old: &T) {
        if self.stamps.is_due(row) {
            self.keep_due(row, *old);
        }
    }
}

impl<T: Copy> ValueTape<T> {
    #[cold]
    fn keep_due(&mut self, row: u32, old: T) {
        if self.stamps.mark(row).and_then(|()| self.entries.push((row, old))).is_err() {
            self.stop();
        }
    }

    /// Returns whether the tape has everything since the last checkpoint.
    pub fn is_on(&self) -> bool {
        self.stamps.is_on()
    }

    /// Starts an epoch, and returns the position of its first entry.
    pub fn mark(&mut self) -> u64 {
        self.stamps.start_epoch();
        self.entries.end()
    }

    /// Takes the last entry at or behind a position.
    pub fn pop_from(&mut self, position: u64) -> Option<(u32, T)> {
        self.entries.pop_from(position)
    }

    /// Returns the rows that were kept at and behind a position, each perhaps more than once.
    pub fn rows_since(&self, position: u64) -> impl Iterator<Item = u32> {
        self.entries.since(position).map(|&(row, _)| row)
    }

    /// Forgets the entries before a position.
    pub fn forget_before(&mut self, position: u64) {
        self.entries.forget_before(position);
    }

    /// Forgets everything, and is off until the next checkpoint.
    pub fn stop(&mut self) {
        self.stamps.stop();
        self.entries.clear();
    }

    pub fn memory_bytes(&self) -> usize {
        self.stamps.memory_bytes() + self.entries.memory_bytes()
    }
}
