//! Rights to keep idle items: who keeps one holds a credit, and there are only so many.

use crate::sync::{AtomicUsize, Ordering};

/// Credits that nobody holds.
///
/// Every change is one atomic step on one word, so that what is leased and what is left always add
/// up. Relaxed throughout: the count guards no memory but its own.
#[derive(Debug)]
pub struct Credits(AtomicUsize);

impl Credits {
    /// Returns so many credits.
    pub fn new(count: usize) -> Self {
        Self(AtomicUsize::new(count))
    }

    /// Takes up to `wanted` portions of `portion` credits, and returns how many portions it got.
    pub fn lease(&self, wanted: usize, portion: usize) -> usize {
        let portions = |left: usize| wanted.min(left / portion.max(1));
        let mut left = self.0.load(Ordering::Relaxed);
        loop {
            let got = portions(left);
            if got == 0 {
                return 0;
            }
            let rest = left - got * portion;
            match self.0.compare_exchange_weak(left, rest, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return got,
                Err(now) => left = now,
            }
        }
    }

    /// Gives credits back.
    pub fn give(&self, count: usize) {
        if count > 0 {
            self.0.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Returns how many credits nobody holds.
    pub fn left(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}
