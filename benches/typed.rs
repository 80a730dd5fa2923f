//! Containers that keep values behind keys:
//! `cargo bench -p slab-benches --bench typed [-- WORD…]` runs the lines that contain all words.
//!
//! All take turns round by round in a rotated order, and the table shows medians. Nothing is
//! subtracted: the loops over keys are the same for all. The container is opaque to the optimiser once
//! a round, not once a call.
//!
//! With `--features vm` there is a row for an allocator with reserved address space. The feature makes the lookups of the
//! others in this crate two instructions longer.
//!
//! Insertion is measured over memory that the allocator below has kept from the rounds before, and
//! over memory fresh from the system, as in a program that grows.
#![expect(unsafe_code, reason = "asks the system's allocator to give back what it keeps")]

use std::hint::black_box;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use slab_testkit::{Contender, race};
use slab_typed::{SlabAllocator, SlotHandle};

/// The least number of values per round: rounds are short, so that most are undisturbed.
const TOUCHED: usize = 50_000;
/// Rounds of a line, and of a line with more values.
const ROUNDS: usize = 51;
const ROUNDS_LONG: usize = 21;

/// A value of some size, with a number in it.
trait Value: 'static {
    const NAME: &str;
    /// Whether it owns other memory.
    const ALLOCATES: bool = false;
    fn new(number: u64) -> Self;
    fn number(&self) -> u64;
}

impl Value for u64 {
    const NAME: &str = "u64";

    fn new(number: u64) -> Self {
        number
    }

    fn number(&self) -> u64 {
        *self
    }
}

impl Value for [u64; 6] {
    const NAME: &str = "48 B";

    fn new(number: u64) -> Self {
        [number; 6]
    }

    fn number(&self) -> u64 {
        self[0]
    }
}

/// A value that owns other memory: most of the time of its lines is that of the system's allocator.
impl Value for String {
    const NAME: &str = "String";
    const ALLOCATES: bool = true;

    fn new(number: u64) -> Self {
        char::from(b'a' + (number % 26) as u8).to_string()
    }

    fn number(&self) -> u64 {
        self.len() as u64
    }
}

/// A value whose destructor the compiler cannot leave out.
struct Dropped(u64);

impl Value for Dropped {
    const NAME: &str = "with a destructor";

    fn new(number: u64) -> Self {
        Self(number)
    }

    fn number(&self) -> u64 {
        self.0
    }
}

impl Drop for Dropped {
    #[inline]
    fn drop(&mut self) {
        black_box(self.0);
    }
}

/// A container that keeps values behind keys.
trait Store<T>: Default {
    type Key: Copy;
    const NAME: &str;
    fn insert(&mut self, value: T) -> Self::Key;
    fn get(&self, key: Self::Key) -> Option<&T>;
    fn remove(&mut self, key: Self::Key) -> Option<T>;
    fn sum(&self) -> u64;
}

macro_rules! store {
    ($name:literal, $store:ty, $key:ty, $insert:expr, $get:expr, $remove:expr, $sum:expr) => {
        impl<T: Value> Store<T> for $store {
            type Key = $key;
            const NAME: &str = $name;

            #[inline(always)]
            fn insert(&mut self, value: T) -> $key {
                let insert: fn(&mut Self, T) -> $key = $insert;
                insert(self, value)
            }

            #[inline(always)]
            fn get(&self, key: $key) -> Option<&T> {
                let get: for<'a> fn(&'a Self, $key) -> Option<&'a T> = $get;
                get(self, key)
            }

            #[inline(always)]
            fn remove(&mut self, key: $key) -> Option<T> {
                let remove: fn(&mut Self, $key) -> Option<T> = $remove;
                remove(self, key)
            }

            #[inline(always)]
            fn sum(&self) -> u64 {
                let sum: fn(&Self) -> u64 = $sum;
                sum(self)
            }
        }
    };
}

store!(
    "slab-typed",
    SlabAllocator<T>,
    SlotHandle,
    |store, value| store.insert(value),
    |store, key| store.get(key),
    |store, key| store.remove(key),
    |store| store.iter().map(|(_, value)| value.number()).sum()
);
/// A `SlabAllocator` with address space for a million values.
#[cfg(feature = "vm")]
struct Reserved<T>(SlabAllocator<T>);

#[cfg(feature = "vm")]
impl<T> Default for Reserved<T> {
    fn default() -> Self {
        Self(SlabAllocator::new_reserved(1024, 1 << 20))
    }
}

