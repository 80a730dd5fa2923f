//! An aligned block of memory that is always initialised.
#![expect(unsafe_code, reason = "memory with an alignment, from the global allocator or an arena")]

use std::alloc::{self, Layout};
use std::ptr::NonNull;
use std::slice;

use crate::arena::Slot;

/// Owned memory of a fixed size and alignment, and a length: the bytes that are visible.
///
/// # Invariants
///
/// - **B1 (allocated)**: without a slot, `start` came from the global allocator for `layout`, whose size is not zero, and was not
///   freed. With one, it is the slot's memory, which has this layout. This value is its only owner.
/// - **B2 (initialised)**: all bytes are initialised: the allocator zeroed them, and they are only written as
///   `u8`, or by callers of [`Block::start`] that promise the same.
/// - **B3 (visible)**: `len` is at most the layout's size.
#[derive(Debug)]
pub struct Block {
    start: NonNull<u8>,
    layout: Layout,
    len: usize,
    slot: Option<Slot>,
}

// SAFETY: by B1 the value is the only owner of the memory, so it may move to another thread.
unsafe impl Send for Block {}
// SAFETY: a shared reference only reads bytes; using the pointer that `start` returns is unsafe.
unsafe impl Sync for Block {}

impl Block {
    /// Returns zeroed memory, all of it visible. `None` if the allocator has none, or there is no such layout.
    pub fn zeroed(bytes: usize, alignment: usize) -> Option<Self> {
        let layout = Layout::from_size_align(bytes.max(1), alignment).ok()?;
        // SAFETY: the layout's size is at least one.
        let start = unsafe { alloc::alloc_zeroed(layout) };
        Some(Self { start: NonNull::new(start)?, layout, len: layout.size(), slot: None })
    }

    /// Returns the memory of an arena's slot, all of it visible. It must be zeroed before it is dropped.
    pub fn in_slot(slot: Slot) -> Self {
        let layout = slot.layout();
        Self { start: slot.start(), layout, len: layout.size(), slot: Some(slot) }
    }

    /// Returns the index of the block in its arena, if it lies in one.
    pub fn arena_index(&self) -> Option<u16> {
        self.slot.as_ref().map(Slot::index)
    }

    /// Returns the size in bytes.
    #[inline(always)]
    pub fn capacity(&self) -> usize {
        self.layout.size()
    }

    /// Returns the alignment in bytes.
    pub fn alignment(&self) -> usize {
        self.layout.align()
    }

    /// Returns the address of the first byte, for a writer that leaves what it writes initialised.
    #[cfg(feature = "bytes")]
    pub fn start(&mut self) -> NonNull<u8> {
        self.start
    }

    /// Returns the address of the first byte, for readers.
    #[inline(always)]
    pub fn address(&self) -> NonNull<u8> {
        self.start
    }

    /// Returns the number of visible bytes.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Sets the number of visible bytes.
    #[inline(always)]
    pub fn set_len(&mut self, len: usize) {
        assert!(len <= self.capacity(), "{len} bytes of {} visible", self.capacity());
        self.len = len;
    }

    /// Returns the visible bytes.
    #[inline(always)]
    pub fn visible(&self) -> &[u8] {
        // SAFETY: `len` initialised bytes from `start` belong to this value (B1, B2, B3), and the shared borrow
        // excludes writers.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// Returns the visible bytes.
    #[inline(always)]
    pub fn visible_mut(&mut self) -> &mut [u8] {
        // SAFETY: `len` initialised bytes from `start` belong to this value (B1, B2, B3), and the borrow is exclusive.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    /// Returns all bytes, visible or not.
    #[inline(always)]
    pub fn all_mut(&mut self) -> &mut [u8] {
        // SAFETY: the layout's size is the number of initialised bytes from `start` (B1, B2), and the borrow is exclusive.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.layout.size()) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if self.slot.is_none() {
            // SAFETY: by B1 the memory is the allocator's, has this layout and is not freed yet; the value ends here.
            unsafe { alloc::dealloc(self.start.as_ptr(), self.layout) }
        }
    }
}
