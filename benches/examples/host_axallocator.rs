//! ArceOS's kernel heap, `axalloc` from the registry as it is, with `axallocator`'s slab in it and with ours.
//!
//! `cargo run --release -p slab-benches --example host_axallocator [-- --quick] [--json]`
//!
//! The heap starts with 32 KiB and asks its page allocator for more whenever its slab refuses. `axallocator/` beside the
//! benches is what a kernel would patch in. The work is a kernel's: tasks with stacks and page tables, open files, names
//! in a `hashbrown` map, packets. Every block is checked: aligned, and what was written is still there when it is freed.
//! Printed are the time, the pages the heap took, and the least memory it gets through with.
#![expect(unsafe_code, reason = "a kernel heap hands out raw memory")]

mod hosts;

use std::alloc::Layout;
use std::ptr::{self, NonNull};
use std::time::Duration;

use allocator_api2::alloc::{AllocError, Allocator};
use axalloc::GlobalAllocator;
use hashbrown::{DefaultHashBuilder, HashMap};
use hosts::{Host, Random, mebibytes, rows, timed, turn};
use slab_testkit::Arena;

const PAGE_BYTES: usize = 4096;
/// The largest that its page allocator can have without further features.
const MEMORY_BYTES: usize = 256 << 20;
const ORIGINAL: &str = "axallocator";
const OURS: &str = "slab-bytes";

/// Returns memory for a heap. Its page allocator counts from the gibibyte below and sees 256 MiB of that.
fn memory(bytes: usize) -> Arena {
    Arena::aligned(bytes, 1 << 30, 0)
}

/// `GlobalAllocator` is generic over nothing, so a heap is made while its slab is chosen.
fn heap(name: &str, arena: &Arena) -> Box<GlobalAllocator> {
    axallocator_patched::choose(name == OURS);
    let heap = Box::new(GlobalAllocator::new());
    let region = arena.region();
    heap.init(region.cast::<u8>().as_ptr().expose_provenance(), region.len());
    // A heap that did not get the patched crate would show the original twice.
    let original_counts_metadata = heap.available_bytes() + heap.used_bytes() < 32 << 10;
    assert_eq!(original_counts_metadata, name == OURS, "the patch of axallocator is not in effect");
    heap
}

/// The heap as an allocator of containers.
#[derive(Clone, Copy)]
struct Kernel<'h>(&'h GlobalAllocator);

// SAFETY: blocks are disjoint and are not moved until they are freed, and copies name the same heap. The assertion in
// `allocate` finds a misaligned block before it is used.
unsafe impl Allocator for Kernel<'_> {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if layout.size() == 0 {
            let empty = NonNull::new(ptr::without_provenance_mut(layout.align()));
            return Ok(NonNull::slice_from_raw_parts(empty.ok_or(AllocError)?, 0));
        }
        let block = self.checked(layout).ok_or(AllocError)?;
        Ok(NonNull::slice_from_raw_parts(block, layout.size()))
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        if layout.size() > 0 {
            self.0.dealloc(block, layout);
        }
    }
}

impl Kernel<'_> {
    fn checked(&self, layout: Layout) -> Option<NonNull<u8>> {
        let block = self.0.alloc(layout).ok()?;
        assert_eq!(block.addr().get() % layout.align(), 0, "a block of {layout:?} is not aligned");
        Some(block)
    }
}

/// A block, its last byte, its layout, and what its first and its last byte have to be.
struct Block {
    first: NonNull<u8>,
    last: NonNull<u8>,
    layout: Layout,
    mark: u8,
}

impl Block {
    fn new(kernel: Kernel<'_>, bytes: usize, align: usize, mark: u8) -> Option<Self> {
        let layout = Layout::from_size_align(bytes, align).expect("a layout of the kernel");
        let first = kernel.checked(layout)?;
        // SAFETY: the block has so many bytes, and at least one.
        let last = unsafe { first.add(bytes - 1) };
        for byte in [first, last] {
            // SAFETY: a byte of a block of ours.
            unsafe { byte.write(mark) };
        }
        Some(Self { first, last, layout, mark })
    }

    fn free(self, kernel: Kernel<'_>) {
        for byte in [self.first, self.last] {
            // SAFETY: a byte of a live block, which `new` wrote.
            let found = unsafe { byte.read() };
            assert_eq!(found, self.mark, "a block of {:?} was overwritten", self.layout);
        }
        kernel.0.dealloc(self.first, self.layout);
    }
}

