//! All memory of an allocator of blocks, and the source that it comes from.
#![expect(unsafe_code, reason = "gives memory back to the source it came from")]

#[cfg(feature = "alloc")]
extern crate alloc;

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

use allocator_api2::alloc::Allocator;

use super::chunk::CHUNK_PAD_BYTES;
#[cfg(feature = "alloc")]
use super::chunk::Chunk;
use super::chunks::Chunks;
use super::plain::Plain;
use super::rows::Rows;
#[cfg(feature = "alloc")]
use super::tape::{ChunkEntry, Watched};
use super::tape::{Tape, Watch};
use crate::classes::PAGE_BYTES;
use crate::record::Record;
use crate::space::{Kind, Line, Lines};

// SAFETY: zero is a number, and `Kind::Edge`.
unsafe impl Plain for Line {}
// SAFETY: zero is a number.
unsafe impl Plain for Record {}

impl<S: Tape<Line>> Lines for Rows<Line, S> {
    #[inline]
    fn line(&self, page: u32) -> Line {
        self.get(page).copied().unwrap_or_default()
    }

    #[inline]
    fn set_line(&mut self, page: u32, line: Line) {
        if let Some(place) = self.get_mut(page) {
            *place = line;
        }
    }
}

/// Chunks, the lines of their pages and the records of their blocks.
///
/// # Invariants
///
/// - **S1 (one source)**: all three were only ever used with `source`.
#[derive(Debug)]
pub struct Store<A: Allocator, W: Watch> {
    source: A,
    chunks: Chunks<W::Pages>,
    lines: Rows<Line, W::Values<Line>>,
    records: Rows<Record, W::Values<Record>>,
    /// Page numbers that were given to chunks; the next is an edge.
    pages: u32,
    /// Chunks without memory.
    vacant_chunks: u32,
}

impl<A: Allocator, W: Watch> Store<A, W> {
    pub const fn new(source: A) -> Self {
        Self {
            source,
            chunks: Chunks::new(),
            lines: Rows::new(),
            records: Rows::new(),
            pages: 0,
            vacant_chunks: 0,
        }
    }

    /// Returns a copy whose memory comes from `source`, with the first `record_count` records.
    ///
    /// # Errors
    ///
    /// The bytes that the source refused.
    pub fn try_clone(&self, record_count: u32, source: A) -> Result<Self, usize> {
        let mut clone = Self::new(source);
        clone.records.copy_from(&self.records, record_count, &clone.source)?;
        // One line more than pages, on either side of them.
        clone.lines.copy_from(&self.lines, self.pages + 2, &clone.source)?;
        for chunk in 0..self.chunks.count() {
            let Some(row) = self.chunks.get(chunk) else { continue };
            let touched_bytes = row.touched_pages as usize * PAGE_BYTES;
            let content = self.chunks.bytes_at(chunk, 0, touched_bytes).unwrap_or_default();
            clone.chunks.copy_chunk(row, content, &clone.source)?;
        }
        (clone.pages, clone.vacant_chunks) = (self.pages, self.vacant_chunks);
        Ok(clone)
    }

    pub fn source(&self) -> &A {
        &self.source
    }

    #[inline]
    pub fn chunks(&self) -> &Chunks<W::Pages> {
        &self.chunks
    }

    #[inline]
    pub fn chunks_mut(&mut self) -> &mut Chunks<W::Pages> {
        &mut self.chunks
    }

    pub fn lines(&self) -> &Rows<Line, W::Values<Line>> {
        &self.lines
    }

    pub fn lines_mut(&mut self) -> &mut Rows<Line, W::Values<Line>> {
        &mut self.lines
    }

    #[inline]
    pub fn record(&self, index: u32) -> Option<&Record> {
        self.records.get(index)
    }

    #[inline]
    pub fn record_mut(&mut self, index: u32) -> Option<&mut Record> {
        self.records.get_mut(index)
    }

