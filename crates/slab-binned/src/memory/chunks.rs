//! Chunks of bytes: acquired zeroed, so that every byte can be shown; never moved, never copied.
#![expect(unsafe_code, reason = "chunks are raw memory")]

use core::ptr::NonNull;

use allocator_api2::alloc::Allocator;

use super::chunk::Chunk;
use super::rows::Rows;
#[cfg(feature = "alloc")]
use super::tape::{ChunkEntry, ChunkTape};
use super::tape::{PageTape, Unwatched};
use crate::classes::PAGE_BYTES;

/// The chunks by number.
#[derive(Debug)]
pub struct Chunks<P = Unwatched> {
    rows: Rows<Chunk>,
    count: u32,
    bytes: usize,
    tape: P,
}

impl<P: PageTape> Chunks<P> {
    pub const fn new() -> Self {
        Self { rows: Rows::new(), count: 0, bytes: 0, tape: P::NEW }
    }

    /// Returns how many chunks there are, those without memory included.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Returns the bytes of all chunks. *O*(1).
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the pages of chunks that were given back and are kept for a rollback, and the number of those
    /// chunks.
    pub fn kept(&self) -> (usize, usize) {
        self.tape.chunk_pages()
    }

    /// Returns the bytes acquired for the descriptors of the chunks.
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
        let touched_pages = row.touched_pages.max(end).min(row.pages);
        if touched_pages != row.touched_pages {
            self.tape.touching(chunk, row);
        }
        row.touched_pages = touched_pages;
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
        let fresh = Chunk::acquire(pages, source)?;
        debug_assert!(self.get(chunk).is_none_or(|row| row.block.is_none()));
        self.install(chunk, first_page, fresh);
        Ok(())
    }

    /// Makes sure that there is memory for the descriptors of `count` chunks.
    ///
    /// # Errors
    ///
    /// The bytes that the source refused.
    #[cfg(feature = "alloc")]
    pub fn reserve(&mut self, count: u32, source: &impl Allocator) -> Result<(), usize> {
        self.rows.reserve(count, source)
    }

    /// Gives a chunk memory that [`Chunk::acquire`] returned: one without memory, or the next one. There is a row for
    /// it.
    pub fn install(&mut self, chunk: u32, first_page: u32, fresh: Chunk) {
        let Some(row) = self.rows.get_mut(chunk) else { return };
        let room_pages = row.room_pages.max(fresh.pages);
        self.tape.acquired(chunk, (chunk < self.count).then_some(*row));
        *row = Chunk { room_pages, first_page, ..fresh };
        self.count = self.count.max(chunk + 1);
        self.bytes += fresh.pages as usize * PAGE_BYTES;
    }

    /// Makes the next chunk one without memory, which owns page numbers. For restoring and cloning.
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
        self.tape.acquired(self.count, None);
        *row = Chunk { block: None, pages: 0, room_pages, first_page, touched_pages: 0 };
        self.count += 1;
        Ok(())
    }

    /// Gives a chunk the page numbers that it owns beside those it has memory for.
    pub fn widen(&mut self, chunk: u32, room_pages: u32) {
        if let Some(row) = self.rows.get_mut(chunk) {
            row.room_pages = row.room_pages.max(room_pages);
        }
    }

    /// Makes the next chunk a copy of another one.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    pub fn copy_chunk(
        &mut self,
        row: &Chunk,
        content: &[u8],
        source: &impl Allocator,
    ) -> Result<(), usize> {
        let chunk = self.count;
        if row.pages == 0 {
            return self.skip(row.room_pages, row.first_page, source);
        }
        self.acquire(chunk, row.pages, row.first_page, source)?;
        self.widen(chunk, row.room_pages);
        self.touch(chunk, 0, row.touched_pages);
        if let Some(bytes) = self.bytes_at_mut(chunk, 0, content.len()) {
            bytes.copy_from_slice(content);
        }
        Ok(())
    }

    /// Gives a chunk's memory back; its number and its page numbers stay.
    ///
    /// # Safety
    ///
    /// `source` is the one that `acquire` was always called with.
    pub unsafe fn release(&mut self, chunk: u32, source: &impl Allocator) {
        if let Some(old) = self.remove(chunk) {
            // SAFETY: the caller guarantees the source; the row has just forgotten the block.
            unsafe { old.give_back(source) };
        }
    }

    /// Takes a chunk's memory away; its number and its page numbers stay. Returns the memory, unless the tape keeps
    /// it.
    pub fn remove(&mut self, chunk: u32) -> Option<Chunk> {
        let row = self.rows.get_mut(chunk)?;
        let old = *row;
        old.block?;
        self.bytes -= old.pages as usize * PAGE_BYTES;
        (row.block, row.pages, row.touched_pages) = (None, 0, 0);
        (!self.tape.released(chunk, old)).then_some(old)
    }

    /// Gives everything back. If the source unwinds, a second call gives the rest back.
    ///
    /// # Safety
    ///
    /// As [`release`](Self::release).
    pub unsafe fn release_all(&mut self, source: &impl Allocator) {
        while let Some(chunk) = self.tape.take_chunk() {
            // SAFETY: the caller guarantees the source; the tape has just forgotten the block.
            unsafe { chunk.give_back(source) };
        }
        for chunk in 0..self.count {
            // SAFETY: the caller guarantees the source.
            unsafe { self.release(chunk, source) };
        }
        self.count = 0;
        // SAFETY: `acquire` reserves rows from the source that the caller guarantees.
        unsafe { self.rows.release(source) };
    }

    /// Returns the address of a stretch of a chunk, if it is inside.
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
        // SAFETY: by C1 the stretch is initialised and the chunk's alone; `&self` excludes writers.
        Some(unsafe { stretch.as_ref() })
    }

    /// Returns a stretch of a chunk's bytes to be changed; `None` if it is not inside. *O*(1).
    #[inline]
    pub fn bytes_at_mut(&mut self, chunk: u32, offset: usize, len: usize) -> Option<&mut [u8]> {
        if P::WATCHES {
            self.keep(chunk, offset, len);
        }
        self.raw_bytes_at_mut(chunk, offset, len)
    }

    /// Lets the tape keep the pages under a stretch.
    fn keep(&mut self, chunk: u32, offset: usize, len: usize) {
        let Some(end) = offset.checked_add(len) else { return };
        let pages = offset / PAGE_BYTES..end.div_ceil(PAGE_BYTES);
        let (start, bytes) = (pages.start * PAGE_BYTES, pages.len() * PAGE_BYTES);
        let Some(stretch) = self.stretch(chunk, start, bytes) else { return };
        let Some(row) = self.rows.get(chunk) else { return };
        // SAFETY: by C1 the stretch is initialised and the chunk's alone; the tape has no access to it but
        // this slice.
        let content = unsafe { stretch.as_ref() };
        self.tape.keep(chunk, row, pages.start as u32..pages.end as u32, content);
    }

    /// As `bytes_at_mut`, without the tape.
    #[inline]
    fn raw_bytes_at_mut(&mut self, chunk: u32, offset: usize, len: usize) -> Option<&mut [u8]> {
        let mut stretch = self.stretch(chunk, offset, len)?;
        // SAFETY: by C1 the stretch is initialised and the chunk's alone; `&mut self` excludes every other
        // access.
        Some(unsafe { stretch.as_mut() })
    }
}