/// Control block, kernel stack, three page tables, table of open files, and some files.
fn task(kernel: Kernel<'_>, random: &mut Random, mark: u8) -> Option<Vec<Block>> {
    let files = random.below(12);
    let mut parts = vec![(712, 64), (16 << 10, 16)];
    parts.extend([(PAGE_BYTES, PAGE_BYTES); 3]);
    parts.push((64 * (1 + files / 8), 8));
    parts.extend((0..files).map(|_| (184, 8)));
    let mut task = Vec::new();
    for (bytes, align) in parts {
        let Some(block) = Block::new(kernel, bytes, align, mark) else {
            task.into_iter().for_each(|block: Block| block.free(kernel));
            return None;
        };
        task.push(block);
    }
    Some(task)
}

/// Runs the kernel for some ticks and returns its refusals. A refused task or packet is left out; the rest goes on.
fn run(heap: &GlobalAllocator, ticks: usize) -> usize {
    let kernel = Kernel(heap);
    let mut random = Random(0x5eed);
    let mut refusals = 0;
    let mut tasks: Vec<Vec<Block>> = Vec::new();
    let mut packets: Vec<Block> = Vec::new();
    type Name<'h> = allocator_api2::vec::Vec<u8, Kernel<'h>>;
    let mut names: HashMap<usize, Name<'_>, DefaultHashBuilder, _> = HashMap::new_in(kernel);
    for tick in 0..ticks {
        match task(kernel, &mut random, tick as u8) {
            Some(task) => tasks.push(task),
            None => refusals += 1,
        }
        if tasks.len() > 150 + random.below(100) {
            let ends = random.below(tasks.len());
            tasks.swap_remove(ends).into_iter().for_each(|block| block.free(kernel));
        }
        for _ in 0..20 {
            let bytes = [64, 128, 590, 1514, 1514, 9000][random.below(6)];
            match Block::new(kernel, bytes, 8, tick as u8) {
                Some(packet) => packets.push(packet),
                None => refusals += 1,
            }
        }
        while packets.len() > 400 {
            let sent = random.below(packets.len());
            packets.swap_remove(sent).free(kernel);
        }
        let key = random.below(3000);
        if names.try_reserve(1).is_ok() {
            let mut name = Name::new_in(kernel);
            let text = format!("/usr/share/doc/package-{key}/README");
            if name.try_reserve_exact(text.len()).is_ok() {
                name.extend_from_slice(text.as_bytes());
                names.insert(key, name);
            } else {
                refusals += 1;
            }
        } else {
            refusals += 1;
        }
    }
    for (key, name) in &names {
        assert_eq!(&name[..], format!("/usr/share/doc/package-{key}/README").as_bytes());
    }
    tasks.into_iter().flatten().chain(packets).for_each(|block| block.free(kernel));
    refusals
}

/// Returns the least memory, to 64 KiB, with which nothing is refused.
fn least_bytes(name: &str, ticks: usize) -> usize {
    const STEP_BYTES: usize = 64 << 10;
    let (mut too_few, mut enough) = (0, MEMORY_BYTES / STEP_BYTES);
    while enough - too_few > 1 {
        let steps = (too_few + enough) / 2;
        let arena = memory(steps * STEP_BYTES);
        let refusals = run(&heap(name, &arena), ticks);
        *(if refusals == 0 { &mut enough } else { &mut too_few }) = steps;
    }
    enough * STEP_BYTES
}

fn main() {
    let mut host = Host::new("host_axallocator");
    let ticks = host.pick(500, 5000);
    let arena = memory(MEMORY_BYTES);
    let round = |name: &'static str| -> Duration {
        let heap = heap(name, &arena);
        timed(|| assert_eq!(run(&heap, ticks), 0, "{name} refused with memory left"))
    };
    let turns = [ORIGINAL, OURS].map(|name| turn(name, move || round(name)));
    let mut table = rows(turns.into(), host.pick(3, 15), ORIGINAL);
    for (name, numbers) in &mut table {
        let heap = heap(name, &arena);
        assert_eq!(run(&heap, ticks), 0);
        let taken_bytes = heap.used_pages() * PAGE_BYTES;
        let least_bytes = least_bytes(name, ticks.min(2000));
        // A kernel with half of the memory that it needs.
        let arena = memory(least_bytes / 2 / PAGE_BYTES * PAGE_BYTES);
        let refused = run(&self::heap(name, &arena), ticks.min(2000));
        numbers.extend([mebibytes(taken_bytes), mebibytes(least_bytes), refused as f64]);
    }
    host.table(
        &format!("axalloc with its slab and with ours, {ticks} ticks of a kernel"),
        &["ms", "ratio", "pages, MiB", "least, MiB", "refused"],
        &table,
    );
}
