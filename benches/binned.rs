//! The deterministic allocator and its rivals:
//! `cargo bench -p slab-benches --bench binned [-- [ROUNDS] [pairs] [growth]]`.
//!
//! Runs all parts, or the named ones:
//!
//! * Blocks of mixed sizes, allocated and freed, beside the published system it grew out of.
//! * The same with a fingerprint and with a log.
//! * Growth to a gibibyte: the slowest single allocation.
//!
//! Contenders take turns in one process; the cost of the harness is measured as one of them and
//! subtracted.

use std::hint::black_box;
use std::time::{Duration, Instant};

use cjc_runtime::binned_alloc::BinnedAllocator as Seed;
use slab_benches::HARNESS;
use slab_binned::{
    BinnedAllocator, BlockAllocator, Config, FingerprintedAllocator, Journal, LoggedAllocator,
    SizeClasses,
};
use slab_testkit::{Contender, race};

/// Live blocks.
const LIVE: usize = 1000;
/// Pairs of a round: a fraction of a millisecond, so that most rounds are not interrupted.
const PAIRS: usize = 20_000;
/// Operations after which a program sends its log and clears it.
const TICK: usize = 500;

/// The blocks that a program replaces, one by one: the index of a live block, and the new size.
struct Pairs(Vec<(usize, usize)>);

impl Pairs {
    /// Typical sizes: most are small, some are kibibytes, one in a hundred is above 64 KiB.
    fn mixed() -> Self {
        let mut random = random();
        Self::new(move || match random() % 100 {
            0..=69 => 1 + random() % 200,
            70..=94 => 1 + random() % 4000,
            95..=98 => 1 + random() % 65_536,
            _ => 65_537 + random() % 65_536,
        })
    }

    fn up_to(bytes: usize) -> Self {
        let mut random = random();
        Self::new(move || 1 + random() % bytes)
    }

    fn new(mut size: impl FnMut() -> usize) -> Self {
        let mut random = random();
        Self((0..PAIRS).map(|_| (random() % LIVE, size())).collect())
    }
}

/// Returns a generator of numbers, the same each time.
fn random() -> impl FnMut() -> usize {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 20) as usize
    }
}

/// An allocator of blocks with ids.
trait Blocks {
    type Id: Copy;
    fn alloc_dirty(&mut self, size: usize) -> Self::Id;
    fn free(&mut self, id: Self::Id);
    /// Called every [`TICK`] pairs.
    fn tick(&mut self) {}
}

impl Blocks for Seed {
    type Id = usize;

    fn alloc_dirty(&mut self, size: usize) -> usize {
        self.alloc(size)
    }

    fn free(&mut self, id: usize) {
        Seed::free(self, id);
    }
}

impl<J: Journal> Blocks for BlockAllocator<slab_binned::Global, J>
where
    Self: Tick,
{
    type Id = slab_binned::BlockId;

    #[inline]
    fn alloc_dirty(&mut self, size: usize) -> Self::Id {
        BlockAllocator::alloc_dirty(self, size).expect("memory for the bench")
    }

    #[inline]
    fn free(&mut self, id: Self::Id) {
        BlockAllocator::free(self, id).expect("live");
    }

    fn tick(&mut self) {
        Tick::end(self);
    }
}

/// The end of a tick: the program uses its fingerprint or log.
trait Tick {
    fn end(&mut self) {}
}

impl Tick for BinnedAllocator {}

impl Tick for FingerprintedAllocator {
    fn end(&mut self) {
        black_box(self.fingerprint());
    }
}

impl Tick for LoggedAllocator {
    fn end(&mut self) {
        black_box(self.log().len());
        self.clear_log();
    }
}

/// Returns numbers instead of blocks: the cost of the harness.
struct Nothing;

impl Blocks for Nothing {
    type Id = usize;

    #[inline]
    fn alloc_dirty(&mut self, size: usize) -> usize {
        black_box(size)
    }

    #[inline]
    fn free(&mut self, id: usize) {
        black_box(id);
    }
}

/// A contender with a thousand live blocks.
struct Entrant<B: Blocks> {
    name: &'static str,
    blocks: B,
    live: Vec<B::Id>,
}

