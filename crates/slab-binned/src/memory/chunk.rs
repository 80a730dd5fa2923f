//! The memory of one chunk.
#![expect(unsafe_code, reason = "chunks are raw memory")]

use core::alloc::Layout;
use core::ptr::NonNull;

use allocator_api2::alloc::Allocator;

use super::plain::Plain;
use crate::classes::{GRANULE_BYTES, PAGE_BYTES};

/// Bytes of a chunk's block beside its pages, so that a page boundary lies in front of them. Asking for the
/// alignment itself would make most sources zero the memory by hand.
pub const CHUNK_PAD_BYTES: usize = PAGE_BYTES - GRANULE_BYTES;

/// Returns the layout of a chunk's block.
fn layout(pages: u32) -> Option<Layout> {
    let bytes = (pages as usize).checked_mul(PAGE_BYTES)?;
    let padded = bytes.checked_add(CHUNK_PAD_BYTES)?;
    Layout::from_size_align(padded, GRANULE_BYTES).ok()
}

/// One chunk: whole pages, the first of which lies at a multiple of the page size.
///
/// # Invariants
///
/// - **C1 (owned)**: where `block` is set, it came from the one source with [`layout`] of `pages`
///   pages, was zeroed, and is used through the chunks alone. It is in one place: a row of the chunks, an
///   entry of their tape, or the `ChunkMemory` of a delta.
#[derive(Debug, Clone, Copy)]
pub struct Chunk {
    pub block: Option<NonNull<u8>>,
    /// Pages of its memory; 0 while it has none.
    pub pages: u32,
    /// Page numbers that it owns, with memory or without.
    pub room_pages: u32,
    /// The number of its first page.
    pub first_page: u32,
    /// Pages from the first on that may have been written; those behind are zero.
    pub touched_pages: u32,
}

// SAFETY: `None` is the null pointer, and zero is a number.
unsafe impl Plain for Chunk {}
// SAFETY: by C1 the block is the chunk's alone.
unsafe impl Send for Chunk {}
// SAFETY: through `&Chunk` bytes are only read.
unsafe impl Sync for Chunk {}

impl Chunk {
    /// Returns memory of so many pages. The caller gives it back or puts it where C1 says.
    ///
    /// # Errors
    ///
    /// The bytes that the source refused.
    pub fn acquire(pages: u32, source: &impl Allocator) -> Result<Self, usize> {
        let layout = layout(pages).ok_or(usize::MAX)?;
        let block = source.allocate_zeroed(layout).map_err(|_| layout.size())?;
        let block = Some(block.cast());
        Ok(Self { block, pages, room_pages: pages, first_page: 0, touched_pages: 0 })
    }

    /// Returns the chunk's memory to the source.
    ///
    /// # Safety
    ///
    /// `source` is the one that the memory came from, and no other copy of this chunk is used again.
    pub unsafe fn give_back(self, source: &impl Allocator) {
        if let (Some(block), Some(layout)) = (self.block, layout(self.pages)) {
            // SAFETY: by C1 the block came from this source with this layout; the caller forgets it.
            unsafe { source.deallocate(block, layout) };
        }
    }
}
