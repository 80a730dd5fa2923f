//! Containers that threads share, whose values lie behind keys:
//! `cargo bench -p slab-benches --bench shared [-- WORD…]` runs the lines that contain all words.
//!
//! All take turns round by round in a rotated order, and the tables show medians. Nothing is subtracted: the loops over keys
//! are the same for all. `SlabAllocator`, which one thread uses alone, shows what sharing costs.
//!
//! Rounds of two threads time one thread while another does the same on its own keys, so that a ratio of 1 to the round
//! of one thread means twice the work in the same time. Both threads start together, and the other one works until the first
//! has finished.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use slab_testkit::{Contender, race};
use slab_typed::{SharedSlab, SlabAllocator, SlotHandle};

/// The operations of a round: few, so that most rounds are undisturbed.
const OPERATIONS: usize = 5_000;
const ROUNDS: usize = 301;

/// A container with values behind keys.
trait Store: Default + Sync {
    type Key: Copy + Send + Sync;
    fn insert(&self, value: u64) -> Self::Key;
    fn get(&self, key: Self::Key) -> u64;
    fn remove(&self, key: Self::Key) -> bool;
}

impl Store for SharedSlab<u64> {
    type Key = SlotHandle;

    #[inline(always)]
    fn insert(&self, value: u64) -> SlotHandle {
        self.insert(value)
    }

    #[inline(always)]
    fn get(&self, key: SlotHandle) -> u64 {
        self.get(key).map_or(0, |value| *value)
    }

    #[inline(always)]
    fn remove(&self, key: SlotHandle) -> bool {
        self.remove(key)
    }
}

/// The same with values that have a destructor, which a removal drops at once.
#[derive(Default)]
struct Dropping(SharedSlab<WithDrop>);

struct WithDrop(u64);

impl Drop for WithDrop {
    fn drop(&mut self) {
        black_box(self.0);
    }
}

impl Store for Dropping {
    type Key = SlotHandle;

    #[inline(always)]
    fn insert(&self, value: u64) -> SlotHandle {
        self.0.insert(WithDrop(value))
    }

    #[inline(always)]
    fn get(&self, key: SlotHandle) -> u64 {
        self.0.get(key).map_or(0, |value| value.0)
    }

    #[inline(always)]
    fn remove(&self, key: SlotHandle) -> bool {
        self.0.remove(key)
    }
}

#[derive(Default)]
struct Sharded(sharded_slab::Slab<u64>);

impl Store for Sharded {
    type Key = usize;

    #[inline(always)]
    fn insert(&self, value: u64) -> usize {
        self.0.insert(value).expect("it has room")
    }

    #[inline(always)]
    fn get(&self, key: usize) -> u64 {
        self.0.get(key).map_or(0, |value| *value)
    }

    #[inline(always)]
    fn remove(&self, key: usize) -> bool {
        self.0.remove(key)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Get,
    Churn,
    Mixed,
}

const KINDS: [(Kind, &str); 3] =
    [(Kind::Get, "get"), (Kind::Churn, "remove + insert"), (Kind::Mixed, "9 get, remove + insert")];

struct Work {
    kind: Kind,
    count: usize,
    /// Indices of values at random.
    order: Vec<u32>,
    threads: usize,
}

impl Work {
    fn new(kind: Kind, count: usize, threads: usize) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let random = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u32 % count as u32
        });
        Self { kind, count, order: random.take(OPERATIONS).collect(), threads }
    }
}

fn timed(mut action: impl FnMut() -> u64) -> Duration {
    let start = Instant::now();
    black_box(action());
    start.elapsed()
}

/// The work of one thread, a part of a round. The kind is tested outside of the loops.
fn part<S: Store>(store: &S, kind: Kind, keys: &mut [S::Key], order: &[u32]) -> u64 {
    let mut turn = 0;
    let mut renew = |key: &mut S::Key| {
        turn += 1;
        let removed = store.remove(*key);
        *key = store.insert(turn);
        u64::from(removed)
    };
    match kind {
        Kind::Get => order.iter().map(|&at| store.get(keys[at as usize])).sum(),
        Kind::Churn => order.iter().map(|&at| renew(&mut keys[at as usize])).sum(),
        Kind::Mixed => order
            .chunks(10)
            .map(|some| {
                let read: u64 = some[1..].iter().map(|&at| store.get(keys[at as usize])).sum();
                read + renew(&mut keys[some[0] as usize])
            })
            .sum(),
    }
}

struct Racer<S: Store> {
    name: &'static str,
    store: S,
    keys: [Vec<S::Key>; 2],
}

impl<S: Store> Racer<S> {
    fn boxed<'a>(name: &'static str, work: &Work) -> Box<dyn Contender<Work> + 'a>
    where
        S: 'a,
    {
        let store = S::default();
        let keys = [0, 1].map(|thread| {
            // Each thread inserts its own values.
            let fill = || (0..work.count).map(|number| store.insert(number as u64)).collect();
            if thread == 0 {
                fill()
            } else {
                thread::scope(|scope| scope.spawn(fill).join()).expect("it fills")
            }
        });
        Box::new(Self { name, store, keys })
    }
}