    /// Makes sure that there is memory for `count` records.
    ///
    /// # Errors
    ///
    /// The bytes that the source refused.
    pub fn reserve_records(&mut self, count: u32) -> Result<(), usize> {
        self.records.reserve(count, &self.source)
    }

    /// Acquires a chunk and returns its number and the number of its first page. A chunk that was
    /// given back and is large enough is used again, the lowest of several; its page numbers are its
    /// own. *O*(1), and *O*(chunks) after a trim.
    ///
    /// # Errors
    ///
    /// The bytes that the source refused. Nothing has changed.
    pub fn acquire_chunk(&mut self, pages: u32) -> Result<(u32, u32), usize> {
        let (chunk, first_page) = match self.vacant_chunk(pages) {
            Some(known) => known,
            None => (self.chunks.count(), self.pages + 1),
        };
        let end = first_page.checked_add(pages).ok_or(usize::MAX)?;
        self.lines.reserve(end.checked_add(1).ok_or(usize::MAX)?, &self.source)?;
        let known = chunk < self.chunks.count();
        self.chunks.acquire(chunk, pages, first_page, &self.source)?;
        // A chunk that was longer before has lines behind its new end.
        self.lines.set_line(end, Line::default());
        self.vacant_chunks -= u32::from(known);
        self.pages = self.pages.max(end);
        Ok((chunk, first_page))
    }

    /// Makes the next chunk as a snapshot describes it, with memory or without.
    ///
    /// # Errors
    ///
    /// The bytes that the source refused.
    #[cfg(feature = "alloc")]
    pub fn restore_chunk(&mut self, pages: u32, room_pages: u32) -> Result<(u32, u32), usize> {
        let (chunk, first_page) = (self.chunks.count(), self.pages + 1);
        let end = first_page.checked_add(room_pages).ok_or(usize::MAX)?;
        self.lines.reserve(end.checked_add(1).ok_or(usize::MAX)?, &self.source)?;
        if pages == 0 {
            self.chunks.skip(room_pages, first_page, &self.source)?;
            self.vacant_chunks += 1;
        } else {
            self.chunks.acquire(chunk, pages, first_page, &self.source)?;
            self.chunks.widen(chunk, room_pages);
        }
        self.pages = end;
        Ok((chunk, first_page))
    }

    /// Gives the memory of a chunk back, of which no page is in use any more.
    pub fn release_chunk(&mut self, chunk: u32) {
        if self.chunks.get(chunk).is_some_and(|row| row.pages != 0) {
            self.vacant_chunks += 1;
        }
        // SAFETY: S1.
        unsafe { self.chunks.release(chunk, &self.source) };
    }

    /// Acquires memory for chunks of so many pages, and makes room for the descriptors of `count` chunks, for lines of
    /// page numbers up to `last_page` and for `record_count` records.
    ///
    /// # Errors
    ///
    /// The bytes that the source refused, or for which there is no memory. Nothing that can be seen has changed.
    #[cfg(feature = "alloc")]
    pub fn prepare(
        &mut self,
        count: u32,
        last_page: u32,
        record_count: u32,
        pages: impl ExactSizeIterator<Item = u32>,
    ) -> Result<ChunkMemory, usize> {
        self.chunks.reserve(count, &self.source)?;
        self.lines.reserve(last_page.checked_add(2).ok_or(usize::MAX)?, &self.source)?;
        self.records.reserve(record_count, &self.source)?;
        let mut memory = ChunkMemory { fresh: Vec::new(), old: Vec::new() };
        for list in [&mut memory.fresh, &mut memory.old] {
            let bytes = pages.len() * size_of::<Chunk>();
            list.try_reserve_exact(pages.len()).map_err(|_| bytes)?;
        }
        let mut acquired = Surplus { memory, source: &self.source };
        for pages in pages {
            if pages != 0 {
                acquired.memory.fresh.push(Chunk::acquire(pages, &self.source)?);
            }
        }
        acquired.memory.fresh.reverse();
        Ok(core::mem::take(&mut acquired.memory))
    }