#[cfg(feature = "vm")]
store!(
    "slab-typed/vm",
    Reserved<T>,
    SlotHandle,
    |store, value| store.0.insert(value),
    |store, key| store.0.get(key),
    |store, key| store.0.remove(key),
    |store| store.0.iter().map(|(_, value)| value.number()).sum()
);
store!(
    "slab",
    slab::Slab<T>,
    usize,
    |store, value| store.insert(value),
    |store, key| store.get(key),
    |store, key| store.try_remove(key),
    |store| store.iter().map(|(_, value)| value.number()).sum()
);
store!(
    "slotmap", slotmap::SlotMap<slotmap::DefaultKey, T>, slotmap::DefaultKey,
    |store, value| store.insert(value),
    |store, key| store.get(key),
    |store, key| store.remove(key),
    |store| store.iter().map(|(_, value)| value.number()).sum()
);
store!(
    "thunderdome",
    thunderdome::Arena<T>,
    thunderdome::Index,
    |store, value| store.insert(value),
    |store, key| store.get(key),
    |store, key| store.remove(key),
    |store| store.iter().map(|(_, value)| value.number()).sum()
);
store!(
    "generational-arena",
    generational_arena::Arena<T>,
    generational_arena::Index,
    |store, value| store.insert(value),
    |store, key| store.get(key),
    |store, key| store.remove(key),
    |store| store.iter().map(|(_, value)| value.number()).sum()
);
store!(
    "stable-vec",
    stable_vec::StableVec<T>,
    usize,
    |store, value| store.push(value),
    |store, key| store.get(key),
    |store, key| store.remove(key),
    |store| store.iter().map(|(_, value)| value.number()).sum()
);
store!(
    "Vec",
    Vec<T>,
    usize,
    |store, value| {
        store.push(value);
        store.len() - 1
    },
    |store, key| <[T]>::get(store, key),
    |_, _| None,
    |store| store.iter().map(Value::number).sum()
);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Get,
    Insert,
    InsertFresh,
    Refill,
    Churn,
    TakeAndStore,
    RemoveAll,
    IterateFull,
    IterateSparse,
}

const KINDS: [(Kind, &str); 9] = [
    (Kind::Get, "random get"),
    (Kind::Insert, "insert into empty, and drop"),
    (Kind::InsertFresh, "insert into empty, memory fresh from the system, and drop"),
    (Kind::Refill, "refill after removal in random order"),
    (Kind::Churn, "remove + insert at random"),
    (Kind::TakeAndStore, "take and store again, barrier between"),
    (Kind::RemoveAll, "remove all in random order"),
    (Kind::IterateFull, "iterate, all live"),
    (Kind::IterateSparse, "iterate, 10 % live"),
];

struct Work {
    kind: Kind,
    /// A permutation of `0..n`.
    order: Vec<u32>,
    /// The repetitions per round.
    repeats: usize,
}

impl Work {
    fn new(kind: Kind, count: u32) -> Self {
        let mut order: Vec<u32> = (0..count).collect();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for last in (1..order.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            order.swap(last, (state >> 33) as usize % (last + 1));
        }
        let iterates = matches!(kind, Kind::IterateFull | Kind::IterateSparse);
        let touched = if iterates { 8 * TOUCHED } else { TOUCHED };
        Self { kind, order, repeats: (touched / count as usize).max(1) }
    }

    fn rounds(&self) -> usize {
        if self.order.len() > TOUCHED { ROUNDS_LONG } else { ROUNDS }
    }

    /// The values that one repetition touches.
    fn values(&self) -> usize {
        if self.kind == Kind::IterateSparse { self.order.len() / 10 } else { self.order.len() }
    }
}

struct Racer<S, T>(PhantomData<(S, T)>);

impl<S: Store<T>, T: Value> Racer<S, T> {
    /// A full store, and its keys in the order of the work.
    fn filled(work: &Work) -> (S, Vec<S::Key>) {
        let mut store = S::default();
        let keys: Vec<_> =
            (0..work.order.len()).map(|number| store.insert(T::new(number as u64))).collect();
        let keys = work.order.iter().map(|&at| keys[at as usize]).collect();
        (store, keys)
    }

    fn fill_and_drop(work: &Work) -> u64 {
        let mut store = S::default();
        for number in 0..work.order.len() {
            black_box(store.insert(T::new(number as u64)));
        }
        black_box(&store);
        0
    }
}

/// Makes the system's allocator return its free memory to the system.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn give_back_memory() {
    unsafe extern "C" {
        // SAFETY: as `man malloc_trim` declares it; it may be called at any time.
        safe fn malloc_trim(pad: usize) -> std::ffi::c_int;
    }
    malloc_trim(0);
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back_memory() {}

fn timed(repeats: usize, mut action: impl FnMut() -> u64) -> Duration {
    let start = Instant::now();
    for _ in 0..repeats {
        black_box(action());
    }
    start.elapsed()
}

/// The number in a value, or zero.
fn number<T: Value>(value: Option<T>) -> u64 {
    value.map_or(0, |value| value.number())
}

impl<S: Store<T>, T: Value> Contender<Work> for Racer<S, T> {
    fn name(&self) -> &str {
        S::NAME
    }

