//! A number for each thread, unique among the threads that run.

/// Numbers are below this. A thread that gets none works without a record, more slowly.
pub const THREADS_MAX: usize = 4096;

pub use imp::{index, pinned, unpinned};

#[cfg(not(loom))]
mod imp {
    extern crate std;

    use core::cell::Cell;
    use core::sync::atomic::{AtomicU64, Ordering};
    use std::thread_local;

    use super::THREADS_MAX;

    /// The thread asked for no number yet.
    const UNASKED: u32 = u32::MAX;
    /// The thread ends and has given its number back.
    const ENDED: u32 = u32::MAX - 1;

    /// A set bit is a number in use. A number is given back with Release and taken with Acquire, so that its next thread
    /// sees what the last one did to its records.
    static USED: [AtomicU64; THREADS_MAX / 64] = [const { AtomicU64::new(0) }; THREADS_MAX / 64];

    /// Without destructor, so that it can be read until the thread has ended.
    struct Current {
        number: Cell<u32>,
        pins: Cell<u32>,
    }

    /// Gives the number back when the thread ends.
    struct End;

    thread_local! {
        static CURRENT: Current =
            const { Current { number: Cell::new(UNASKED), pins: Cell::new(0) } };
        static END: End = const { End };
    }

    /// Returns the number of this thread, or `None` if all are in use or the thread is at its end. *O*(1).
    #[inline]
    pub fn index() -> Option<u32> {
        let number = CURRENT.with(|current| current.number.get());
        if number < ENDED { Some(number) } else { ask(number) }
    }

    #[cold]
    fn ask(number: u32) -> Option<u32> {
        // Without the destructor, the number would never be given back.
        if number == ENDED || END.try_with(|_| ()).is_err() {
            return None;
        }
        for (position, word) in (0..).zip(&USED) {
            loop {
                let bit = word.load(Ordering::Relaxed).trailing_ones();
                if bit == u64::BITS {
                    break;
                }
                if word.fetch_or(1 << bit, Ordering::AcqRel) >> bit & 1 == 0 {
                    let number = position * u64::BITS + bit;
                    CURRENT.with(|current| current.number.set(number));
                    return Some(number);
                }
            }
        }
        None
    }

    /// Counts a pin of this thread.
    pub fn pinned() {
        CURRENT.with(|current| current.pins.set(current.pins.get() + 1));
    }

    /// Counts the end of a pin of this thread.
    pub fn unpinned() {
        CURRENT.with(|current| current.pins.set(current.pins.get() - 1));
    }

    impl Drop for End {
        fn drop(&mut self) {
            CURRENT.with(|current| {
                let number = current.number.replace(ENDED);
                // A pin that outlives this, in another thread-local variable or forgotten, uses the record of this
                // number when it is dropped, so no other thread may get the number.
                if number < ENDED && current.pins.get() == 0 {
                    let bit = 1 << (number % u64::BITS);
                    USED[(number / u64::BITS) as usize].fetch_and(!bit, Ordering::Release);
                }
            });
        }
    }
}

/// In models, threads get their numbers from the model: a registry would only multiply the interleavings.
#[cfg(loom)]
mod imp {
    extern crate std;

    use core::cell::Cell;

    slab_core::sync::thread_local! {
        static NUMBER: Cell<Option<u32>> = Cell::new(None);
    }

    pub fn index() -> Option<u32> {
        NUMBER.with(Cell::get)
    }

    /// Gives this thread a number.
    pub fn set_index(number: u32) {
        NUMBER.with(|current| current.set(Some(number)));
    }

    pub fn pinned() {}

    pub fn unpinned() {}
}

#[cfg(loom)]
pub use imp::set_index;

#[cfg(all(test, not(loom)))]
mod tests {
    extern crate std;

    use std::collections::BTreeSet;
    use std::sync::Barrier;
    use std::thread;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn threads_that_run_together_have_distinct_numbers() {
        let barrier = &Barrier::new(4);
        let numbers: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(move || {
                        let number = index().unwrap();
                        assert_eq!(index(), Some(number));
                        barrier.wait();
                        number
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), 4);
        assert!(numbers.iter().all(|&number| (number as usize) < THREADS_MAX));
    }
}
