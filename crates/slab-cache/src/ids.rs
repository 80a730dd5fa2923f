//! Numbers of the caches that have magazines: a thread finds its magazine of a cache by the number.
//!
//! A number is the lowest that no cache has, so that the lists of threads stay short. The table has one bit
//! a number. It asks the global allocator for memory without its lock: that allocator may stand on a cache
//! with magazines and need a number itself.

extern crate std;

use core::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use crate::error::CacheError;

/// Numbers that a word tells apart.
const WORD_BITS: usize = u64::BITS as usize;

/// Which numbers are taken.
struct Ids {
    /// A bit for each number.
    taken: Vec<u64>,
    /// All words before this one are full.
    search_start: usize,
}

static IDS: Mutex<Ids> = Mutex::new(Ids { taken: Vec::new(), search_start: 0 });

fn ids() -> MutexGuard<'static, Ids> {
    IDS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the lowest number that is free. *O*(caches with magazines) in the worst case, 64 a step.
///
/// # Errors
///
/// [`CacheError::OutOfMemory`] if the table cannot grow.
pub fn take() -> Result<usize, CacheError> {
    loop {
        let words = {
            let mut ids = ids();
            if let Some(id) = ids.take() {
                return Ok(id);
            }
            (ids.taken.len() * 2).max(1)
        };
        let mut longer = Vec::new();
        longer.try_reserve_exact(words).map_err(|_| CacheError::OutOfMemory {
            bytes: words * size_of::<u64>(),
            align: align_of::<u64>(),
        })?;
        longer.resize(words, 0);
        let shorter = ids().replace_if_shorter(longer);
        drop(shorter);
    }
}

/// Makes a number available again. *O*(1).
pub fn release(id: usize) {
    ids().release(id);
}

impl Ids {
    fn take(&mut self) -> Option<usize> {
        let full = self.taken[self.search_start..].iter().take_while(|&&word| word == u64::MAX);
        self.search_start += full.count();
        let word = self.taken.get_mut(self.search_start)?;
        let bit = word.trailing_ones() as usize;
        *word |= 1 << bit;
        Some(self.search_start * WORD_BITS + bit)
    }

    fn release(&mut self, id: usize) {
        let index = id / WORD_BITS;
        self.taken[index] &= !(1 << (id % WORD_BITS));
        self.search_start = self.search_start.min(index);
    }

    /// Takes a longer table over, which is empty, and returns the one that is to be dropped. Another thread
    /// may have been faster.
    fn replace_if_shorter(&mut self, mut longer: Vec<u64>) -> Vec<u64> {
        if longer.len() <= self.taken.len() {
            return longer;
        }
        longer[..self.taken.len()].copy_from_slice(&self.taken);
        mem::replace(&mut self.taken, longer)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_number_is_taken() {
        let mut ids = Ids { taken: Vec::new(), search_start: 0 };
        assert_eq!(ids.take(), None);
        ids.replace_if_shorter(std::vec![0; 2]);
        for id in 0..2 * WORD_BITS {
            assert_eq!(ids.take(), Some(id));
        }
        assert_eq!(ids.take(), None);
        for id in [127, 3, 64] {
            ids.release(id);
        }
        assert_eq!(ids.replace_if_shorter(std::vec![0; 2]).len(), 2, "not longer");
        assert_eq!(ids.replace_if_shorter(std::vec![0; 3]).len(), 2);
        for id in [3, 64, 127, 128] {
            assert_eq!(ids.take(), Some(id));
        }
    }
}
