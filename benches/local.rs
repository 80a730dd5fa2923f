//! Heaps for many threads: `cargo bench -p slab-benches --bench local [-- ROUNDS]`.
//!
//! Contenders take turns; each figure is a median. *One* and *two* are threads that do the same work apart; the ratio
//! is the time per operation with two threads over that with one, 0.5 at best and 1 if they wait for each other.
//! *larson* is a churn whose table another thread takes over now and then. *transfer* allocates on one thread and frees
//! on another.

mod local_work;

use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use local_work::{Table, Work, with_heap};
use slab_testkit::{Contender, Table as Lines, race};

const HEAPS: [&str; 4] = ["slab-local", "slab-bytes", "mimalloc", "glibc"];
const PAIRS: usize = 400_000;
const ROUNDS: usize = 11;

/// A contender in one of the patterns.
struct Entrant {
    name: &'static str,
}

/// A pattern of several threads.
#[derive(Debug, Clone, Copy)]
enum Pattern {
    /// So many threads do the same work apart.
    Apart(Work, usize),
    Larson,
    Transfer,
}

/// Runs an action on each of `count` threads at the same time, and returns how long that took.
fn together(count: usize, action: impl Fn(usize) + Sync) -> Duration {
    let start = Barrier::new(count);
    let times: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|number| {
                let (start, action) = (&start, &action);
                scope.spawn(move || {
                    start.wait();
                    let begin = Instant::now();
                    action(number);
                    (begin, Instant::now())
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let begin = times.iter().map(|time| time.0).min().expect("a thread");
    let end = times.iter().map(|time| time.1).max().expect("a thread");
    end - begin
}

fn larson<H: std::alloc::GlobalAlloc + Copy + Send + Sync + 'static>(heap: H) -> Duration {
    const TURNS: usize = 4;
    together(2, |number| {
        let mut table = Table::new(heap, number as u64 * 2 + 1);
        for _ in 0..TURNS {
            // A new thread takes the table over, with all blocks.
            let turn = thread::spawn(move || {
                (0..PAIRS / 2 / TURNS).for_each(|_| table.replace());
                table
            });
            table = turn.join().expect("no panic");
        }
        table.clear();
    })
}

fn transfer<H: std::alloc::GlobalAlloc + Copy + Send + Sync + 'static>(heap: H) -> Duration {
    const BATCH: usize = 256;
    let (sender, receiver) = mpsc::sync_channel::<local_work::Blocks<H>>(16);
    let begin = Instant::now();
    let producer = thread::spawn(move || {
        for _ in 0..PAIRS / BATCH {
            sender.send(local_work::Blocks::new(heap, BATCH)).expect("the consumer waits");
        }
    });
    receiver.into_iter().for_each(local_work::Blocks::free);
    producer.join().expect("no panic");
    begin.elapsed()
}

impl Contender<Pattern> for Entrant {
    fn name(&self) -> &str {
        self.name
    }

    fn round(&mut self, pattern: &Pattern) -> Duration {
        with_heap!(self.name, heap => match *pattern {
            Pattern::Apart(work, threads) => {
                // Each thread does all of the work: the time per operation is that of one thread, over the threads.
                let time = together(threads, |number| work.run(heap, PAIRS, number as u64 + 1));
                time / threads as u32
            }
            Pattern::Larson => larson(heap),
            Pattern::Transfer => transfer(heap),
        })
    }
}

fn main() {
    let rounds = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    local_work::start();
    let mut patterns: Vec<_> = Work::ALL
        .iter()
        .flat_map(|&work| [Pattern::Apart(work, 1), Pattern::Apart(work, 2)])
        .collect();
    patterns.extend([Pattern::Larson, Pattern::Transfer]);
    let mut lines = Lines::new(["ns per operation"].into_iter().chain(HEAPS));
    for pattern in patterns {
        let mut entrants: Vec<Box<dyn Contender<Pattern>>> = Vec::new();
        for name in HEAPS {
            entrants.push(Box::new(Entrant { name }));
        }
        let results = race(&mut entrants, &pattern, rounds.unwrap_or(ROUNDS));
        let nanos = |name: &&str| results.median(name).as_nanos() as f64 / PAIRS as f64;
        let figures = HEAPS.iter().map(|name| format!("{:.1}", nanos(name)));
        lines.push([format!("{pattern:?}")].into_iter().chain(figures));
    }
    println!("{lines}");
}
