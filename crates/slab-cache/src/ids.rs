//! Ids of the caches that threads cache slots of: a thread finds its magazine of a cache by the id.
//!
//! A new cache gets the lowest free id, so that the lists of threads stay short. The table has one bit per id.
//! It requests memory from the global allocator without holding its lock: that allocator may stand on a cache
//! with magazines, and need an id itself.

extern crate std;

use core::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use crate::error::CacheError;

/// Ids per word of the table.
const WORD_BITS: usize = u64::BITS as usize;

/// Which ids are in use.
struct Ids {
    /// A bit for each id.
    used: Vec<u64>,
    /// All words before this one are full.
    search_start: usize,
}

static IDS: Mutex<Ids> = Mutex::new(Ids { used: Vec::new(), search_start: 0 });

fn ids() -> MutexGuard<'static, Ids> {
    IDS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Acquires the lowest free id. *O*(caches with magazines / 64).
///
/// # Errors
///
/// [`CacheError::OutOfMemory`] if the table cannot grow.
pub fn acquire() -> Result<usize, CacheError> {
    loop {
        let words = {
            let mut ids = ids();
            if let Some(id) = ids.acquire() {
                return Ok(id);
            }
            (ids.used.len() * 2).max(1)
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

/// Releases an id. *O*(1).
pub fn release(id: usize) {
    ids().release(id);
}

impl Ids {
    fn acquire(&mut self) -> Option<usize> {
        let full = self.used[self.search_start..].iter().take_while(|&&word| word == u64::MAX);
        self.search_start += full.count();
        let word = self.used.get_mut(self.search_start)?;
        let bit = word.trailing_ones() as usize;
        *word |= 1 << bit;
        Some(self.search_start * WORD_BITS + bit)
    }

    fn release(&mut self, id: usize) {
        let index = id / WORD_BITS;
        self.used[index] &= !(1 << (id % WORD_BITS));
        self.search_start = self.search_start.min(index);
    }

    /// Replaces the table by a longer one with no id in use, unless another thread was faster. Returns the table
    /// to drop.
    fn replace_if_shorter(&mut self, mut longer: Vec<u64>) -> Vec<u64> {
        if longer.len() <= self.used.len() {
            return longer;
        }
        longer[..self.used.len()].copy_from_slice(&self.used);
        mem::replace(&mut self.used, longer)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_id_is_acquired() {
        let mut ids = Ids { used: Vec::new(), search_start: 0 };
        assert_eq!(ids.acquire(), None);
        ids.replace_if_shorter(std::vec![0; 2]);
        for id in 0..2 * WORD_BITS {
            assert_eq!(ids.acquire(), Some(id));
        }
        assert_eq!(ids.acquire(), None);
        for id in [127, 3, 64] {
            ids.release(id);
        }
        assert_eq!(ids.replace_if_shorter(std::vec![0; 2]).len(), 2, "not longer");
        assert_eq!(ids.replace_if_shorter(std::vec![0; 3]).len(), 2);
        for id in [3, 64, 127, 128] {
            assert_eq!(ids.acquire(), Some(id));
        }
    }
}
