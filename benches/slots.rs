//! A raw segment in its three modes, and the system's allocator: `cargo bench --bench slots
//! [-- ROUNDS]`.
#![expect(unsafe_code, reason = "gives a buffer to the slots")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use slab_core::{Checked, Hardened, Mode, Slot, Slots, Unchecked};
use slab_testkit::{Arena, Contender, race};

type Value = [u64; 8];

const HARNESS: &str = "harness";
/// Rounds are short and many, so that most are undisturbed.
const PAIRS: usize = 20_000;
const ROUNDS: usize = 201;

/// The number of slots taken before the first is given back.
#[derive(Clone, Copy)]
struct Batch(usize);

impl Batch {
    /// Takes and gives back `PAIRS` times, oldest first.
    fn run<S>(self, mut take: impl FnMut() -> S, mut give: impl FnMut(S)) -> Duration {
        let mut held = Vec::with_capacity(self.0);
        let start = Instant::now();
        for _ in 0..PAIRS / self.0 {
            held.extend((0..self.0).map(|_| black_box(take())));
            held.drain(..).for_each(&mut give);
        }
        start.elapsed()
    }
}

struct Nothing;

impl Contender<Batch> for Nothing {
    fn name(&self) -> &str {
        HARNESS
    }

    fn round(&mut self, work: &Batch) -> Duration {
        work.run(|| 8_usize, |place| _ = black_box(place))
    }
}

struct System;

impl Contender<Batch> for System {
    fn name(&self) -> &str {
        "system Box"
    }

    fn round(&mut self, work: &Batch) -> Duration {
        work.run(Box::<Value>::new_uninit, drop)
    }
}

struct Segment<M: Mode> {
    /// Declared first, so dropped before the memory it divides.
    slots: Slots<Value, M>,
    _arena: Arena,
}

impl<M: Mode> Segment<M> {
    fn new() -> Self {
        let arena = Arena::new(1 << 17, 0);
        let region = arena.region();
        // SAFETY: the arena outlives the slots, and nothing else uses it.
        let slots = unsafe { Slots::new(region.cast(), region.len()) };
        Self { slots: slots.expect("room for 1000 slots"), _arena: arena }
    }
}

impl<M: Mode> Contender<Batch> for Segment<M> {
    fn name(&self) -> &str {
        M::NAME
    }

    fn round(&mut self, work: &Batch) -> Duration {
        let slots = std::cell::RefCell::new(&mut self.slots);
        work.run(
            || slots.borrow_mut().try_pop_slot().expect("room for all"),
            |slot: Slot<Value>| slots.borrow_mut().push(slot).expect("it came from here"),
        )
    }
}

fn main() {
    let rounds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(ROUNDS);
    for (batch, title) in [(Batch(1), "hot pair"), (Batch(1000), "1000 pops, then 1000 pushes")] {
        let mut contenders: Vec<Box<dyn Contender<Batch>>> = vec![
            Box::new(Nothing),
            Box::new(System),
            Box::new(Segment::<Unchecked>::new()),
            Box::new(Segment::<Checked>::new()),
            Box::new(Segment::<Hardened>::new()),
        ];
        let results = race(&mut contenders, &batch, rounds).less(HARNESS).against(Checked::NAME);
        println!(
            "{title} of {} B, ns per pair\n{}",
            size_of::<Value>(),
            results.table(PAIRS as u64)
        );
    }
}