impl<S: Store> Contender<Work> for Racer<S> {
    fn name(&self) -> &str {
        self.name
    }

    fn round(&mut self, work: &Work) -> Duration {
        let Self { store, keys: [own, others], .. } = self;
        let store = black_box(&*store);
        if work.threads == 1 {
            return timed(|| part(store, work.kind, own, &work.order));
        }
        let (ready, done) = (Barrier::new(2), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                ready.wait();
                while !done.load(Ordering::Relaxed) {
                    let some = &work.order[..work.order.len().min(1000)];
                    black_box(part(store, work.kind, others, some));
                }
            });
            ready.wait();
            let time = timed(|| part(store, work.kind, own, &work.order));
            done.store(true, Ordering::Relaxed);
            time
        })
    }
}

/// `get` and `insert` of the slab for one thread.
struct Single(SlabAllocator<u64>, Vec<SlotHandle>);

impl Single {
    fn new(work: &Work) -> Self {
        let mut slab = SlabAllocator::new(1024);
        let keys = (0..work.count as u64).map(|number| slab.insert(number)).collect();
        Self(slab, keys)
    }
}

impl Contender<Work> for Single {
    fn name(&self) -> &str {
        "SlabAllocator, one thread only"
    }

    fn round(&mut self, work: &Work) -> Duration {
        let Self(slab, keys) = self;
        if work.kind == Kind::Get {
            let slab = black_box(&*slab);
            return timed(|| {
                work.order
                    .iter()
                    .map(|&at| slab.get(keys[at as usize]).map_or(0, |value| *value))
                    .sum()
            });
        }
        let slab = black_box(slab);
        timed(|| {
            let mut sum = 0;
            for (turn, &at) in work.order.iter().enumerate() {
                let key = &mut keys[at as usize];
                if work.kind == Kind::Mixed && turn % 10 != 0 {
                    sum += slab.get(*key).map_or(0, |value| *value);
                } else {
                    sum += u64::from(slab.remove(*key).is_some());
                    *key = slab.insert(turn as u64);
                }
            }
            sum
        })
    }
}

/// `get` under one pin for the whole round.
struct UnderPin(SharedSlab<u64>, Vec<SlotHandle>);

impl UnderPin {
    fn new(work: &Work) -> Self {
        let slab = SharedSlab::new();
        let keys = (0..work.count as u64).map(|number| slab.insert(number)).collect();
        Self(slab, keys)
    }
}

impl Contender<Work> for UnderPin {
    fn name(&self) -> &str {
        "SharedSlab, one pin"
    }

    fn round(&mut self, work: &Work) -> Duration {
        let Self(slab, keys) = self;
        let pinned = black_box(&*slab).pin();
        timed(|| {
            work.order
                .iter()
                .map(|&at| pinned.get(keys[at as usize]).map_or(0, |value| *value))
                .sum()
        })
    }
}

fn main() {
    let words: Vec<_> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    for (kind, title) in KINDS {
        for count in [1_000, 50_000] {
            let mut alone = None;
            for threads in [1, 2] {
                let line = format!("{title}, u64, n = {count}, threads: {threads}");
                if !words.iter().all(|word| line.contains(word.as_str())) {
                    continue;
                }
                let work = Work::new(kind, count, threads);
                let mut racers = vec![
                    Racer::<Sharded>::boxed("sharded-slab", &work),
                    Racer::<SharedSlab<u64>>::boxed("SharedSlab", &work),
                    Racer::<Dropping>::boxed("SharedSlab, with destructor", &work),
                ];
                if threads == 1 {
                    racers.push(Box::new(Single::new(&work)));
                    if kind == Kind::Get {
                        racers.push(Box::new(UnderPin::new(&work)));
                    }
                }
                let results = race(&mut racers, &work, ROUNDS).against("sharded-slab");
                println!("{line}\n{}", results.table(OPERATIONS as u64));
                if kind == Kind::Get && threads == 1 {
                    let under_pin = results.median("SharedSlab, one pin").as_secs_f64();
                    let single = results.median("SlabAllocator, one thread only").as_secs_f64();
                    println!("one pin / SlabAllocator: {:.2}\n", under_pin / single);
                }
                let time = |name| results.median(name).as_secs_f64();
                let times = ["sharded-slab", "SharedSlab"].map(time);
                if let (2, Some(before)) = (threads, alone) {
                    let [theirs, ours] = scaling(before, times);
                    println!(
                        "work of two threads / one: sharded-slab {theirs:.2}, SharedSlab {ours:.2}\n"
                    );
                }
                alone = Some(times);
            }
        }
    }
    if words.is_empty() {
        bytes_per_slot();
    }
}

/// Returns the work that two threads do in the time in which one does 1.
fn scaling(one: [f64; 2], two: [f64; 2]) -> [f64; 2] {
    [0, 1].map(|store| 2.0 * one[store] / two[store])
}

/// Prints the bytes per value of a million `u64`.
fn bytes_per_slot() {
    const COUNT: u32 = 1_000_000;
    let store = SharedSlab::new();
    for number in 0..u64::from(COUNT) {
        store.insert(number);
    }
    println!("bytes per u64: {:.2}", store.held_bytes() as f64 / f64::from(COUNT));
}
