//! The checkpoints of one allocator: the last ones, up to a limit.

extern crate alloc;

use alloc::collections::VecDeque;

use super::{Checkpoint, RollbackError};
use crate::memory::StoreMark;
use crate::numbers::Numbers;

/// Checkpoints that are kept unless chosen otherwise.
const LIMIT: usize = 8;

/// A checkpoint and what a rollback to it needs, beside the tapes.
#[derive(Debug)]
pub struct Saved<M> {
    pub checkpoint: Checkpoint,
    pub numbers: Numbers,
    pub store: StoreMark,
    pub journal: M,
}

/// Checkpoints in the order of their numbers.
#[derive(Debug)]
pub struct Ring<M> {
    saved: VecDeque<Saved<M>>,
    limit: usize,
    next: u64,
}

impl<M> Ring<M> {
    pub fn new() -> Self {
        Self { saved: VecDeque::new(), limit: LIMIT, next: 0 }
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    pub fn next_number(&self) -> u64 {
        self.next
    }

    pub fn iter(&self) -> impl Iterator<Item = &Saved<M>> {
        self.saved.iter()
    }

    /// Makes sure that another checkpoint can be added.
    ///
    /// # Errors
    ///
    /// The bytes for which there is no memory.
    pub fn reserve(&mut self) -> Result<(), usize> {
        self.saved.try_reserve(1).map_err(|_| size_of::<Saved<M>>())
    }

    pub fn push(&mut self, saved: Saved<M>) {
        self.next = saved.checkpoint.number() + 1;
        self.saved.push_back(saved);
    }

    /// Drops the oldest checkpoint if there are more than the limit, and returns whether it did.
    pub fn drop_excess(&mut self) -> bool {
        self.saved.len() > self.limit && self.saved.pop_front().is_some()
    }

    pub fn first(&self) -> Option<&Saved<M>> {
        self.saved.iter().next()
    }

    pub fn clear(&mut self) {
        self.saved.clear();
    }

    /// Returns a checkpoint with everything that a rollback to it needs.
    ///
    /// # Errors
    ///
    /// Why it cannot be gone back to.
    pub fn find(&self, checkpoint: Checkpoint) -> Result<&Saved<M>, RollbackError> {
        let number = checkpoint.number();
        if number >= self.next {
            return Err(RollbackError::Unknown { number, next: self.next });
        }
        let at = self.saved.partition_point(|saved| saved.checkpoint.number() <= number);
        let Some(saved) = at.checked_sub(1).and_then(|at| self.saved.get(at)) else {
            return Err(RollbackError::Dropped {
                number,
                kept: self.saved.len(),
                limit: self.limit,
            });
        };
        let (last, expected) = (saved.checkpoint.number(), saved.checkpoint.digest());
        if last != number {
            Err(RollbackError::Undone { number, last })
        } else if expected != checkpoint.digest() {
            Err(RollbackError::Foreign { number, expected, found: checkpoint.digest() })
        } else {
            Ok(saved)
        }
    }

    /// Drops the checkpoints after a number.
    pub fn truncate_after(&mut self, number: u64) {
        while self.saved.back().is_some_and(|saved| saved.checkpoint.number() > number) {
            self.saved.pop_back();
        }
    }

    pub fn memory_bytes(&self) -> usize {
        self.saved.capacity() * size_of::<Saved<M>>()
    }
}
