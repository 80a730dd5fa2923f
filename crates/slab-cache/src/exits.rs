//! Finds the last thread inside a dead cache: that thread frees the core.
//!
//! The lock lies in the core. A thread that has released the lock may still run inside `unlock`, where a lock
//! may wake a waiter or count, so the next thread that gets the lock must not free the core.
//!
//! A thread *enters* a cache when it takes the lock without a handle of the cache: it frees a slot, or drops
//! its handle. [`State`](crate::state::State) counts entries under the lock. The thread *exits* when `unlock`
//! has returned and its deferred work is done, and does not use the core afterwards. The cache is *dead* once
//! no handle and no used slab is left; then no thread enters any more.
//!
//! | bits | |
//! |---|---|
//! | 0 | the cache is dead |
//! | 1– | all entries, once the cache is dead, minus exits; modulo their range |
//!
//! | word | means | next |
//! |---|---|---|
//! | even | alive | an exit subtracts one exit; the exit of the thread that found the cache dead also adds all entries and sets bit 0 |
//! | odd, not 1 | dead, threads are inside | an exit subtracts one exit |
//! | 1 | the last thread has exited and frees the core | – |
//!
//! An exit is one atomic addition. On targets without compare-and-swap an exit is a load and a store, and
//! an exit of another thread in between is lost. Then the word counts a thread that is not inside any more:
//! the core leaks, but it is never freed too early.

use slab_core::sync::atomic::{AtomicUsize, Ordering};

const IS_DEAD: usize = 1;
const ONE: usize = 2;

/// The number that a thread adds to the word when it exits.
#[derive(Debug, Clone, Copy)]
pub struct Exit(usize);

impl Exit {
    /// Returns the exit of a thread that leaves the cache alive, or finds it dead after another thread.
    pub const fn ordinary() -> Self {
        Self(ONE.wrapping_neg())
    }

    /// Returns the exit of the thread that found the cache dead, after so many entries, its own included.
    pub const fn of_finder(entries: usize) -> Self {
        Self((entries.wrapping_mul(ONE) | IS_DEAD).wrapping_sub(ONE))
    }
}

/// The word that counts exits.
#[derive(Debug)]
pub struct Exits(AtomicUsize);

impl Exits {
    pub fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Records an exit, and returns whether the caller is the last thread inside a dead cache. If not, the
    /// caller does not use the core any more. *O*(1).
    #[inline]
    pub fn record(&self, exit: Exit, is_local: bool) -> bool {
        let before = if is_local { self.add_split(exit.0) } else { self.add(exit.0) };
        before.wrapping_add(exit.0) == IS_DEAD
    }

    #[cfg(target_has_atomic = "ptr")]
    #[inline]
    fn add(&self, number: usize) -> usize {
        // Release: what this thread did with the core happens before the core is freed. Acquire: for the
        // thread that frees the core, so does what all other threads did.
        self.0.fetch_add(number, Ordering::AcqRel)
    }

    #[cfg(not(target_has_atomic = "ptr"))]
    fn add(&self, number: usize) -> usize {
        self.add_split(number)
    }

    /// Adds in two steps: for a single thread, and for targets without compare-and-swap.
    fn add_split(&self, number: usize) -> usize {
        // Acquire and release: as in `add`.
        let before = self.0.load(Ordering::Acquire);
        self.0.store(before.wrapping_add(number), Ordering::Release);
        before
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_last_exit_of_a_dead_cache_is_found_in_any_order() {
        for is_local in [true, false] {
            for earlier in [0, 1, 5] {
                for inside in 1..6_usize {
                    for finder in 0..inside {
                        let exits = Exits::new();
                        for _ in 0..earlier {
                            assert!(!exits.record(Exit::ordinary(), is_local));
                        }
                        let found = (0..inside).map(|thread| {
                            let exit = if thread == finder {
                                Exit::of_finder(earlier + inside)
                            } else {
                                Exit::ordinary()
                            };
                            exits.record(exit, is_local)
                        });
                        let found: std::vec::Vec<_> = found.collect();
                        assert!((0..inside).all(|nth| found[nth] == (nth + 1 == inside)));
                    }
                }
            }
        }
    }

    #[test]
    fn counts_that_wrap_find_the_last_exit() {
        let earlier = usize::MAX >> 1;
        let exits = Exits(AtomicUsize::new(earlier.wrapping_mul(ONE).wrapping_neg()));
        assert!(!exits.record(Exit::ordinary(), false), "the word is zero now");
        assert!(!exits.record(Exit::ordinary(), false));
        assert!(exits.record(Exit::of_finder(earlier + 3), false));
    }
}
