//! Compares a heap that was used before with a fresh one: after everything was freed, it must serve the blocks
//! that a fresh heap over equal regions serves.
#![expect(unsafe_code, reason = "allocates and frees raw memory")]

use std::alloc::Layout;
use std::ptr::NonNull;

use slab_traits::ByteAllocator;

use crate::random::Random;
use crate::{Arena, Subject};

/// The sizes that heaps are filled with: of every order of magnitude, powers of two and others.
const SIZES: [usize; 24] = [
    1, 16, 24, 48, 64, 100, 112, 200, 320, 500, 640, 1000, 1024, 1500, 2048, 2560, 3072, 3500,
    4096, 4500, 6000, 10_000, 20_000, 65_536,
];

/// Regions begin at a multiple of this plus the same offset, so that both heaps have the same layout.
const ARENA_ALIGN: usize = 1 << 16;

/// The counts of [`history`]. Tests assert them, because a check that ran nothing proves nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct HistoryReport {
    /// Heaps that got a history and were compared with a fresh one.
    pub histories: usize,
    /// Blocks that were allocated in all histories.
    pub aged_blocks: usize,
    /// Times that a heap with a history and a fresh one were filled with blocks of one size.
    pub fills: usize,
    /// The most bytes that a heap with a history served less than a fresh one.
    pub short_bytes_max: usize,
}

/// Gives each heap that `make` returns a random history, frees everything, and compares it with a fresh heap: how
/// many blocks of one size each serves, for many sizes, and how large the largest block is. Each comparison is
/// part of the history of the next one.
///
/// `short_bytes` returns how many bytes less of a size a heap may serve in each region: zero if the allocator
/// guarantees as much as a fresh one. The largest block may never be smaller.
///
/// # Panics
///
/// If a heap with a history serves less, if a block is still counted as used after everything was freed, or
/// if an invariant is broken. The message has the number of the history, which determines it.
pub fn history(
    histories: u64,
    short_bytes: impl Fn(usize) -> usize,
    mut make: impl FnMut() -> Box<dyn Subject>,
) -> HistoryReport {
    let mut report = HistoryReport::default();
    for seed in 0..histories {
        let mut pair = Pair::new(seed, &mut make);
        pair.age(&mut report);
        let first = pair.random.below(SIZES.len());
        for nth in 0..SIZES.len() {
            // Each size once, in an order that differs: 7 and 24 have no common factor.
            let size = SIZES[(first + nth * 7) % SIZES.len()];
            let [aged, fresh] = pair.compare(&mut make, |heap| heap.fill(size));
            let short = fresh.saturating_sub(aged) * size;
            report.short_bytes_max = report.short_bytes_max.max(short);
            report.fills += 1;
            assert!(
                short <= short_bytes(size) * pair.aged.arenas.len(),
                "history {seed}: {aged} blocks of {size} bytes, where a fresh heap has {fresh}"
            );
            if nth % 6 == 0 {
                let [aged, fresh] = pair.compare(&mut make, Heap::largest);
                assert!(
                    aged >= fresh,
                    "history {seed}: the largest block has {aged} bytes, in a fresh heap {fresh}"
                );
            }
        }
        report.histories += 1;
    }
    report
}

/// A heap with a history, and memory of the same shape for fresh ones.
struct Pair {
    seed: u64,
    random: Random,
    aged: Heap,
    /// Sizes and offsets of the regions.
    shape: Vec<(usize, usize)>,
}

impl Pair {
    fn new(seed: u64, make: &mut impl FnMut() -> Box<dyn Subject>) -> Self {
        let mut random = Random(seed);
        let regions = [1, 1, 1, 2, 3][random.below(5)];
        let shape: Vec<_> = (0..regions)
            .map(|_| {
                let scale = [6_000, 50_000, 200_000][random.below(3)];
                (scale + random.below(scale), random.below(4096))
            })
            .collect();
        let aged = Heap::new(make(), &shape);
        Self { seed, random, aged, shape }
    }

