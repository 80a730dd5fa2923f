//! Runs programs of the operation language on a heap behind its adapter, through `Allocator` or through
//! `GlobalAlloc`. The adapter has no hook, or a hook that returns `true` although it may have added no memory.
#![no_main]
#![expect(unsafe_code, reason = "implements unsafe traits by calling the adapter")]

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;

use allocator_api2::alloc::Allocator;
use libfuzzer_sys::fuzz_target;
use slab_bytes::SlabByteAllocator;
use slab_testkit::{Arena, Op, Subject, check};
use slab_traits::{AllocError, AllocResult, BaseAllocator, ByteAllocator, Local, RegionError};

struct Adapted {
    heap: Local<SlabByteAllocator>,
    global: bool,
}

fn reclaim(heap: &Local<SlabByteAllocator>, _: Layout) -> bool {
    // SAFETY: `reclaim` gives back free memory only and leaves the heap in place.
    unsafe { heap.with_inner(|heap| heap.reclaim()) };
    true
}

/// Refuses an empty layout: for it the adapter returns a block in no region, without asking the heap.
fn nonempty(layout: Layout) -> AllocResult {
    if layout.size() == 0 { Err(AllocError::InvalidParam) } else { Ok(()) }
}

impl BaseAllocator for Adapted {
    unsafe fn add_region(&mut self, region: NonNull<[u8]>) -> Result<(), RegionError> {
        // SAFETY: the caller guarantees that the region is valid, unused by others and outlives the heap.
        unsafe { self.heap.add_region(region) }
    }
}

// SAFETY: the adapter returns blocks of the heap, which implements this trait.
unsafe impl ByteAllocator for Adapted {
    fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        nonempty(layout)?;
        if self.global {
            // SAFETY: the layout is not empty.
            NonNull::new(unsafe { GlobalAlloc::alloc(&self.heap, layout) })
                .ok_or(AllocError::NoMemory)
        } else {
            (&self.heap).allocate(layout).map(NonNull::cast).map_err(|_| AllocError::NoMemory)
        }
    }

    fn alloc_zeroed(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        nonempty(layout)?;
        if self.global {
            // SAFETY: the layout is not empty.
            let block = unsafe { GlobalAlloc::alloc_zeroed(&self.heap, layout) };
            NonNull::new(block).ok_or(AllocError::NoMemory)
        } else {
            let block = (&self.heap).allocate_zeroed(layout);
            block.map(NonNull::cast).map_err(|_| AllocError::NoMemory)
        }
    }

    unsafe fn dealloc(&mut self, block: NonNull<u8>, layout: Layout) {
        if self.global {
            // SAFETY: the caller guarantees that the block is live and has this layout.
            unsafe { GlobalAlloc::dealloc(&self.heap, block.as_ptr(), layout) };
        } else {
            // SAFETY: the caller guarantees that the block is live and has this layout.
            unsafe { (&self.heap).deallocate(block, layout) };
        }
    }

    unsafe fn grow(
        &mut self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> AllocResult<NonNull<u8>> {
        // SAFETY: the caller guarantees a live block of layout `old`, and that `new` is not smaller.
        let grown = unsafe { (&self.heap).grow(block, old, new) };
        grown.map(NonNull::cast).map_err(|_| AllocError::NoMemory)
    }

    unsafe fn shrink(
        &mut self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> AllocResult<NonNull<u8>> {
        nonempty(new)?;
        // SAFETY: the caller guarantees a live block of layout `old`, and that `new` is not larger.
        let shrunk = unsafe { (&self.heap).shrink(block, old, new) };
        shrunk.map(NonNull::cast).map_err(|_| AllocError::NoMemory)
    }

    unsafe fn realloc(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        new_size: usize,
    ) -> AllocResult<NonNull<u8>> {
        if new_size == 0 {
            return Err(AllocError::InvalidParam);
        }
        // SAFETY: the caller guarantees a live block of this layout; the new size is not zero.
        let moved = unsafe { GlobalAlloc::realloc(&self.heap, block.as_ptr(), layout, new_size) };
        NonNull::new(moved).ok_or(AllocError::NoMemory)
    }

    fn total_bytes(&self) -> usize {
        self.heap.total_bytes()
    }

    fn used_bytes(&self) -> usize {
        self.heap.used_bytes()
    }

    fn available_bytes(&self) -> usize {
        self.heap.available_bytes()
    }

    fn metadata_bytes(&self) -> usize {
        self.heap.metadata_bytes()
    }
}

// SAFETY: only the adapter reaches the heap, and this subject allows no misuse.
unsafe impl Subject for Adapted {
    fn heap(&mut self) -> &mut dyn ByteAllocator {
        self
    }

    fn validate(&self) -> Result<(), String> {
        // SAFETY: `validate` only reads the heap.
        let outcome = unsafe { self.heap.with_inner(|heap| heap.validate()) };
        outcome.map_err(|inconsistency| inconsistency.to_string())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, program)) = bytes.split_first() else { return };
    let heap = match first / 2 % 2 {
        0 => Local::new(SlabByteAllocator::new()),
        _ => Local::with_hook(SlabByteAllocator::new(), reclaim),
    };
    let sizes = [20_000 + usize::from(first / 4), 5000, 300, 400_000];
    let arenas = sizes.map(|size| Arena::new(size, usize::from(first / 4) * 8)).into();
    let ops = Op::decode(program);
    let report = check(Adapted { heap, global: first % 2 == 0 }, arenas, &ops);
    assert_eq!(report.executed + report.skipped, ops.len());
    slab_fuzz::count(report.executed);
});
