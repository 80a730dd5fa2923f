//! A set of numbers that threads take and give back without a lock: the vacant buffers of an arena.
//!
//! It is public for the models and no stable interface.

use crate::sync::{AtomicU64, Ordering};

/// Which of the numbers from zero to a bound are vacant.
///
/// # Invariants
///
/// - **V1 (one taker)**: a number was taken once more than it was put back, or is vacant.
#[derive(Debug)]
pub struct Vacancy {
    /// A set bit is a vacant number.
    words: Box<[AtomicU64]>,
}

impl Vacancy {
    /// Returns the set of all numbers below `count`.
    pub fn new(count: usize) -> Self {
        let word = |first: usize| match count - first {
            64.. => u64::MAX,
            vacant => (1 << vacant) - 1,
        };
        Self { words: (0..count).step_by(64).map(|first| AtomicU64::new(word(first))).collect() }
    }

    /// Takes a vacant number. *O*(numbers / 64).
    pub fn take(&self) -> Option<usize> {
        self.words.iter().enumerate().find_map(|(index, word)| {
            let mut vacant = word.load(Ordering::Relaxed);
            while vacant != 0 {
                let bit = vacant.trailing_zeros();
                // Acquire: pairs with `put`, so that the last owner's writes happen before this one's.
                vacant = word.fetch_and(!(1 << bit), Ordering::Acquire);
                if vacant & 1 << bit != 0 {
                    return Some(index * 64 + bit as usize);
                }
            }
            None
        })
    }

    /// Puts a number back that was taken. *O*(1).
    pub fn put(&self, number: usize) {
        let bit = 1 << (number % 64);
        // Release: this owner's writes happen before those of the next.
        let before = self.words[number / 64].fetch_or(bit, Ordering::Release);
        debug_assert!(before & bit == 0, "{number} is vacant");
    }

    /// Returns how many numbers are vacant.
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.load(Ordering::Relaxed).count_ones() as usize).sum()
    }

    /// Returns whether no number is vacant.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_taken_once() {
        for count in [0, 1, 63, 64, 65, 200] {
            let vacancy = Vacancy::new(count);
            let taken: Vec<_> = std::iter::from_fn(|| vacancy.take()).collect();
            assert_eq!(taken, (0..count).collect::<Vec<_>>());
            assert!(vacancy.is_empty());
            taken.iter().rev().for_each(|&number| vacancy.put(number));
            assert_eq!((vacancy.len(), vacancy.take()), (count, (count > 0).then_some(0)));
        }
    }
}
