//! A shared counter of rights to keep idle items.

use crate::sync::{AtomicUsize, Ordering};

/// The reservations that are still available.
///
/// Each change is one atomic step on one word, so taken and available ones always add up. All accesses are relaxed: the
/// counter guards no memory but itself.
#[derive(Debug)]
pub(super) struct Reservations(AtomicUsize);

impl Reservations {
    pub(super) fn new(count: usize) -> Self {
        Self(AtomicUsize::new(count))
    }

    /// Takes up to `wanted` portions of `portion` reservations, and returns how many portions it got.
    pub(super) fn take(&self, wanted: usize, portion: usize) -> usize {
        let portions = |available: usize| wanted.min(available / portion.max(1));
        let mut available = self.0.load(Ordering::Relaxed);
        loop {
            let got = portions(available);
            if got == 0 {
                return 0;
            }
            let remaining = available - got * portion;
            match self.0.compare_exchange_weak(
                available,
                remaining,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return got,
                Err(now) => available = now,
            }
        }
    }

    pub(super) fn give_back(&self, count: usize) {
        if count > 0 {
            self.0.fetch_add(count, Ordering::Relaxed);
        }
    }

    pub(super) fn available(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}
