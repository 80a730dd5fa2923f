//! Chunks of bytes: acquired zeroed, so that every byte can be shown; never moved, never copied.
#![expect(unsafe_code, reason = "chunks are raw memory")]

use core::alloc::Layout;
use core::ptr::NonNull;

use allocator_api2::alloc::Allocator;

use super::{Plain, Rows};
use crate::classes::{GRANULE_BYTES, PAGE_BYTES};

/// One chunk: whole pages, the first of which lies at a multiple of the page size.
///
/// # Invariants
///
/// - **C1 (owned)**: where `block` is set, it came from the one source with [`layout`] of `pages`
///   pages, was zeroed, and is used through the chunks alone.
#[derive(Debug, Clone, Copy)]
pub struct Chunk {
    block: Option<NonNull<u8>>,
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

/// The chunks by number.
#[derive(Debug)]
pub struct Chunks {
    rows: Rows<Chunk>,
    count: u32,
    bytes: usize,
}

/// Returns the layout of a chunk's block: a page more than asked for, less what any block is aligned
/// to. Asking for the alignment itself would make most sources zero the memory by hand.
fn layout(pages: u32) -> Option<Layout> {
    let bytes = (pages as usize).checked_mul(PAGE_BYTES)?;
    let padded = bytes.checked_add(PAGE_BYTES - GRANULE_BYTES)?;
    Layout::from_size_align(padded, GRANULE_BYTES).ok()
}

impl Chunks {
    pub const fn new() -> Self {
        Self { rows: Rows::new(), count: 0, bytes: 0 }
    }

    /// Returns how many chunks there are, those without memory included.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Returns the bytes of all chunks. *O*(1).
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the bytes acquired to keep the chunks themselves in order.
    pub fn memory_bytes(&self) -> usize {
        self.rows.memory_bytes()
    }

    /// Returns a chunk. *O*(1).
    #[inline]
    pub fn get(&self, chunk: u32) -> Option<&Chunk> {
        if chunk < self.count { self.rows.get(chunk) } else { None }
    }

    /// Records that pages of a chunk up to `end` may be written, and returns whether those from
    /// `start` on were zero until now.
    pub fn touch(&mut self, chunk: u32, start: u32, end: u32) -> bool {
        let Some(row) = self.rows.get_mut(chunk) else { return false };
        let fresh = start >= row.touched_pages;
        row.touched_pages = row.touched_pages.max(end).min(row.pages);
        fresh
    }

    /// Returns the chunk that a page belongs to. *O*(log chunks).
    pub fn of_page(&self, page: u32) -> Option<u32> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.rows.get(middle)?.first_page <= page {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let chunk = low.checked_sub(1)?;
        let row = self.rows.get(chunk)?;
        (page - row.first_page < row.pages).then_some(chunk)
    }

    /// Acquires memory for a chunk that has none, or for the next one.
    ///
    /// # Errors
    ///
    /// The bytes that the source refused. Nothing has changed.
    pub fn acquire(
        &mut self,
        chunk: u32,
        pages: u32,
        first_page: u32,
        source: &impl Allocator,
    ) -> Result<(), usize> {
        debug_assert!(chunk <= self.count);
        self.rows.reserve(chunk + 1, source)?;
        let layout = layout(pages).ok_or(usize::MAX)?;
        let block = source.allocate_zeroed(layout).map_err(|_| layout.size())?;
        let Some(row) = self.rows.get_mut(chunk) else { return Err(0) };
        debug_assert!(row.block.is_none());
        let room_pages = row.room_pages.max(pages);
        let block = Some(block.cast());
        *row = Chunk { block, pages, room_pages, first_page, touched_pages: 0 };
        self.count = self.count.max(chunk + 1);
        self.bytes += pages as usize * PAGE_BYTES;
        Ok(())
    }

    #[cfg(feature = "alloc")]
    /// Makes the next chunk one without memory, which owns page numbers. For the restoring of a
    /// snapshot.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    pub fn skip(
        &mut self,
        room_pages: u32,
        first_page: u32,
        source: &impl Allocator,
    ) -> Result<(), usize> {
        self.rows.reserve(self.count + 1, source)?;
        let Some(row) = self.rows.get_mut(self.count) else { return Err(0) };
        *row = Chunk { block: None, pages: 0, room_pages, first_page, touched_pages: 0 };
        self.count += 1;
        Ok(())
    }

    #[cfg(feature = "alloc")]
    /// Gives a chunk the page numbers that it owns beside those it has memory for.
    pub fn widen(&mut self, chunk: u32, room_pages: u32) {
        if let Some(row) = self.rows.get_mut(chunk) {
            row.room_pages = row.room_pages.max(room_pages);
        }
    }

    /// Gives a chunk's memory back; its number and its page numbers stay.
    ///
    /// # Safety
    ///
    /// `source` is the one that `acquire` was always called with.
    pub unsafe fn release(&mut self, chunk: u32, source: &impl Allocator) {
        let Some(row) = self.rows.get_mut(chunk) else { return };
        let (Some(block), Some(layout)) = (row.block.take(), layout(row.pages)) else { return };
        self.bytes -= row.pages as usize * PAGE_BYTES;
        (row.pages, row.touched_pages) = (0, 0);
        // SAFETY: by C1 the block came from this source with this layout, and was just forgotten.
        unsafe { source.deallocate(block, layout) };
    }

    /// Gives everything back. If the source unwinds, a second call gives the rest back.
    ///
    /// # Safety
    ///
    /// As [`release`](Self::release).
    pub unsafe fn release_all(&mut self, source: &impl Allocator) {
        for chunk in 0..self.count {
            // SAFETY: the caller's promise is the same.
            unsafe { self.release(chunk, source) };
        }
        self.count = 0;
        // SAFETY: `acquire` reserves rows from the same source.
        unsafe { self.rows.release(source) };
    }

    /// Returns where a stretch of a chunk lies, if it is inside.
    #[inline]
    fn stretch(&self, chunk: u32, offset: usize, len: usize) -> Option<NonNull<[u8]>> {
        let row = self.get(chunk)?;
        let end = offset.checked_add(len)?;
        if end > row.pages as usize * PAGE_BYTES {
            return None;
        }
        let block = row.block?;
        let pad = block.addr().get().wrapping_neg() & (PAGE_BYTES - 1);
        // SAFETY: by C1 the block has `pages` pages and `PAGE_BYTES - 16` bytes more; the pad is at
        // most that, as the block is aligned to 16, and `offset` at most the bytes of the pages.
        let start = unsafe { block.add(pad + offset) };
        Some(NonNull::slice_from_raw_parts(start, len))
    }

    /// Returns a stretch of a chunk's bytes; `None` if it is not inside. *O*(1).
    #[inline]
    pub fn bytes_at(&self, chunk: u32, offset: usize, len: usize) -> Option<&[u8]> {
        let stretch = self.stretch(chunk, offset, len)?;
        // SAFETY: by C1 the stretch is initialised and ours; `&self` keeps writers away.
        Some(unsafe { stretch.as_ref() })
    }

    /// Returns a stretch of a chunk's bytes to be changed; `None` if it is not inside. *O*(1).
    #[inline]
    pub fn bytes_at_mut(&mut self, chunk: u32, offset: usize, len: usize) -> Option<&mut [u8]> {
        let mut stretch = self.stretch(chunk, offset, len)?;
        // SAFETY: by C1 the stretch is initialised and ours; `&mut self` keeps everybody else away.
        Some(unsafe { stretch.as_mut() })
    }
}
