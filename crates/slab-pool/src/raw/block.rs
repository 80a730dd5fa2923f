//! An aligned block of memory that is initialised from its first moment to its last.

use std::alloc::{self, Layout};
use std::ptr::NonNull;
use std::slice;

/// Owned memory of a fixed size and alignment.
///
/// # Invariants
///
/// - **B1 (allocated)**: `start` came from the global allocator for `layout`, whose size is not zero, and was not
///   freed; this value is its only owner.
/// - **B2 (initialised)**: all bytes are initialised: zeroed by the allocator, and only ever written to as
///   `u8`, or by callers of [`Block::start`] who promise the same.
/// - **B3 (visible)**: `len` is at most the layout's size.
#[derive(Debug)]
pub struct Block {
    start: NonNull<u8>,
    layout: Layout,
    /// How much of it is visible.
    len: usize,
}

// SAFETY: by B1 nobody else refers to the memory, so it belongs to whoever owns the value.
unsafe impl Send for Block {}
// SAFETY: through a shared reference bytes are only read; `start` is a pointer whose use is unsafe.
unsafe impl Sync for Block {}

impl Block {
    /// Returns zeroed memory, all of it visible, or `None` if there is none, or no such layout.
    pub fn zeroed(bytes: usize, alignment: usize) -> Option<Self> {
        let layout = Layout::from_size_align(bytes.max(1), alignment).ok()?;
        // SAFETY: the layout's size is at least one.
        let start = unsafe { alloc::alloc_zeroed(layout) };
        Some(Self { start: NonNull::new(start)?, layout, len: layout.size() })
    }

    /// Returns the size in bytes.
    #[inline(always)]
    pub fn bytes(&self) -> usize {
        self.layout.size()
    }

    /// Returns the alignment in bytes.
    pub fn alignment(&self) -> usize {
        self.layout.align()
    }

    /// Returns the first byte's address, for a writer that leaves what it writes initialised.
    #[cfg(feature = "bytes")]
    pub fn start(&mut self) -> NonNull<u8> {
        self.start
    }

    /// Returns how many bytes are visible.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Sets how many bytes are visible.
    #[inline(always)]
    pub fn set_len(&mut self, len: usize) {
        assert!(len <= self.bytes(), "{len} bytes of {} visible", self.bytes());
        self.len = len;
    }

    /// Returns the visible bytes.
    #[inline(always)]
    pub fn visible(&self) -> &[u8] {
        // SAFETY: B1 makes the memory readable while `self` is borrowed, B2 makes it bytes, B3 keeps within it; the
        // borrow keeps writers out.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// Returns the visible bytes, to be written to.
    #[inline(always)]
    pub fn visible_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the borrow is exclusive.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    /// Returns all bytes, to be written to.
    #[inline(always)]
    pub fn all_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, for the whole layout.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.layout.size()) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: B1, and the value is gone after this.
        unsafe { alloc::dealloc(self.start.as_ptr(), self.layout) }
    }
}
