//! Fills regions to the last block, frees in any order, and expects all memory back.
#![expect(unsafe_code, reason = "allocates and frees raw memory")]

use std::alloc::Layout;
use std::env;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use slab_traits::ByteAllocator;

use crate::random::Random;
use crate::{Arena, Shadow, Subject};

/// The variable with the number of seconds that [`exhaust`] runs.
const SECONDS: &str = "SLABWORKS_SECONDS";

/// The counts of [`exhaust`]. Tests assert them, because a check that ran nothing proves nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Exhaustion {
    /// Heaps that were made, each over separate regions.
    pub heaps: usize,
    /// Times that a heap was filled to the last block.
    pub fills: usize,
    /// Blocks that were allocated.
    pub blocks: u64,
}

/// Runs rounds for `least`, or for as many seconds as the variable `SLABWORKS_SECONDS` says. In each round,
/// `make` returns a heap of one of `kinds` kinds, in turn. The heap gets one to four regions of random sizes and
/// addresses, and is filled and emptied several times in different ways.
///
/// A heap is *full* when it refuses a block of one byte. After everything was freed, no byte may be in use, the
/// invariants must hold, and after a reclaim the heap must serve the same sizes as when it was new.
///
/// # Panics
///
/// At the first violation. The message has the number of the round, which determines it.
pub fn exhaust(
    least: Duration,
    kinds: usize,
    mut make: impl FnMut(usize) -> Box<dyn Subject>,
) -> Exhaustion {
    let seconds = env::var(SECONDS).ok().and_then(|seconds| seconds.parse().ok());
    let end = Instant::now() + seconds.map_or(least, Duration::from_secs);
    let mut done = Exhaustion::default();
    let mut seed = 0;
    while seed < kinds as u64 || Instant::now() < end {
        let mut round = Round::new(seed, make(seed as usize % kinds), &mut done);
        round.run();
        done.heaps += 1;
        seed += 1;
    }
    done
}

struct Round<'a> {
    seed: u64,
    random: Random,
    // Declared before the arenas, so that it is dropped before them.
    subject: Box<dyn Subject>,
    arenas: Vec<Arena>,
    live: Vec<(NonNull<u8>, Layout)>,
    shadow: Shadow,
    done: &'a mut Exhaustion,
}

impl<'a> Round<'a> {
    fn new(seed: u64, subject: Box<dyn Subject>, done: &'a mut Exhaustion) -> Self {
        let mut round = Self {
            seed,
            random: Random(seed),
            subject,
            arenas: Vec::new(),
            live: Vec::new(),
            shadow: Shadow::new(),
            done,
        };
        for _ in 0..1 + round.below(4) {
            // Mostly small, so that the edges are a large part.
            let scale = [3_000, 30_000, 300_000][round.below(3)];
            let (bytes, offset) = (scale + round.below(scale), round.below(4096));
            round.arenas.push(Arena::new(bytes, offset));
        }
        round
    }

    fn below(&mut self, limit: usize) -> usize {
        self.random.below(limit)
    }

    fn heap(&mut self) -> &mut dyn ByteAllocator {
        self.subject.heap()
    }

    fn run(&mut self) {
        for index in 0..self.arenas.len() {
            let region = self.arenas[index].region();
            // SAFETY: the arena outlives the heap and is used through it alone. An arena that is too small is
            // refused.
            let _ = unsafe { self.heap().add_region(region) };
            self.shadow.add_region(region);
        }
        let empty_bytes = self.heap().available_bytes();
        if self.heap().total_bytes() == 0 {
            return;
        }
        let reference = self.fill_with_one_size();
        self.free_all();
        for _ in 0..3 {
            self.fill_at_random();
            self.churn();
            self.free_all();
            assert_eq!(self.heap().available_bytes(), empty_bytes, "{}", self.name());
        }
        // All memory is free again and unfragmented. Allocators may cache memory for sizes used before, so it is
        // reclaimed first.
        self.subject.reclaim();
        let again = self.fill_with_one_size();
        assert_eq!(
            again,
            reference,
            "blocks of the same sizes fit as in the new heap, {}",
            self.name()
        );
        self.free_all();
        self.arenas.iter().for_each(Arena::check_guards);
    }

    /// Allocates the largest blocks that fit, halving the size after a refusal, and returns their sizes.
    fn fill_with_one_size(&mut self) -> Vec<usize> {
        let mut sizes = Vec::new();
        let mut size = 1 << 20;
        while size > 0 {
            if self.alloc(size, 1) { sizes.push(size) } else { size /= 2 }
        }
        self.done.fills += 1;
        sizes
    }

    fn fill_at_random(&mut self) {
        let most = [40, 400, 9_000, 100_000][self.below(4)];
        let mut refused = 0;
        while refused < 20 {
            let (size, align) = (1 + self.below(most), 1 << (self.below(48) / 4));
            refused += usize::from(!self.alloc(size, align));
        }
        while self.alloc(1, 1) {}
        self.done.fills += 1;
    }

    /// Frees some blocks and fills the heap again.
    fn churn(&mut self) {
        for _ in 0..3 {
            let part = 1 + self.below(4);
            for _ in 0..self.live.len() / part / 2 {
                let index = self.below(self.live.len());
                self.free(index);
            }
            self.validate();
            self.fill_at_random();
        }
    }

    fn alloc(&mut self, size: usize, align: usize) -> bool {
        let layout = Layout::from_size_align(size, align).expect("small sizes are valid");
        let Ok(block) = self.heap().alloc(layout) else { return false };
        let outcome = self.shadow.insert(block, layout);
        outcome.unwrap_or_else(|error| panic!("{error}, {}", self.name()));
        // SAFETY: the block has that many bytes, and only this test uses it.
        unsafe { block.write_bytes(0xA5, size) };
        self.live.push((block, layout));
        self.done.blocks += 1;
        true
    }

    fn free(&mut self, index: usize) {
        let (block, layout) = self.live.swap_remove(index);
        self.shadow.remove(block).unwrap_or_else(|error| panic!("{error}, {}", self.name()));
        // SAFETY: the block is live with this layout, and forgotten.
        let outcome = unsafe { self.heap().try_dealloc(block, layout) };
        assert_eq!(outcome, Ok(()), "{}", self.name());
    }

    /// Frees all blocks in one of several orders.
    fn free_all(&mut self) {
        let order = self.below(4);
        if order == 0 {
            self.live.sort_by_key(|(block, _)| block.addr());
        }
        while !self.live.is_empty() {
            let index = match order {
                0 | 1 => self.live.len() - 1,
                2 => 0,
                _ => self.below(self.live.len()),
            };
            self.free(index);
        }
        assert_eq!(self.heap().used_bytes(), 0, "{}", self.name());
        self.validate();
    }

    fn validate(&self) {
        self.subject.validate().unwrap_or_else(|broken| panic!("{broken}, {}", self.name()));
    }

    fn name(&self) -> String {
        format!("round {}", self.seed)
    }
}