#[cfg(feature = "alloc")]
impl Chunks<ChunkTape> {
    pub fn tape(&self) -> &ChunkTape {
        &self.tape
    }

    pub fn tape_mut(&mut self) -> &mut ChunkTape {
        &mut self.tape
    }

    /// Undoes every change since a position of the tape, the last one first. If the source unwinds, a second
    /// call undoes the remainder.
    ///
    /// # Safety
    ///
    /// As [`release`](Self::release).
    pub unsafe fn rewind(&mut self, position: u64, source: &impl Allocator) {
        while let Some(entry) = self.tape.pop_from(position) {
            match entry {
                ChunkEntry::Page { chunk, page, bytes } => {
                    let offset = page as usize * PAGE_BYTES;
                    if let Some(place) = self.raw_bytes_at_mut(chunk, offset, PAGE_BYTES) {
                        place.copy_from_slice(&bytes);
                    }
                    self.tape.reuse(bytes);
                }
                ChunkEntry::Touched { chunk, touched_pages } => {
                    let Some(row) = self.rows.get_mut(chunk) else { continue };
                    let fresh = row.touched_pages.saturating_sub(touched_pages);
                    row.touched_pages = touched_pages;
                    let (offset, len) = (touched_pages as usize, fresh as usize);
                    let place = self.raw_bytes_at_mut(chunk, offset * PAGE_BYTES, len * PAGE_BYTES);
                    place.unwrap_or_default().fill(0);
                }
                ChunkEntry::Acquired { chunk, old } => {
                    let Some(row) = self.rows.get_mut(chunk) else { continue };
                    let acquired = *row;
                    match old {
                        Some(old) => *row = old,
                        None => {
                            (row.block, row.pages, row.room_pages) = (None, 0, 0);
                            (row.first_page, row.touched_pages) = (0, 0);
                            self.count = chunk;
                        }
                    }
                    self.bytes -= acquired.pages as usize * PAGE_BYTES;
                    // SAFETY: the caller guarantees the source; the row has just forgotten the block.
                    unsafe { acquired.give_back(source) };
                }
                ChunkEntry::Released { chunk, old } => {
                    let Some(row) = self.rows.get_mut(chunk) else { continue };
                    *row = old;
                    self.bytes += old.pages as usize * PAGE_BYTES;
                }
            }
        }
        self.tape.mark();
    }

    /// Forgets the entries of the tape before a position. If the source unwinds, a later call forgets the
    /// remainder.
    ///
    /// # Safety
    ///
    /// As [`release`](Self::release).
    pub unsafe fn forget_before(&mut self, position: u64, source: &impl Allocator) {
        while let Some(chunk) = self.tape.forget_one_before(position) {
            if let Some(chunk) = chunk {
                // SAFETY: the caller guarantees the source; the tape has just forgotten the block.
                unsafe { chunk.give_back(source) };
            }
        }
    }

    /// Forgets everything on the tape, which is off until the next checkpoint.
    ///
    /// # Safety
    ///
    /// As [`release`](Self::release).
    pub unsafe fn stop_tape(&mut self, source: &impl Allocator) {
        while let Some(chunk) = self.tape.take_chunk() {
            // SAFETY: the caller guarantees the source; the tape has just forgotten the block.
            unsafe { chunk.give_back(source) };
        }
        self.tape.drop_spare();
    }
}
