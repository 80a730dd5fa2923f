//! How byte heaps use their memory: `cargo bench -p slab-benches --bench space`.
//!
//! Each table names what it measures. All sizes come from a seeded generator, so every run prints the
//! same. Instructions of the worst operation: `benches/worst.sh`. Code size: `benches/code_size.sh`.
#![expect(unsafe_code, reason = "allocates and frees raw memory")]

use std::alloc::Layout;
use std::ptr::NonNull;

use slab_bytes::SlabByteAllocator;
use slab_peers::Contender;
use slab_testkit::{Arena, Table};
use slab_traits::{AllocError, BaseAllocator, ByteAllocator};

const REGION_BYTES: usize = 128 << 20;
const SEED: u64 = 0x5eed;
const ALIGN: usize = 16;
const ALLOCATORS: [&str; 5] = ["slab-bytes", "talc", "rlsf", "dlmalloc", "buddy_system_allocator"];

fn main() {
    fill_tables();
    metadata_table();
    refill_table();
}

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Returns a number below `limit`, which is far below 2³².
    fn below(&mut self, limit: usize) -> usize {
        (((self.next() >> 32) * limit as u64) >> 32) as usize
    }
}

/// A distribution of request sizes.
struct Sizes {
    name: &'static str,
    draw: fn(&mut Random) -> usize,
}

const DISTRIBUTIONS: [Sizes; 5] = [
    Sizes { name: "small: uniform 1..=256", draw: |random| 1 + random.below(256) },
    Sizes { name: "powers: 16..=4096, one in four plus a header of 16", draw: powers },
    Sizes { name: "program: median 48, doubling a bell, to 64 KiB", draw: program },
    Sizes { name: "uniform 1..=4096", draw: |random| 1 + random.below(4096) },
    Sizes { name: "pages: 1 to 8 of 4096, one in two plus or minus 100", draw: pages },
];

fn powers(random: &mut Random) -> usize {
    let header = if random.below(4) == 0 { 16 } else { 0 };
    (16 << random.below(9)) + header
}

/// The exponent is a sum of three throws, so sizes are about log-normal.
fn program(random: &mut Random) -> usize {
    let tenths = (0..3).map(|_| random.below(50)).sum::<usize>();
    let size = 48.0 * 2f64.powf((tenths as f64 - 73.5) / 10.0 * 1.4);
    (size as usize).clamp(1, 64 << 10)
}

fn pages(random: &mut Random) -> usize {
    let bytes = 4096 * (1 + random.below(8));
    if random.below(2) == 0 { bytes } else { bytes - 100 + random.below(201) }
}

/// The memory of a heap at its first refusal.
struct Filled {
    requested_bytes: usize,
    used_bytes: usize,
    metadata_bytes: usize,
}

/// Allocates until the first refusal; with `churn`, every third step frees a random block instead.
fn fill(name: &str, sizes: &Sizes, churn: bool) -> Filled {
    let arena = Arena::new(REGION_BYTES, 0);
    let peer = Contender::named(name).expect("a registered name");
    // SAFETY: the arena outlives the heap and is given to nothing else.
    let mut heap = unsafe { peer.build(arena.region()) }.expect("the region is large");
    let mut random = Random(SEED);
    let mut live: Vec<(NonNull<u8>, Layout)> = Vec::new();
    loop {
        if churn && !live.is_empty() && random.below(3) == 0 {
            let (block, layout) = live.swap_remove(random.below(live.len()));
            // SAFETY: the block is live, has this layout and is forgotten.
            unsafe { heap.dealloc(block, layout) };
            continue;
        }
        let layout = layout((sizes.draw)(&mut random));
        match heap.alloc(layout) {
            Ok(block) => live.push((block, layout)),
            Err(_) => break,
        }
    }
    Filled {
        requested_bytes: live.iter().map(|(_, layout)| layout.size()).sum(),
        used_bytes: heap.used_bytes(),
        metadata_bytes: heap.metadata_bytes(),
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, ALIGN).expect("sizes are small")
}

fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole as f64
}