    /// Makes a chunk one with other memory, all zero, or with none: one that is there, or the next one. Called for the
    /// chunks that [`prepare`](Self::prepare) was called for, in that order.
    #[cfg(feature = "alloc")]
    pub fn replace_chunk(&mut self, chunk: u32, new: ReplacedChunk, memory: &mut ChunkMemory) {
        let ReplacedChunk { pages, room_pages, first_page } = new;
        let known = chunk < self.chunks.count();
        let had_memory = self.chunks.get(chunk).is_some_and(|row| row.pages != 0);
        memory.old.extend(self.chunks.remove(chunk));
        self.vacant_chunks += u32::from(had_memory);
        let fresh = if pages == 0 { None } else { memory.fresh.pop() };
        if let Some(fresh) = fresh {
            self.chunks.install(chunk, first_page, fresh);
            self.chunks.widen(chunk, room_pages);
            self.lines.set_line(first_page + pages, Line::default());
            self.vacant_chunks -= u32::from(known);
        } else if !known {
            let skipped = self.chunks.skip(room_pages, first_page, &self.source);
            debug_assert!(skipped.is_ok(), "room was prepared");
            self.vacant_chunks += 1;
        }
        self.pages = self.pages.max(first_page + room_pages);
    }

    /// Gives back the memory of chunks that were replaced.
    #[cfg(feature = "alloc")]
    pub fn give_back(&self, memory: ChunkMemory) {
        drop(Surplus { memory, source: &self.source });
    }

    fn vacant_chunk(&self, pages: u32) -> Option<(u32, u32)> {
        if self.vacant_chunks == 0 {
            return None;
        }
        (0..self.chunks.count()).find_map(|chunk| {
            let row = self.chunks.get(chunk)?;
            (row.pages == 0 && row.room_pages >= pages).then_some((chunk, row.first_page))
        })
    }

    /// Returns the bytes of records, lines and chunk descriptors.
    pub fn metadata_bytes(&self) -> usize {
        self.lines.memory_bytes() + self.records.memory_bytes() + self.chunks.memory_bytes()
    }

    /// Returns the bytes requested from the source.
    pub fn held_bytes(&self) -> usize {
        let (kept_pages, kept_chunks) = self.chunks.kept();
        let with_memory = (self.chunks.count() - self.vacant_chunks) as usize + kept_chunks;
        let chunk_bytes = self.chunks.bytes() + kept_pages * PAGE_BYTES;
        chunk_bytes + with_memory * CHUNK_PAD_BYTES + self.metadata_bytes()
    }

    /// Gives everything back. If the source unwinds, a second call gives the rest back.
    fn release_all(&mut self) {
        // SAFETY: by S1 all three came from this source.
        unsafe {
            self.chunks.release_all(&self.source);
            self.lines.release(&self.source);
            self.records.release(&self.source);
        }
    }

    /// Returns whether a page is cut into small blocks.
    pub fn is_small_page(&self, page: u32) -> bool {
        self.lines.line(page).kind == Kind::Small
    }
}

/// The new place of a chunk, see [`Store::replace_chunk`].
#[cfg(feature = "alloc")]
#[derive(Debug, Clone, Copy)]
pub struct ReplacedChunk {
    pub pages: u32,
    pub room_pages: u32,
    pub first_page: u32,
}

/// Memory of chunks that are about to be installed, the first one last, and of chunks that were replaced.
#[cfg(feature = "alloc")]
#[derive(Debug, Default)]
#[must_use]
pub struct ChunkMemory {
    fresh: Vec<Chunk>,
    old: Vec<Chunk>,
}

/// Memory that goes back to the source when it is dropped. If the source unwinds, so does the remainder; a second
/// panic is one while the program unwinds, which aborts it.
#[cfg(feature = "alloc")]
struct Surplus<'a, A: Allocator> {
    memory: ChunkMemory,
    source: &'a A,
}

