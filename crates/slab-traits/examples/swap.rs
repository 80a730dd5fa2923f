//! One program over allocators that are chosen by name when it starts, as a kernel does from its command line.
//!
//! It implements the traits twice: `Bump` hands out a region from its start to its end and takes back the newest
//! block, and `Watched` wraps any allocator and counts its requests. The program counts words in a hash map and
//! knows only `Box<dyn ByteAllocator>`.
//!
//! `cargo run -p slab-traits --example swap [bump | watched | system]` runs one or all of them, and prints the
//! bytes in use after everything was freed.
#![expect(unsafe_code, reason = "implements allocators and gives them memory")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::rc::Rc;

use hashbrown::{DefaultHashBuilder, HashMap};
use slab_traits::{AllocError, AllocResult, BaseAllocator, ByteAllocator, Local, RegionError};

/// Hands out one region from its start to its end.
#[derive(Default)]
struct Bump {
    region: Option<NonNull<[u8]>>,
    used: usize,
}

impl BaseAllocator for Bump {
    unsafe fn add_region(&mut self, region: NonNull<[u8]>) -> Result<(), RegionError> {
        if self.region.is_some() {
            return Err(RegionError::TooManyRegions { limit: 1 });
        }
        self.region = Some(region);
        Ok(())
    }
}

// SAFETY: blocks are aligned parts of the region, which the caller of `add_region` keeps valid. All of them lie
// below `used`, and new ones above it.
unsafe impl ByteAllocator for Bump {
    fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        let region = self.region.ok_or(AllocError::NoMemory)?;
        let start = region.cast::<u8>();
        // SAFETY: `used` does not pass the region's length.
        let next = unsafe { start.add(self.used) };
        let skipped = next.align_offset(layout.align());
        let end = self.used.checked_add(skipped).and_then(|at| at.checked_add(layout.size()));
        let end = end.filter(|&end| end <= region.len()).ok_or(AllocError::NoMemory)?;
        self.used = end;
        // SAFETY: the block ends within the region.
        Ok(unsafe { next.add(skipped) })
    }

    unsafe fn dealloc(&mut self, block: NonNull<u8>, layout: Layout) {
        let Some(region) = self.region else { return };
        let offset = block.addr().get() - region.cast::<u8>().addr().get();
        if offset + layout.size() == self.used {
            self.used = offset;
        }
    }

    fn total_bytes(&self) -> usize {
        self.region.map_or(0, |region| region.len())
    }

    fn used_bytes(&self) -> usize {
        self.used
    }
}

/// The system's allocator. It ignores regions and has no statistics.
struct System;

impl BaseAllocator for System {
    unsafe fn add_region(&mut self, _: NonNull<[u8]>) -> Result<(), RegionError> {
        Ok(())
    }
}

// SAFETY: the system's blocks are aligned and disjoint.
unsafe impl ByteAllocator for System {
    fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        if layout.size() == 0 {
            let aligned = std::ptr::without_provenance_mut(layout.align());
            return NonNull::new(aligned).ok_or(AllocError::InvalidParam);
        }
        // SAFETY: the size is not zero.
        NonNull::new(unsafe { std::alloc::System.alloc(layout) }).ok_or(AllocError::NoMemory)
    }

    unsafe fn dealloc(&mut self, block: NonNull<u8>, layout: Layout) {
        if layout.size() > 0 {
            // SAFETY: the block came from the same allocator with this layout, and the caller frees it once.
            unsafe { std::alloc::System.dealloc(block.as_ptr(), layout) };
        }
    }

    fn total_bytes(&self) -> usize {
        0
    }

    fn used_bytes(&self) -> usize {
        0
    }
}

/// The counts of a `Watched`.
#[derive(Default)]
struct Tally {
    requests: Cell<usize>,
    live_bytes: Cell<usize>,
    peak_bytes: Cell<usize>,
}

/// Any allocator, with a count of its requests.
struct Watched<A: ByteAllocator> {
    inner: A,
    tally: Rc<Tally>,
}

impl<A: ByteAllocator> BaseAllocator for Watched<A> {
    unsafe fn add_region(&mut self, region: NonNull<[u8]>) -> Result<(), RegionError> {
        // SAFETY: the inner method has the same preconditions.
        unsafe { self.inner.add_region(region) }
    }
}

// SAFETY: the blocks are those of the inner allocator.
unsafe impl<A: ByteAllocator> ByteAllocator for Watched<A> {
    fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        let block = self.inner.alloc(layout)?;
        let tally = &self.tally;
        tally.requests.set(tally.requests.get() + 1);
        tally.live_bytes.set(tally.live_bytes.get() + layout.size());
        tally.peak_bytes.set(tally.peak_bytes.get().max(tally.live_bytes.get()));
        Ok(block)
    }

    unsafe fn dealloc(&mut self, block: NonNull<u8>, layout: Layout) {
        self.tally.live_bytes.set(self.tally.live_bytes.get() - layout.size());
        // SAFETY: the inner method has the same preconditions.
        unsafe { self.inner.dealloc(block, layout) };
    }

    fn total_bytes(&self) -> usize {
        self.inner.total_bytes()
    }

    fn used_bytes(&self) -> usize {
        self.inner.used_bytes()
    }
}

/// Returns the most frequent word. Its map lies in the heap.
fn most_frequent<'t>(
    text: &'t str,
    heap: &Local<Box<dyn ByteAllocator>>,
) -> Option<(&'t str, usize)> {
    let mut counts: HashMap<&str, usize, DefaultHashBuilder, _> = HashMap::new_in(heap);
    for word in text.split(|c: char| !c.is_alphabetic()).filter(|word| word.len() > 3) {
        *counts.entry(word).or_default() += 1;
    }
    counts.iter().map(|(word, count)| (*word, *count)).max_by_key(|&(word, count)| (count, word))
}

fn main() {
    let tally = Rc::new(Tally::default());
    let watched = Watched { inner: Bump::default(), tally: Rc::clone(&tally) };
    let mut allocators: BTreeMap<&str, Box<dyn ByteAllocator>> = BTreeMap::new();
    allocators.insert("bump", Box::<Bump>::default());
    allocators.insert("system", Box::new(System));
    allocators.insert("watched", Box::new(watched));
    if let Some(name) = std::env::args().nth(1) {
        allocators.retain(|other, _| **other == *name);
    }

    let text = include_str!("swap.rs");
    for (name, allocator) in allocators {
        let mut memory = vec![0_u8; 256 << 10];
        let heap = Local::new(allocator);
        // SAFETY: the memory outlives the heap and is used through it alone.
        unsafe { heap.add_region(NonNull::from(&mut memory[..])) }.expect("it is the first region");
        let (word, count) = most_frequent(text, &heap).expect("the text has words");
        println!(
            "{name:<8} `{word}` {count} times; all is freed, and {} of {} bytes are in use",
            heap.used_bytes(),
            heap.total_bytes()
        );
    }
    let Tally { requests, peak_bytes, .. } = &*tally;
    if requests.get() > 0 {
        println!(
            "watched: {} requests, {} bytes live at most; bump could not take back the bytes still in use",
            requests.get(),
            peak_bytes.get()
        );
    }
}
