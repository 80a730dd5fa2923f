//! Buffers that one thread acquires and another one releases.
//!
//! They travel in crates of 32 through a ring of a few crates, so that the ring is a small part of the time. Each side reads
//! the clock before and after it works on a crate, so waiting for the other side is not counted. The cost of the harness is
//! the same for all and can be subtracted. The slowest tenth of the crates is left out: during some of them the thread lost
//! its processor.

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::pool_rivals::Source;

/// Buffers in a crate.
const CRATE: usize = 32;
/// The most crates in the ring.
const RING: usize = 8;
const CRATES: usize = 1024;
/// Buffers that are handed over in a round.
pub const BUFFERS: usize = CRATES * CRATE;

/// The time of one round.
#[derive(Debug, Clone, Copy)]
pub struct Handover {
    /// The producer's time of acquiring plus the consumer's of releasing, without the slowest crates.
    pub busy: Duration,
    /// From the first acquire to the last release.
    pub elapsed: Duration,
}

/// A ring of crates between two threads.
struct Ring<B> {
    /// Locked by the side whose turn it is, so no thread ever waits for a lock.
    crates: [Mutex<Vec<B>>; RING],
    filled: AtomicUsize,
    emptied: AtomicUsize,
}

impl<B> Ring<B> {
    fn new() -> Self {
        Self {
            crates: std::array::from_fn(|_| Mutex::new(Vec::with_capacity(CRATE))),
            filled: AtomicUsize::new(0),
            emptied: AtomicUsize::new(0),
        }
    }

    /// Works on a crate once `count` has come so far, and returns how long the work took.
    fn turn(
        &self,
        index: usize,
        count: &AtomicUsize,
        least: usize,
        work: impl FnOnce(&mut Vec<B>),
    ) -> Duration {
        let mut spins = 0;
        while count.load(Ordering::Acquire) < least {
            spins += 1;
            // The other side may have no processor.
            if spins % 1000 == 0 { thread::yield_now() } else { spin_loop() }
        }
        let mut buffers = self.crates[index % RING].lock();
        let start = Instant::now();
        work(&mut buffers);
        start.elapsed()
    }
}

/// Returns the sum of all, had the slowest tenth taken as long as the others on average.
fn undisturbed(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let kept = times.len() - times.len() / 10;
    times[..kept].iter().sum::<Duration>().mul_f64(times.len() as f64 / kept as f64)
}

/// One thread acquires, another one releases.
pub fn handed_over<S: Source>(source: &S, bytes: usize) -> Handover {
    let ring = Ring::new();
    let start = Instant::now();
    let busy = thread::scope(|scope| {
        let consumer = scope.spawn(|| {
            let release = |index| {
                let time = ring.turn(index, &ring.filled, index + 1, |buffers| {
                    buffers.drain(..).for_each(|buffer| drop(black_box(buffer)));
                });
                ring.emptied.store(index + 1, Ordering::Release);
                time
            };
            (0..CRATES).map(release).collect()
        });
        let acquire = |index: usize| {
            let least = (index + 1).saturating_sub(RING);
            let time = ring.turn(index, &ring.emptied, least, |buffers| {
                buffers.extend((0..CRATE).map(|_| black_box(source.acquire(black_box(bytes)))));
            });
            ring.filled.store(index + 1, Ordering::Release);
            time
        };
        let acquired = undisturbed((0..CRATES).map(acquire).collect());
        acquired + undisturbed(consumer.join().expect("no panic"))
    });
    Handover { busy, elapsed: start.elapsed() }
}