#[cfg(feature = "alloc")]
impl<A: Allocator> Surplus<'_, A> {
    fn run(&mut self) {
        while let Some(chunk) = self.memory.fresh.pop().or_else(|| self.memory.old.pop()) {
            // SAFETY: by S1 the memory came from this source; the list has just forgotten it.
            unsafe { chunk.give_back(self.source) };
        }
    }
}

#[cfg(feature = "alloc")]
impl<A: Allocator> Drop for Surplus<'_, A> {
    fn drop(&mut self) {
        struct Remainder<'a, 'b, A: Allocator>(&'a mut Surplus<'b, A>);

        impl<A: Allocator> Drop for Remainder<'_, '_, A> {
            fn drop(&mut self) {
                self.0.run();
            }
        }

        Remainder(self).0.run();
    }
}

/// Where the tapes were at a checkpoint, and the numbers that they do not keep.
#[cfg(feature = "alloc")]
#[derive(Debug, Clone, Copy)]
pub struct StoreMark {
    chunks: u64,
    lines: u64,
    records: u64,
    pages: u32,
    vacant_chunks: u32,
}

#[cfg(feature = "alloc")]
impl<A: Allocator> Store<A, Watched> {
    /// Returns whether all tapes have everything since the last checkpoint.
    pub fn is_watched(&self) -> bool {
        self.chunks.tape().is_on() && self.lines.tape().is_on() && self.records.tape().is_on()
    }

    /// Starts an epoch of the tapes.
    pub fn mark(&mut self) -> StoreMark {
        StoreMark {
            chunks: self.chunks.tape_mut().mark(),
            lines: self.lines.tape_mut().mark(),
            records: self.records.tape_mut().mark(),
            pages: self.pages,
            vacant_chunks: self.vacant_chunks,
        }
    }

    /// Undoes every change since a mark. If the source unwinds, a second call undoes the remainder.
    pub fn rewind(&mut self, to: &StoreMark) {
        self.records.rewind(to.records);
        self.lines.rewind(to.lines);
        (self.pages, self.vacant_chunks) = (to.pages, to.vacant_chunks);
        // SAFETY: S1.
        unsafe { self.chunks.rewind(to.chunks, &self.source) };
    }

    /// Returns the records and lines that changed since a mark, each perhaps more than once, and what happened to
    /// chunks.
    pub fn changes_since(
        &self,
        mark: &StoreMark,
    ) -> (impl Iterator<Item = u32>, impl Iterator<Item = u32>, impl Iterator<Item = &ChunkEntry>)
    {
        let records = self.records.tape().rows_since(mark.records);
        let lines = self.lines.tape().rows_since(mark.lines);
        (records, lines, self.chunks.tape().since(mark.chunks))
    }

    /// Forgets how to undo what was done before a mark.
    pub fn forget_before(&mut self, mark: &StoreMark) {
        self.records.tape_mut().forget_before(mark.records);
        self.lines.tape_mut().forget_before(mark.lines);
        // SAFETY: S1.
        unsafe { self.chunks.forget_before(mark.chunks, &self.source) };
    }

    /// Turns the tapes off.
    pub fn stop(&mut self) {
        self.records.tape_mut().stop();
        self.lines.tape_mut().stop();
        // SAFETY: S1.
        unsafe { self.chunks.stop_tape(&self.source) };
    }

    /// Returns the bytes that the tapes have from the global allocator.
    pub fn tape_bytes(&self) -> usize {
        self.chunks.tape().memory_bytes()
            + self.lines.tape().memory_bytes()
            + self.records.tape().memory_bytes()
    }
}

impl<A: Allocator, W: Watch> Drop for Store<A, W> {
    fn drop(&mut self) {
        /// Gives the remainder back if the source unwinds. A second panic is one while the program unwinds,
        /// which aborts it.
        struct Release<'a, A: Allocator, W: Watch>(&'a mut Store<A, W>);

        impl<A: Allocator, W: Watch> Drop for Release<'_, A, W> {
            fn drop(&mut self) {
                self.0.release_all();
            }
        }

        Release(self).0.release_all();
    }
}