    fn round(&mut self, work: &Work) -> Duration {
        if T::ALLOCATES {
            // Else each contender allocates from the fragments that the one before it left.
            give_back_memory();
        }
        match work.kind {
            Kind::Get => {
                let (store, keys) = Self::filled(work);
                timed(work.repeats, || {
                    let store = black_box(&store);
                    keys.iter().map(|&key| store.get(key).map_or(0, Value::number)).sum()
                })
            }
            Kind::Insert => timed(work.repeats, || Self::fill_and_drop(work)),
            Kind::InsertFresh => (0..work.repeats)
                .map(|_| {
                    give_back_memory();
                    timed(1, || Self::fill_and_drop(work))
                })
                .sum(),
            Kind::Refill => (0..work.repeats)
                .map(|_| {
                    let (mut store, keys) = Self::filled(work);
                    keys.iter().for_each(|&key| drop(store.remove(key)));
                    let time = timed(1, || {
                        for value in 0..work.order.len() {
                            black_box(store.insert(T::new(value as u64)));
                        }
                        0
                    });
                    black_box(&store);
                    time
                })
                .sum(),
            Kind::Churn => {
                let (mut store, mut keys) = Self::filled(work);
                timed(work.repeats, || {
                    let mut sum = 0;
                    for key in &mut keys {
                        let taken = number(store.remove(*key));
                        *key = store.insert(T::new(taken + 1));
                        sum += taken;
                    }
                    sum
                })
            }
            // The value itself moves out and in again. Without the barrier `slab`'s loop is elided.
            Kind::TakeAndStore => {
                let (mut store, mut keys) = Self::filled(work);
                timed(work.repeats, || {
                    for key in &mut keys {
                        if let Some(value) = store.remove(*key) {
                            *key = store.insert(black_box(value));
                        }
                    }
                    0
                })
            }
            Kind::RemoveAll => (0..work.repeats)
                .map(|_| {
                    let (mut store, keys) = Self::filled(work);
                    let time = timed(1, || keys.iter().map(|&key| number(store.remove(key))).sum());
                    black_box(&store);
                    time
                })
                .sum(),
            Kind::IterateFull => {
                let (store, _) = Self::filled(work);
                timed(work.repeats, || black_box(&store).sum())
            }
            Kind::IterateSparse => {
                let (mut store, keys) = Self::filled(work);
                keys[work.values()..].iter().for_each(|&key| drop(store.remove(key)));
                timed(work.repeats, || black_box(&store).sum())
            }
        }
    }
}

fn racer<S: Store<T> + 'static, T: Value>() -> Box<dyn Contender<Work>> {
    Box::new(Racer::<S, T>(PhantomData))
}

fn racers<T: Value>(kind: Kind) -> Vec<Box<dyn Contender<Work>>> {
    let mut racers = vec![
        racer::<SlabAllocator<T>, T>(),
        racer::<slab::Slab<T>, T>(),
        racer::<slotmap::SlotMap<slotmap::DefaultKey, T>, T>(),
        racer::<thunderdome::Arena<T>, T>(),
        racer::<generational_arena::Arena<T>, T>(),
    ];
    #[cfg(feature = "vm")]
    racers.push(racer::<Reserved<T>, T>());
    // It never reuses a slot, so it only grows.
    if !matches!(kind, Kind::Refill | Kind::Churn | Kind::TakeAndStore) {
        racers.push(racer::<stable_vec::StableVec<T>, T>());
    }
    if matches!(kind, Kind::Get | Kind::Insert | Kind::InsertFresh | Kind::IterateFull) {
        racers.push(racer::<Vec<T>, T>());
    }
    racers
}

fn race_line(kind: Kind, title: &str, count: u32, words: &[String]) {
    let lines: [(&str, Racers); 4] = [
        (u64::NAME, racers::<u64>),
        (<[u64; 6]>::NAME, racers::<[u64; 6]>),
        (String::NAME, racers::<String>),
        (Dropped::NAME, racers::<Dropped>),
    ];
    // Values with a destructor are measured at one number of values.
    let lines = if count == TOUCHED as u32 { &lines[..] } else { &lines[..2] };
    for (value, racers) in lines {
        let line = format!("{title}, {value}, n = {count}");
        if words.iter().all(|word| line.contains(word.as_str())) {
            let work = Work::new(kind, count);
            let results = race(&mut racers(kind), &work, work.rounds()).against("slab");
            println!("{line}\n{}", results.table((work.values() * work.repeats) as u64));
        }
    }
}

type Racers = fn(Kind) -> Vec<Box<dyn Contender<Work>>>;

fn main() {
    let words: Vec<_> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    for (kind, title) in KINDS {
        for count in [1_000, 50_000, 500_000] {
            race_line(kind, title, count, &words);
        }
    }
    if words.is_empty() {
        bytes_per_slot();
    }
}

/// Prints the bytes per value of a million `u64`, directory included.
fn bytes_per_slot() {
    const COUNT: u32 = 1_000_000;
    let mut store = SlabAllocator::new(1024);
    for number in 0..u64::from(COUNT) {
        store.insert(number);
    }
    println!("bytes per u64: {:.2}", store.held_bytes() as f64 / f64::from(COUNT));
}
