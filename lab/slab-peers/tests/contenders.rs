//! Every contender keeps the contract on which the lab relies.
#![expect(unsafe_code, reason = "the traits hand out raw memory")]

use std::alloc::Layout;
use std::ptr::NonNull;

use slab_peers::{Contender, Side, contenders};
use slab_traits::{AllocError, ByteAllocator, RegionError};

/// Owned memory, page-aligned, touched only through the heap built on it.
struct Arena {
    memory: NonNull<u8>,
    layout: Layout,
}

impl Arena {
    fn new(size: usize) -> Self {
        let layout = Layout::from_size_align(size, 4096).expect("a small power of two");
        // SAFETY: the size is not zero.
        let memory = unsafe { std::alloc::alloc(layout) };
        Self { memory: NonNull::new(memory).expect("memory for a test"), layout }
    }

    fn region(&self) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.memory, self.layout.size())
    }

    fn heap(&self, contender: &Contender) -> Box<dyn ByteAllocator> {
        // SAFETY: each test drops the heap before the arena and builds one at a time.
        let built = unsafe { contender.build(self.region()) };
        built.unwrap_or_else(|error| panic!("{}: {error}", contender.name()))
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { std::alloc::dealloc(self.memory.as_ptr(), self.layout) }
    }
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a valid layout")
}

#[test]
fn blocks_are_aligned_disjoint_and_inside() {
    let arena = Arena::new(1 << 20);
    let first = arena.memory.addr().get();
    for contender in contenders() {
        let (name, mut heap) = (contender.name(), arena.heap(contender));
        let mut live: Vec<(NonNull<u8>, Layout)> = Vec::new();
        for step in 0..600usize {
            let layout = layout(step * 37 % 900, 1 << (step % 7));
            let block = heap.alloc(layout).expect(name);
            assert!(block.addr().get().is_multiple_of(layout.align()), "{}", name);
            if contender.side() != Side::Reference {
                assert!(block.addr().get() >= first);
                assert!(block.addr().get() + layout.size() <= first + (1 << 20));
            }
            // SAFETY: the block is at least this long.
            unsafe { block.write_bytes(step as u8, layout.size()) };
            live.push((block, layout));
            if step % 3 == 0 {
                let (block, layout) = live.swap_remove(step * 7 % live.len());
                // SAFETY: live, and its layout.
                unsafe { heap.dealloc(block, layout) };
            }
        }
        let mut ranges: Vec<_> =
            live.iter().map(|(b, l)| (b.addr().get(), b.addr().get() + l.size().max(1))).collect();
        ranges.sort_unstable();
        assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{}", name);
        for (block, layout) in live {
            // SAFETY: live, and its layout.
            unsafe { heap.dealloc(block, layout) };
        }
    }
}

#[test]
fn realloc_keeps_the_content() {
    let arena = Arena::new(1 << 20);
    for contender in contenders() {
        let (name, mut heap) = (contender.name(), arena.heap(contender));
        let mut old = layout(24, 16);
        let mut block = heap.alloc(old).expect(name);
        // SAFETY: 24 bytes.
        unsafe { block.write_bytes(0xA7, 24) };
        for size in [24, 40, 300, 5000, 70, 24] {
            // SAFETY: live, and its layout.
            block = unsafe { heap.realloc(block, old, size) }.expect(name);
            old = layout(size, 16);
            // SAFETY: 24 bytes were written, and every size is at least that.
            let kept = unsafe { std::slice::from_raw_parts(block.as_ptr(), 24) };
            assert_eq!(kept, [0xA7; 24], "{} at {size} bytes", name);
        }
        // SAFETY: live, and its layout.
        unsafe { heap.dealloc(block, old) };
    }
}

#[test]
fn exhaustion_is_an_error_and_memory_comes_back() {
    let arena = Arena::new(1 << 17);
    for contender in contenders().iter().filter(|c| c.side() != Side::Reference) {
        let (name, mut heap) = (contender.name(), arena.heap(contender));
        assert_eq!(heap.alloc(layout(1 << 40, 8)), Err(AllocError::NoMemory));
        for _ in 0..3 {
            let mut blocks = Vec::new();
            while let Ok(block) = heap.alloc(layout(1000, 8)) {
                blocks.push(block);
            }
            assert!(blocks.len() > 50, "{}: {} blocks", name, blocks.len());
            for block in blocks {
                // SAFETY: live, and its layout.
                unsafe { heap.dealloc(block, layout(1000, 8)) };
            }
        }
    }
}

#[test]
fn small_and_overlapping_regions_are_refused() {
    let arena = Arena::new(1 << 16);
    for contender in contenders().iter().filter(|c| c.side() != Side::Reference) {
        let tiny = NonNull::slice_from_raw_parts(arena.memory, 7);
        // SAFETY: nothing else uses the arena meanwhile.
        let refused = unsafe { contender.build(tiny) }.err();
        assert!(matches!(refused, Some(RegionError::TooSmall { .. })), "{}", contender.name());
        let (name, mut heap) = (contender.name(), arena.heap(contender));
        // SAFETY: refused, so nothing is used twice.
        let refused = unsafe { heap.add_region(arena.region()) };
        let expected = matches!(
            refused,
            Err(RegionError::Overlap { .. } | RegionError::TooManyRegions { limit: 1 })
        );
        assert!(expected, "{}: {refused:?}", name);
    }
}

#[cfg(feature = "axallocator")]
#[test]
fn ax_compat_implements_their_traits() {
    ax_kernel(slab_bytes::SlabByteAllocator::<slab_core::Checked>::new());
    ax_kernel(slab_peers::Talc::default());
    ax_kernel(slab_peers::Buddy::default());
}

/// Uses a heap as an ArceOS kernel does: an early `alloc`, a small `init`, a later `add_memory`.
#[cfg(feature = "axallocator")]
fn ax_kernel<A: ByteAllocator>(ours: A) {
    use axallocator::{AllocError as AxError, BaseAllocator as _, ByteAllocator as _};

    let arena = Arena::new(1 << 16);
    let start = arena.memory.as_ptr().expose_provenance();
    // SAFETY: only the arena is passed in, and each block is freed once with its layout.
    let mut heap = unsafe { slab_peers::AxCompat::new(ours) };
    assert!(matches!(heap.alloc(layout(8, 8)), Err(AxError::NoMemory)), "before any memory");
    heap.init(start, 1 << 15);
    assert_eq!(heap.total_bytes(), 1 << 15);
    assert!(matches!(heap.add_memory(start + 64, 64), Err(AxError::MemoryOverlap)));
    assert!(heap.add_memory(start + (1 << 15), 1 << 15).is_ok());
    let idle_bytes = (heap.used_bytes(), heap.available_bytes());
    let block = heap.alloc(layout(100, 8)).expect("64 KiB hold 100 bytes");
    assert!(heap.used_bytes() == 0 || heap.used_bytes() >= 100, "all of them or not counted");
    heap.dealloc(block, layout(100, 8));
    assert_eq!((heap.used_bytes(), heap.available_bytes()), idle_bytes);
}
