//! `AxCompat`: any of our allocators behind the traits of `axallocator`.
#![expect(unsafe_code, reason = "axallocator's safe functions work on raw memory")]

use std::alloc::Layout;
use std::ptr::NonNull;

use slab_traits::{AllocError, ByteAllocator};

/// Any [`ByteAllocator`] behind the traits of `axallocator` 0.2.
///
/// # Examples
///
/// ```
/// use std::alloc::Layout;
/// use axallocator::{BaseAllocator, ByteAllocator};
/// use slab_peers::{AxCompat, Talc};
///
/// let mut memory = vec![0u64; 4096];
/// let start = memory.as_mut_ptr().expose_provenance();
/// // SAFETY: the memory given to `init` outlives the heap and nothing else uses it; each block is
/// // freed once, with its layout.
/// let mut heap = unsafe { AxCompat::new(Talc::default()) };
/// heap.init(start, memory.len() * 8);
/// let layout = Layout::new::<[u64; 4]>();
/// let block = heap.alloc(layout).expect("32 KiB hold 32 bytes");
/// heap.dealloc(block, layout);
/// ```
#[derive(Debug)]
pub struct AxCompat<A> {
    inner: A,
}

impl<A> AxCompat<A> {
    /// Wraps an allocator.
    ///
    /// # Safety
    ///
    /// The traits of `axallocator` declare unsafe operations as safe. The caller promises for the
    /// whole life of this value that each range passed to `init` or `add_memory` is memory as
    /// [`slab_traits::BaseAllocator::add_memory`] requires, and that each block passed to `dealloc`
    /// is a live block of this allocator, with the layout it was allocated with.
    pub const unsafe fn new(inner: A) -> Self {
        Self { inner }
    }

    /// Returns the wrapped allocator.
    pub fn into_inner(self) -> A {
        self.inner
    }
}

/// Translates an error into theirs.
fn translate(error: AllocError) -> axallocator::AllocError {
    match error {
        AllocError::MemoryOverlap => axallocator::AllocError::MemoryOverlap,
        AllocError::NoMemory => axallocator::AllocError::NoMemory,
        AllocError::NotAllocated => axallocator::AllocError::NotAllocated,
        _ => axallocator::AllocError::InvalidParam,
    }
}

impl<A: ByteAllocator> axallocator::BaseAllocator for AxCompat<A> {
    /// Adds the first region. This `init` cannot fail: after a refused region the heap has no
    /// memory, and `alloc` returns `NoMemory`.
    fn init(&mut self, start: usize, size: usize) {
        // SAFETY: the caller of `new` promised that every range passed here is such memory.
        let _refused = unsafe { self.inner.init(start, size) };
    }

    fn add_memory(&mut self, start: usize, size: usize) -> axallocator::AllocResult {
        // SAFETY: the caller of `new` promised that every range passed here is such memory.
        unsafe { self.inner.add_memory(start, size) }.map_err(translate)
    }
}

impl<A: ByteAllocator> axallocator::ByteAllocator for AxCompat<A> {
    #[inline]
    fn alloc(&mut self, layout: Layout) -> axallocator::AllocResult<NonNull<u8>> {
        self.inner.alloc(layout).map_err(translate)
    }

    #[inline]
    fn dealloc(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller of `new` promised that every block passed here is live, with its layout.
        unsafe { self.inner.dealloc(block, layout) }
    }

    fn total_bytes(&self) -> usize {
        self.inner.total_bytes()
    }

    fn used_bytes(&self) -> usize {
        self.inner.used_bytes()
    }

    fn available_bytes(&self) -> usize {
        self.inner.available_bytes()
    }
}
