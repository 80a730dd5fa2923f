//! The work of byte allocators in the benches, and their contenders.
//!
//! The races (`cargo bench --bench bytes`) decide claims: contenders take turns, and the cost of the
//! harness is measured as a separate contender and subtracted. The criterion benches report and plot
//! your changes.
#![expect(unsafe_code, reason = "allocates and frees raw memory")]

use std::alloc::Layout;
use std::hint::black_box;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use slab_lab::exec::{Heap, Idle, Region};
use slab_lab::replay::region_bytes;
use slab_lab::trace::Trace;
use slab_peers::Contender as Peer;
use slab_testkit::{Arena, Contender};
use slab_traits::{AllocResult, BaseAllocator, ByteAllocator, RegionError};

/// The examples of the workspace's README, compiled and run with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The examples of the book.
#[cfg(doctest)]
mod book {
    #[doc = include_str!("../docs/cookbook.md")]
    struct Cookbook;

    #[doc = include_str!("../docs/migration-typed.md")]
    struct MigrationTyped;

    #[doc = include_str!("../docs/migration-heaps.md")]
    struct MigrationHeaps;

    #[doc = include_str!("../docs/migration-cache.md")]
    struct MigrationCache;

    #[doc = include_str!("../docs/migration-pool.md")]
    struct MigrationPool;

    #[doc = include_str!("../docs/migration-binned.md")]
    struct MigrationBinned;

    #[doc = include_str!("../docs/crates/slab-traits.md")]
    struct Traits;

    #[doc = include_str!("../docs/crates/slab-core.md")]
    struct Core;

    #[doc = include_str!("../docs/crates/slab-bytes.md")]
    struct Bytes;

    #[doc = include_str!("../docs/crates/slab-typed.md")]
    struct Typed;

    #[doc = include_str!("../docs/crates/slab-cache.md")]
    struct Cache;

    #[doc = include_str!("../docs/crates/slab-pool.md")]
    struct Pool;

    #[doc = include_str!("../docs/crates/slab-binned.md")]
    struct Binned;
}

/// A pattern of allocation, repeated until a round is long enough to time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// One block is allocated and freed at once.
    HotPair {
        /// Bytes of the block.
        size: usize,
    },
    /// A number of blocks is allocated, then all are freed in the same order.
    Batch {
        /// Bytes of each block.
        size: usize,
        /// Blocks.
        count: usize,
    },
}

impl Pattern {
    /// Returns the title of the pattern in the tables.
    pub fn title(self) -> String {
        match self {
            Self::HotPair { size } => format!("hot pair of {size} B, ns per pair"),
            Self::Batch { size, count } => {
                format!("{count} allocs of {size} B, then {count} frees, ns per pair")
            }
        }
    }

    /// Repeats the pattern until `pairs` blocks have been allocated and freed.
    ///
    /// # Panics
    ///
    /// If the heap runs out of memory.
    pub fn run(self, heap: &mut dyn ByteAllocator, pairs: usize) {
        match self {
            Self::HotPair { size } => {
                let layout = layout(size);
                for _ in 0..pairs {
                    let block = take(heap, layout);
                    // SAFETY: the block is live, has this layout and is forgotten.
                    unsafe { heap.dealloc(block, layout) };
                }
            }
            Self::Batch { size, count } => {
                let layout = layout(size);
                let mut blocks = Vec::with_capacity(count);
                for _ in 0..pairs / count {
                    blocks.extend((0..count).map(|_| take(heap, layout)));
                    for block in blocks.drain(..) {
                        // SAFETY: the block is live, has this layout and is forgotten.
                        unsafe { heap.dealloc(block, layout) };
                    }
                }
            }
        }
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("bench sizes are small")
}

/// Allocates a block and writes its first word, as a program does.
#[inline]
fn take(heap: &mut dyn ByteAllocator, layout: Layout) -> NonNull<u8> {
    let block = heap.alloc(black_box(layout)).expect("the region is large enough");
    // SAFETY: the blocks of all patterns hold a word, and are aligned to eight.
    unsafe { block.cast::<u64>().write(1) };
    block
}

/// One allocator on its own region, in a race.
pub struct Entrant {
    name: &'static str,
    heap: Box<dyn ByteAllocator>,
    /// The heap's memory, dropped after it.
    _arena: Arena,
}

/// The name of the harness as a contender.
pub const HARNESS: &str = "harness";

impl Entrant {
    /// Builds a contender on a fresh region.
    ///
    /// # Panics
    ///
    /// If the region is too small for it.
    pub fn new(peer: &Peer, region_bytes: usize) -> Self {
        let arena = Arena::new(region_bytes, 0);
        // SAFETY: the arena is kept as long as the heap and is given to nothing else.
        let heap = unsafe { peer.build(arena.region()) }.expect("the region is large enough");
        Self { name: peer.name(), heap, _arena: arena }
    }

    /// Builds the allocator that does nothing.
    pub fn harness() -> Self {
        Self { name: HARNESS, heap: Box::new(Nothing::default()), _arena: Arena::new(0, 0) }
    }
}

/// One allocator, or the harness alone, that replays traces in a race, each time on a fresh heap.
pub struct Replayer {
    peer: Option<&'static Peer>,
    region: Region,
}

impl Replayer {
    /// Returns a contender for one trace; the harness alone without a peer.
    ///
    /// # Panics
    ///
    /// If there is no memory for the region.
    pub fn new(peer: Option<&'static Peer>, trace: &Trace) -> Self {
        Self { peer, region: Region::new(region_bytes(trace)).expect("a few megabytes") }
    }
}

impl Contender<Trace> for Replayer {
    fn name(&self) -> &str {
        self.peer.map_or(HARNESS, Peer::name)
    }

    fn round(&mut self, trace: &Trace) -> Duration {
        let outcome = match self.peer {
            Some(peer) => Heap::new(peer, &mut self.region, region_bytes(trace))
                .and_then(|heap| heap.run(trace)),
            None => Heap::idle(&Idle::new(trace, &mut self.region)).run(trace),
        };
        outcome.unwrap_or_else(|failure| panic!("{}: {failure}", self.name()))
    }
}

/// A pattern, and how many pairs a round has.
pub type Work = (Pattern, usize);

impl Contender<Work> for Entrant {
    fn name(&self) -> &str {
        self.name
    }

    fn round(&mut self, &(pattern, pairs): &Work) -> Duration {
        let start = Instant::now();
        pattern.run(&mut *self.heap, pairs);
        start.elapsed()
    }
}

/// Returns the same block each time: the cost of the harness and the dynamic call.
#[derive(Debug)]
struct Nothing {
    block: Box<[u64; 1024]>,
}

impl Default for Nothing {
    fn default() -> Self {
        Self { block: Box::new([0; 1024]) }
    }
}

impl BaseAllocator for Nothing {
    unsafe fn add_region(&mut self, _: NonNull<[u8]>) -> Result<(), RegionError> {
        Ok(())
    }
}

// SAFETY: the blocks overlap, against the contract of the trait; the patterns only write to them.
unsafe impl ByteAllocator for Nothing {
    fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        black_box(layout);
        Ok(NonNull::from(&mut *self.block).cast())
    }

    unsafe fn dealloc(&mut self, block: NonNull<u8>, layout: Layout) {
        black_box((block, layout));
    }

    fn total_bytes(&self) -> usize {
        0
    }

    fn used_bytes(&self) -> usize {
        0
    }
}