fn fill_tables() {
    println!(
        "Requested bytes that live at the first refusal, % of a region of 128 MiB, seed {SEED:#x}."
    );
    println!(
        "bound: what slab-bytes could hold of the same blocks, rounded to classes and granules,"
    );
    println!(
        "if nothing but rounding and metadata were lost; reached: how much of that it holds.\n"
    );
    for (churn, title) in [(false, "allocations only"), (true, "one free to two allocations")] {
        let head = ["sizes"].into_iter().chain(ALLOCATORS).chain(["bound", "reached"]);
        let mut table = Table::new(head);
        for sizes in &DISTRIBUTIONS {
            let filled = ALLOCATORS.map(|name| fill(name, sizes, churn));
            let requested = |filled: &Filled| percent(filled.requested_bytes, REGION_BYTES);
            let Filled { used_bytes, metadata_bytes, .. } = filled[0];
            let reached = percent(used_bytes, REGION_BYTES - metadata_bytes);
            let bound = requested(&filled[0]) / reached * 100.0;
            let numbers = filled.iter().map(requested).chain([bound, reached]);
            let cells = numbers.map(|number| format!("{number:.1}"));
            table.push([sizes.name.to_owned()].into_iter().chain(cells));
        }
        println!("{title}\n{table}");
    }
}

fn metadata_table() {
    println!(
        "Metadata of slab-bytes in bytes, beside the promised 3.2 % + 512: where the region starts"
    );
    println!(
        "at a page, and at the worst of 64 addresses, 16 bytes apart, where up to a granule of 1024"
    );
    println!("before and behind the first boundary is lost.\n");
    let mut table = Table::new(["region", "metadata", "%", "promised", "worst", "promise"]);
    for bytes in (11..=27).step_by(2).map(|log2| 1_usize << log2) {
        let promised = bytes * 32 / 1000 + 512;
        let aligned = metadata_bytes(bytes, 0).expect("large enough");
        let worst = (0..64).filter_map(|step| metadata_bytes(bytes, step * 16)).max();
        let worst = worst.expect("one was large enough");
        let verdict = if aligned > promised { "MISSED" } else { "kept" };
        let percent = format!("{:.2}", percent(aligned, bytes));
        let [bytes, aligned, promised, worst] =
            [bytes, aligned, promised, worst].map(|n| n.to_string());
        table.push([bytes, aligned, percent, promised, worst, verdict.to_owned()]);
    }
    println!("metadata of a region\n{table}");
    let smallest = |offset| (1..1 << 14).find(|&bytes| metadata_bytes(bytes, offset).is_some());
    let worst = (0..64).filter_map(|step| smallest(step * 16)).max();
    let (aligned, worst) = (smallest(0).expect("16 KiB"), worst.expect("16 KiB"));
    println!(
        "smallest region that is accepted: {aligned} bytes from a page, {worst} from anywhere"
    );
}

/// Returns the metadata of a heap on one region, or `None` if the region is refused.
fn metadata_bytes(bytes: usize, offset: usize) -> Option<usize> {
    let arena = Arena::new(bytes, offset);
    let mut heap: SlabByteAllocator = SlabByteAllocator::new();
    // SAFETY: the arena outlives the heap and is given to nothing else.
    unsafe { heap.add_region(arena.region()) }.ok()?;
    Some(heap.metadata_bytes())
}

fn refill_table() {
    const BYTES: usize = 8 << 20;
    const FIRST: [usize; 6] = [16, 64, 100, 1000, 4096, 10_000];
    const THEN: [usize; 7] = [1, 128, 1024, 5000, 65_536, 1 << 20, usize::MAX];
    println!("\nFill 8 MiB with one size, free all, then ask for another; all have to succeed.");
    let mut succeeded = 0;
    for first in FIRST {
        for then in THEN {
            let arena = Arena::new(BYTES, 0);
            let mut heap: SlabByteAllocator = SlabByteAllocator::new();
            // SAFETY: the arena outlives the heap and is given to nothing else.
            unsafe { heap.add_region(arena.region()) }.expect("large enough");
            let mut live = Vec::new();
            let refusal = loop {
                match heap.alloc(layout(first)) {
                    Ok(block) => live.push(block),
                    Err(refusal) => break refusal,
                }
            };
            assert_eq!(refusal, AllocError::NoMemory);
            for block in live {
                // SAFETY: the block is live, has this layout and is forgotten.
                unsafe { heap.dealloc(block, layout(first)) };
            }
            // The largest block: all memory but the metadata, which is one run again.
            let size = then.min(heap.total_bytes() - heap.metadata_bytes());
            heap.alloc(layout(size)).unwrap_or_else(|_| panic!("{first}, then {size}"));
            succeeded += 1;
        }
    }
    println!(
        "fill with one size, free, ask for another: {succeeded} of {} succeeded, the whole heap as one block among them",
        FIRST.len() * THEN.len()
    );
}
