//! Everything that an allocator of blocks acquires, with the source that it comes from.
#![expect(unsafe_code, reason = "gives memory back to the source it came from")]

use allocator_api2::alloc::Allocator;

use super::{Chunks, Plain, Rows};
use crate::record::Record;
use crate::space::{Kind, Line, Lines};

// SAFETY: zero is a number, and `Kind::Edge`.
unsafe impl Plain for Line {}
// SAFETY: zero is a number.
unsafe impl Plain for Record {}

impl Lines for Rows<Line> {
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
pub struct Store<A: Allocator> {
    source: A,
    chunks: Chunks,
    lines: Rows<Line>,
    records: Rows<Record>,
    /// Page numbers that were given to chunks; the next is an edge.
    pages: u32,
    /// Chunks without memory.
    vacant_chunks: u32,
}

impl<A: Allocator> Store<A> {
    pub const fn new(source: A) -> Self {
        let (chunks, lines, records) = (Chunks::new(), Rows::new(), Rows::new());
        Self { source, chunks, lines, records, pages: 0, vacant_chunks: 0 }
    }

    pub fn source(&self) -> &A {
        &self.source
    }

    #[inline]
    pub fn chunks(&self) -> &Chunks {
        &self.chunks
    }

    #[inline]
    pub fn chunks_mut(&mut self) -> &mut Chunks {
        &mut self.chunks
    }

    pub fn lines(&self) -> &Rows<Line> {
        &self.lines
    }

    pub fn lines_mut(&mut self) -> &mut Rows<Line> {
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

    #[cfg(feature = "alloc")]
    /// Makes the next chunk as a snapshot describes it, with memory or without.
    ///
    /// # Errors
    ///
    /// The bytes that the source refused.
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

    /// Gives everything back. If the source unwinds, a second call gives the rest back.
    fn release_all(&mut self) {
        // SAFETY: S1.
        unsafe { self.chunks.release_all(&self.source) };
        // SAFETY: S1.
        unsafe { self.lines.release(&self.source) };
        // SAFETY: S1.
        unsafe { self.records.release(&self.source) };
    }

    /// Returns whether a page is one that is cut into small blocks.
    pub fn is_crumb_page(&self, page: u32) -> bool {
        self.lines.line(page).kind == Kind::Crumb
    }
}

impl<A: Allocator> Drop for Store<A> {
    fn drop(&mut self) {
        /// Gives the rest back if the source unwinds. A second panic is one while the program unwinds, which
        /// aborts it.
        struct Rest<'a, A: Allocator>(&'a mut Store<A>);

        impl<A: Allocator> Drop for Rest<'_, A> {
            fn drop(&mut self) {
                self.0.release_all();
            }
        }

        Rest(self).0.release_all();
    }
}
