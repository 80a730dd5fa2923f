//! `axallocator` whose slab is chosen at run time: the original one, or ours behind its traits.
//!
//! A kernel that uses [`SlabByteAllocator`] can take ours without a change to its code or to that of ArceOS, by a crate
//! of the same name in `[patch.crates-io]` with a version above the original's. A kernel that wants only ours needs
//! neither the choice nor the `enum`.
#![expect(unsafe_code, reason = "the traits of axallocator declare as safe what is not")]

use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

pub use original::{
    AllocError, AllocResult, BaseAllocator, BitmapPageAllocator, ByteAllocator, IdAllocator,
    PageAllocator,
};
use slab_peers::AxCompat;

/// Whether heaps that are initialised from now on are ours.
static OURS: AtomicBool = AtomicBool::new(false);

/// Chooses the slab of the next heaps: ours or the original.
pub fn choose(ours: bool) {
    OURS.store(ours, Ordering::Relaxed);
}

/// The slab of `axallocator`, or ours.
#[derive(Default)]
pub struct SlabByteAllocator {
    inner: Inner,
}

#[derive(Default)]
#[expect(clippy::large_enum_variant, reason = "a kernel has no heap to box it in yet")]
enum Inner {
    /// Before `init`.
    #[default]
    None,
    Original(original::SlabByteAllocator),
    Ours(AxCompat<slab_bytes::SlabByteAllocator>),
}

impl SlabByteAllocator {
    /// Returns an allocator without memory.
    pub const fn new() -> Self {
        Self { inner: Inner::None }
    }
}

impl BaseAllocator for SlabByteAllocator {
    fn init(&mut self, start: usize, size: usize) {
        if OURS.load(Ordering::Relaxed) {
            // SAFETY: as with the original, the callers of these traits pass only regions and blocks that fit,
            // although the traits do not say `unsafe`.
            let mut ours = unsafe { AxCompat::new(slab_bytes::SlabByteAllocator::new()) };
            ours.init(start, size);
            self.inner = Inner::Ours(ours);
        } else {
            let mut original = original::SlabByteAllocator::new();
            original.init(start, size);
            self.inner = Inner::Original(original);
        }
    }

    fn add_memory(&mut self, start: usize, size: usize) -> AllocResult {
        match &mut self.inner {
            Inner::None => Err(AllocError::InvalidParam),
            Inner::Original(heap) => heap.add_memory(start, size),
            Inner::Ours(heap) => heap.add_memory(start, size),
        }
    }
}

impl ByteAllocator for SlabByteAllocator {
    #[inline]
    fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        match &mut self.inner {
            Inner::None => Err(AllocError::NoMemory),
            Inner::Original(heap) => heap.alloc(layout),
            Inner::Ours(heap) => heap.alloc(layout),
        }
    }

    #[inline]
    fn dealloc(&mut self, block: NonNull<u8>, layout: Layout) {
        match &mut self.inner {
            Inner::None => {}
            Inner::Original(heap) => heap.dealloc(block, layout),
            Inner::Ours(heap) => heap.dealloc(block, layout),
        }
    }

    fn total_bytes(&self) -> usize {
        match &self.inner {
            Inner::None => 0,
            Inner::Original(heap) => heap.total_bytes(),
            Inner::Ours(heap) => heap.total_bytes(),
        }
    }

    fn used_bytes(&self) -> usize {
        match &self.inner {
            Inner::None => 0,
            Inner::Original(heap) => heap.used_bytes(),
            Inner::Ours(heap) => heap.used_bytes(),
        }
    }

    fn available_bytes(&self) -> usize {
        match &self.inner {
            Inner::None => 0,
            Inner::Original(heap) => heap.available_bytes(),
            Inner::Ours(heap) => heap.available_bytes(),
        }
    }
}