impl<B: Blocks> Entrant<B> {
    fn boxed<'a>(name: &'static str, mut blocks: B) -> Box<dyn Contender<Pairs> + 'a>
    where
        B: 'a,
    {
        let live = (0..LIVE).map(|_| blocks.alloc_dirty(64)).collect();
        Box::new(Self { name, blocks, live })
    }
}

impl<B: Blocks> Contender<Pairs> for Entrant<B> {
    fn name(&self) -> &str {
        self.name
    }

    fn round(&mut self, Pairs(pairs): &Pairs) -> Duration {
        let start = Instant::now();
        for tick in pairs.chunks(TICK) {
            for &(which, size) in tick {
                self.blocks.free(self.live[which]);
                self.live[which] = self.blocks.alloc_dirty(size);
            }
            self.blocks.tick();
        }
        start.elapsed()
    }
}

fn pairs(title: &str, work: &Pairs, rounds: usize) {
    let fine = BinnedAllocator::with_config(Config::new().classes(SizeClasses::Fine));
    let mut contenders: Vec<Box<dyn Contender<Pairs>>> = vec![
        Entrant::boxed(HARNESS, Nothing),
        Entrant::boxed("cjc-runtime", Seed::new()),
        Entrant::boxed("slab-binned", BinnedAllocator::new()),
        Entrant::boxed("slab-binned/fine", fine),
        Entrant::boxed("slab-binned/fingerprint", FingerprintedAllocator::new()),
        Entrant::boxed("slab-binned/log", LoggedAllocator::new()),
    ];
    let results = race(&mut contenders, work, rounds).less(HARNESS);
    let results = results.against("cjc-runtime");
    let table = results.table(PAIRS as u64);
    println!("{title}, ns per free + alloc_dirty, ratio to cjc-runtime\n{table}");
    let off = results.clone().against("slab-binned");
    for name in ["slab-binned/fingerprint", "slab-binned/log"] {
        println!("{name} / slab-binned: {:.2}", off.ratio(name).unwrap_or_default());
    }
    println!();
}

/// Grows heaps to a gibibyte by blocks of 64 KiB and a few small ones, and prints the time of the
/// slowest allocation.
fn growth() {
    const BYTES: usize = 1 << 30;
    let mut worst = Duration::ZERO;
    let mut blocks = BinnedAllocator::new();
    let first = blocks.alloc_dirty(64).expect("memory for the bench");
    let address = blocks.get(first).expect("live").as_ptr();
    let mut count = 0_u64;
    while blocks.storage_bytes() < BYTES {
        for size in [65_536, 48, 700, 3000, 100_000] {
            let start = Instant::now();
            let id = blocks.alloc_dirty(size).expect("memory for the bench");
            worst = worst.max(start.elapsed());
            black_box(id);
            count += 1;
        }
    }
    assert_eq!(blocks.get(first).expect("live").as_ptr(), address, "nothing was moved");
    println!(
        "growth to 1 GiB, {count} allocations: at most {} lines of pages read or written by one, \
         at most {:.0} µs (the first bytes of a chunk are the system's page faults), nothing copied",
        blocks.steps_max(),
        worst.as_secs_f64() * 1e6
    );
    drop(blocks);
    let (mut seed, mut worst, mut storage) = (Seed::new(), Duration::ZERO, 0);
    // The vector is copied at each doubling; 128 MiB show it.
    while storage < BYTES / 8 {
        let start = Instant::now();
        black_box(seed.alloc(65_536));
        worst = worst.max(start.elapsed());
        storage = seed.storage_bytes();
    }
    println!("cjc-runtime to 128 MiB: at most {:.0} µs\n", worst.as_secs_f64() * 1e6);
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rounds = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(21);
    let known = ["pairs", "growth"];
    let named = |name: &&str| arguments.iter().any(|argument| argument == name);
    let all = !known.iter().any(named);
    let wanted: Vec<&str> = known.into_iter().filter(|name| all || named(name)).collect();
    if wanted.contains(&"pairs") {
        pairs("mixed sizes", &Pairs::mixed(), 10 * rounds);
        pairs("sizes up to 256", &Pairs::up_to(256), 10 * rounds);
        pairs("sizes up to 16 KiB", &Pairs::up_to(16_384), 10 * rounds);
    }
    if wanted.contains(&"growth") {
        growth();
    }
}