    /// Allocates, resizes and frees at random, in waves of different sizes, and then frees everything.
    fn age(&mut self, report: &mut HistoryReport) {
        let random = &mut self.random;
        for _ in 0..1 + random.below(5) {
            let most = [60, 300, 4_000, 30_000, 150_000][random.below(5)];
            let mut refused = 0;
            for _ in 0..20 + random.below(600) {
                match random.below(8) {
                    0..5 => {
                        let (size, align) = (1 + random.below(most), 1 << (random.below(48) / 4));
                        let served = self.aged.alloc(size, align);
                        report.aged_blocks += usize::from(served);
                        refused += usize::from(!served);
                    }
                    5 => self.aged.resize(random.next() as usize, 1 + random.below(most)),
                    _ => self.aged.free(random.next() as usize),
                }
                if refused == 20 {
                    break;
                }
            }
            let part = random.below(4);
            for _ in 0..self.aged.live.len() / 4 * part {
                self.aged.free(random.next() as usize);
            }
        }
        self.empty();
    }

    /// Frees everything, in one of three orders.
    fn empty(&mut self) {
        match self.random.below(3) {
            0 => self.aged.live.sort_by_key(|(block, _)| block.addr()),
            1 => self.aged.live.reverse(),
            _ => {}
        }
        let scattered = self.random.below(2) == 0;
        while !self.aged.live.is_empty() {
            let nth =
                if scattered { self.random.next() as usize } else { self.aged.live.len() - 1 };
            self.aged.free(nth);
        }
        let used = self.aged.subject.heap().used_bytes();
        assert_eq!(used, 0, "history {}: used when everything is free", self.seed);
        let outcome = self.aged.subject.validate();
        outcome.unwrap_or_else(|broken| panic!("history {}: {broken}", self.seed));
    }

    /// Measures the heap with a history and a fresh heap, and empties the former.
    fn compare(
        &mut self,
        make: &mut impl FnMut() -> Box<dyn Subject>,
        measure: impl Fn(&mut Heap) -> usize,
    ) -> [usize; 2] {
        let fresh = measure(&mut Heap::new(make(), &self.shape));
        let aged = measure(&mut self.aged);
        self.empty();
        [aged, fresh]
    }
}

struct Heap {
    // Declared before the arenas, so that it is dropped before them.
    subject: Box<dyn Subject>,
    arenas: Vec<Arena>,
    live: Vec<(NonNull<u8>, Layout)>,
}

impl Heap {
    fn new(mut subject: Box<dyn Subject>, shape: &[(usize, usize)]) -> Self {
        let arenas: Vec<_> = shape
            .iter()
            .map(|&(bytes, offset)| Arena::aligned(bytes, ARENA_ALIGN, offset))
            .collect();
        for arena in &arenas {
            // SAFETY: the arena outlives the heap and is used through it alone.
            unsafe { subject.heap().add_region(arena.region()) }.expect("regions are large enough");
        }
        Self { subject, arenas, live: Vec::new() }
    }

    fn heap(&mut self) -> &mut dyn ByteAllocator {
        self.subject.heap()
    }

    fn alloc(&mut self, size: usize, align: usize) -> bool {
        let layout = Layout::from_size_align(size, align).expect("small sizes are valid");
        let Ok(block) = self.heap().alloc(layout) else { return false };
        self.live.push((block, layout));
        true
    }

    fn resize(&mut self, nth: usize, size: usize) {
        let Some(index) = nth.checked_rem(self.live.len()) else { return };
        let (block, old) = self.live[index];
        // SAFETY: the block is live with this layout, and replaced by the result.
        if let Ok(moved) = unsafe { self.heap().realloc(block, old, size) } {
            let new = Layout::from_size_align(size, old.align()).expect("small sizes are valid");
            self.live[index] = (moved, new);
        }
    }

    fn free(&mut self, nth: usize) {
        let Some(index) = nth.checked_rem(self.live.len()) else { return };
        let (block, layout) = self.live.swap_remove(index);
        // SAFETY: the block is live with this layout, and forgotten.
        let outcome = unsafe { self.heap().try_dealloc(block, layout) };
        assert_eq!(outcome, Ok(()), "the block is live");
    }

    /// Allocates blocks of one size until one is refused, and returns how many were served.
    fn fill(&mut self, size: usize) -> usize {
        let before = self.live.len();
        while self.alloc(size, 1) {}
        self.live.len() - before
    }

    /// Returns the size of the largest block that fits.
    fn largest(&mut self) -> usize {
        let (mut served, mut refused) = (0, self.heap().total_bytes() + 1);
        while refused - served > 1 {
            let size = served.midpoint(refused);
            if self.alloc(size, 1) {
                self.free(self.live.len() - 1);
                served = size;
            } else {
                refused = size;
            }
        }
        served
    }
}
