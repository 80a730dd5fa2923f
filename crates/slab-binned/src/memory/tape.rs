//! Tapes: they keep what a value was before it changed, so that a rollback can put it back.
//!
//! A tape is a part of the memory that it watches, and a type parameter chooses it: [`Unwatched`] memory has
//! tapes without code. A tape is *on* from the first checkpoint, and keeps each value once between two
//! checkpoints: a row's stamp is the *epoch* in which it was kept last, and each checkpoint and rollback
//! starts a new epoch. Where there is no memory for an old value, the tape gives up: it forgets everything and
//! stays off until the next checkpoint.

#[cfg(feature = "alloc")]
extern crate alloc;

#[cfg(feature = "alloc")]
use alloc::{boxed::Box, collections::VecDeque, vec::Vec};
use core::fmt;
use core::ops::Range;

use super::chunk::Chunk;
use super::plain::Plain;
#[cfg(feature = "alloc")]
use crate::classes::PAGE_BYTES;

/// Whether changes are kept for a rollback.
pub trait Watch {
    /// Keeps rows of plain values.
    type Values<T: Plain + fmt::Debug>: Tape<T>;
    /// Keeps bytes and chunks.
    type Pages: PageTape;
}

/// Keeps plain values by row.
pub trait Tape<T>: fmt::Debug {
    /// A tape that is off.
    const NEW: Self;

    /// Keeps the value of a row, which is about to change.
    fn keep(&mut self, row: u32, old: &T);
}

/// Keeps the bytes of pages, and what happens to chunks.
pub trait PageTape: fmt::Debug {
    /// A tape that is off.
    const NEW: Self;

    /// Whether the tape needs to know at all.
    const WATCHES: bool;

    /// Keeps pages of a chunk whose bytes are about to change. `content` has the bytes of those pages.
    fn keep(&mut self, chunk: u32, row: &Chunk, pages: Range<u32>, content: &[u8]);

    /// The chunk is about to have more touched pages.
    fn touching(&mut self, chunk: u32, row: &Chunk);

    /// The chunk got memory. `old` is what it was before, if it existed.
    fn acquired(&mut self, chunk: u32, old: Option<Chunk>);

    /// The chunk loses its memory. Returns whether the tape takes it; else it goes back to the source.
    #[must_use]
    fn released(&mut self, chunk: u32, old: Chunk) -> bool;

    /// Forgets everything that is kept and returns a chunk whose memory the tape took, if there is another.
    fn take_chunk(&mut self) -> Option<Chunk>;

    /// Returns the pages of the chunks whose memory the tape took, and the number of those chunks.
    fn chunk_pages(&self) -> (usize, usize);
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy)]
pub struct Unwatched;

impl Watch for Unwatched {
    type Values<T: Plain + fmt::Debug> = Unwatched;
    type Pages = Unwatched;
}

impl<T> Tape<T> for Unwatched {
    const NEW: Self = Self;

    #[inline]
    fn keep(&mut self, _: u32, _: &T) {}
}

impl PageTape for Unwatched {
    const NEW: Self = Self;
    const WATCHES: bool = false;

    #[inline]
    fn keep(&mut self, _: u32, _: &Chunk, _: Range<u32>, _: &[u8]) {}

    #[inline]
    fn touching(&mut self, _: u32, _: &Chunk) {}

    #[inline]
    fn acquired(&mut self, _: u32, _: Option<Chunk>) {}

    #[inline]
    fn released(&mut self, _: u32, _: Chunk) -> bool {
        false
    }

    #[inline]
    fn take_chunk(&mut self) -> Option<Chunk> {
        None
    }

    #[inline]
    fn chunk_pages(&self) -> (usize, usize) {
        (0, 0)
    }
}

/// Keeps what a rollback needs, in memory of the global allocator.
#[cfg(feature = "alloc")]
#[derive(Debug, Clone, Copy)]
pub struct Watched;

#[cfg(feature = "alloc")]
impl Watch for Watched {
    type Values<T: Plain + fmt::Debug> = ValueTape<T>;
    type Pages = ChunkTape;
}

/// Which rows were kept since the last checkpoint.
#[cfg(feature = "alloc")]
#[derive(Debug)]
struct Stamps {
    /// The current epoch; 0 while the tape is off.
    epoch: u32,
    /// By row: the epoch in which it was kept last.
    rows: Vec<u32>,
}

#[cfg(feature = "alloc")]
impl Stamps {
    const NEW: Self = Self { epoch: 0, rows: Vec::new() };

    fn is_on(&self) -> bool {
        self.epoch != 0
    }

    /// Starts an epoch in which no row was kept, and returns whether epochs are counted from 1 again.
    fn start_epoch(&mut self) -> bool {
        let wraps = self.epoch == u32::MAX;
        if wraps {
            self.rows.fill(0);
            self.epoch = 0;
        }
        self.epoch += 1;
        wraps
    }

    fn stop(&mut self) {
        *self = Self::NEW;
    }

    /// Returns whether a row has to be kept: the tape is on, and the row was not kept in this epoch.
    #[inline]
    fn is_due(&self, row: u32) -> bool {
        self.is_on() && self.rows.get(row as usize) != Some(&self.epoch)
    }

    /// Marks a row as kept.
    ///
    /// # Errors
    ///
    /// There is no memory for its stamp.
    fn mark(&mut self, row: u32) -> Result<(), ()> {
        let row = row as usize;
        if row >= self.rows.len() {
            let len = (row + 1).max(2 * self.rows.len());
            self.rows.try_reserve_exact(len - self.rows.len()).map_err(|_| ())?;
            self.rows.resize(len, 0);
        }
        self.rows[row] = self.epoch;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<u32>()
    }
}

/// Entries in the order in which they were kept. Positions count from the first entry that ever was, so that
/// they stay when the oldest are forgotten.
#[cfg(feature = "alloc")]
#[derive(Debug)]
struct Entries<T> {
    entries: VecDeque<T>,
    /// Position of the first entry.
    first: u64,
}

#[cfg(feature = "alloc")]
impl<T> Entries<T> {
    const NEW: Self = Self { entries: VecDeque::new(), first: 0 };

    /// Returns the position behind the last entry.
    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    fn push(&mut self, entry: T) -> Result<(), ()> {
        self.entries.try_reserve(1).map_err(|_| ())?;
        self.entries.push_back(entry);
        Ok(())
    }

    /// Takes the last entry, if it lies at or behind a position.
    fn pop_from(&mut self, start: u64) -> Option<T> {
        if self.end() > start { self.entries.pop_back() } else { None }
    }

    /// Takes the first entry, if it lies before a position.
    fn pop_before(&mut self, end: u64) -> Option<T> {
        if self.first >= end {
            return None;
        }
        let entry = self.entries.pop_front()?;
        self.first += 1;
        Some(entry)
    }
}

/// Keeps plain values.
#[cfg(feature = "alloc")]
#[derive(Debug)]
pub struct ValueTape<T> {
    stamps: Stamps,
    entries: Entries<(u32, T)>,
}

#[cfg(feature = "alloc")]
impl<T: Copy + fmt::Debug> Tape<T> for ValueTape<T> {
    const NEW: Self = Self { stamps: Stamps::NEW, entries: Entries::NEW };

    #[inline]
    fn keep(&mut self, row: u32, old: &T) {
        if self.stamps.is_due(row) {
            self.keep_due(row, *old);
        }
    }
}

#[cfg(feature = "alloc")]
impl<T: Copy> ValueTape<T> {
    #[cold]
    fn keep_due(&mut self, row: u32, old: T) {
        if self.stamps.mark(row).and_then(|()| self.entries.push((row, old))).is_err() {
            self.stop();
        }
    }

    /// Returns whether the tape has everything since the last checkpoint.
    pub fn is_on(&self) -> bool {
        self.stamps.is_on()
    }

    /// Starts an epoch, and returns the position of its first entry.
    pub fn mark(&mut self) -> u64 {
        self.stamps.start_epoch();
        self.entries.end()
    }

    /// Takes the last entry at or behind a position.
    pub fn pop_from(&mut self, position: u64) -> Option<(u32, T)> {
        self.entries.pop_from(position)
    }

    /// Forgets the entries before a position.
    pub fn forget_before(&mut self, position: u64) {
        let count = position.saturating_sub(self.entries.first) as usize;
        let count = count.min(self.entries.entries.len());
        self.entries.entries.drain(..count);
        self.entries.first += count as u64;
    }

    /// Forgets everything, and is off until the next checkpoint.
    pub fn stop(&mut self) {
        self.stamps.stop();
        self.entries = Entries { entries: VecDeque::new(), first: self.entries.end() };
    }

    pub fn memory_bytes(&self) -> usize {
        self.stamps.memory_bytes() + self.entries.entries.capacity() * size_of::<(u32, T)>()
    }
}

/// An entry of a [`ChunkTape`].
#[cfg(feature = "alloc")]
#[derive(Debug)]
pub enum ChunkEntry {
    /// The bytes of a page changed.
    Page { chunk: u32, page: u32, bytes: Box<[u8]> },
    /// More pages of a chunk were touched than these.
    Touched { chunk: u32, touched_pages: u32 },
    /// A chunk got memory.
    Acquired { chunk: u32, old: Option<Chunk> },
    /// A chunk lost its memory, which is the tape's.
    Released { chunk: u32, old: Chunk },
}

/// Keeps pages and chunks. A chunk that is given back stays in memory for as long as a rollback may need it.
///
/// Pages that were not touched at the last checkpoint are not kept: a rollback makes them zero again.
#[cfg(feature = "alloc")]
#[derive(Debug)]
pub struct ChunkTape {
    /// By page number.
    stamps: Stamps,
    /// By chunk: an epoch, and how many pages were touched when that began.
    bases: Vec<(u32, u32)>,
    entries: Entries<ChunkEntry>,
    /// Buffers of pages that were forgotten, to be used again.
    spare: Vec<Box<[u8]>>,
    /// Entries with a page, and those with a chunk.
    kept_pages: usize,
    taken: (usize, usize),
}

#[cfg(feature = "alloc")]
impl PageTape for ChunkTape {
    const NEW: Self = Self {
        stamps: Stamps::NEW,
        bases: Vec::new(),
        entries: Entries::NEW,
        spare: Vec::new(),
        kept_pages: 0,
        taken: (0, 0),
    };
    const WATCHES: bool = true;

    fn keep(&mut self, chunk: u32, row: &Chunk, pages: Range<u32>, content: &[u8]) {
        if !self.stamps.is_on() {
            return;
        }
        let base = self.base(chunk).unwrap_or(row.touched_pages);
        for (page, bytes) in pages.zip(content.chunks_exact(PAGE_BYTES)) {
            let number = row.first_page + page;
            if page < base
                && self.stamps.is_due(number)
                && self.keep_page(chunk, page, number, bytes).is_err()
            {
                self.give_up();
            }
        }
    }

    fn touching(&mut self, chunk: u32, row: &Chunk) {
        if self.stamps.is_on() && self.base(chunk).is_none() {
            let touched_pages = row.touched_pages;
            self.push_event(chunk, touched_pages, ChunkEntry::Touched { chunk, touched_pages });
        }
    }

    fn acquired(&mut self, chunk: u32, old: Option<Chunk>) {
        if self.stamps.is_on() {
            self.push_event(chunk, 0, ChunkEntry::Acquired { chunk, old });
        }
    }

    fn released(&mut self, chunk: u32, old: Chunk) -> bool {
        if self.stamps.is_on() {
            self.push_event(chunk, 0, ChunkEntry::Released { chunk, old });
        }
        let taken = self.stamps.is_on();
        if taken {
            self.taken.0 += old.pages as usize;
            self.taken.1 += 1;
        }
        taken
    }

    fn take_chunk(&mut self) -> Option<Chunk> {
        self.give_up();
        loop {
            if let Some(chunk) = self.forget_one_before(u64::MAX)? {
                return Some(chunk);
            }
        }
    }

    fn chunk_pages(&self) -> (usize, usize) {
        self.taken
    }
}

#[cfg(feature = "alloc")]
impl ChunkTape {
    /// Returns how many pages of a chunk were touched at the last checkpoint, if that has changed since.
    fn base(&self, chunk: u32) -> Option<u32> {
        let &(epoch, touched_pages) = self.bases.get(chunk as usize)?;
        (epoch == self.stamps.epoch).then_some(touched_pages)
    }

    fn keep_page(&mut self, chunk: u32, page: u32, number: u32, old: &[u8]) -> Result<(), ()> {
        self.stamps.mark(number)?;
        let bytes = match self.spare.pop() {
            Some(mut bytes) => {
                bytes.copy_from_slice(old);
                bytes
            }
            None => {
                let mut bytes = Vec::new();
                bytes.try_reserve_exact(PAGE_BYTES).map_err(|_| ())?;
                bytes.extend_from_slice(old);
                bytes.into_boxed_slice()
            }
        };
        self.entries.push(ChunkEntry::Page { chunk, page, bytes })?;
        self.kept_pages += 1;
        Ok(())
    }

    /// Keeps what happened to a chunk, of which `base` touched pages have bytes to keep from now on.
    fn push_event(&mut self, chunk: u32, base: u32, entry: ChunkEntry) {
        let epoch = self.stamps.epoch;
        let row = chunk as usize;
        let len = self.bases.len();
        if row >= len {
            let more = (row + 1).max(2 * len) - len;
            if self.bases.try_reserve_exact(more).is_err() {
                return self.give_up();
            }
            self.bases.resize(len + more, (0, 0));
        }
        match self.entries.push(entry) {
            Ok(()) => self.bases[row] = (epoch, base),
            Err(()) => self.give_up(),
        }
    }

    /// Is off until the next checkpoint. Chunks that were taken wait for a call that has the source.
    fn give_up(&mut self) {
        self.stamps.stop();
        // Epochs are counted from 1 again.
        self.bases.clear();
    }

    /// Returns whether the tape has everything since the last checkpoint.
    pub fn is_on(&self) -> bool {
        self.stamps.is_on()
    }

    /// Starts an epoch, and returns the position of its first entry.
    pub fn mark(&mut self) -> u64 {
        if self.stamps.start_epoch() {
            self.bases.clear();
        }
        self.entries.end()
    }

    /// Takes the last entry at or behind a position. The caller returns the buffer of a page by
    /// [`reuse`](Self::reuse).
    pub fn pop_from(&mut self, position: u64) -> Option<ChunkEntry> {
        let entry = self.entries.pop_from(position)?;
        self.uncount(&entry);
        Some(entry)
    }

    fn uncount(&mut self, entry: &ChunkEntry) {
        match entry {
            ChunkEntry::Page { .. } => self.kept_pages -= 1,
            ChunkEntry::Released { old, .. } => {
                self.taken.0 -= old.pages as usize;
                self.taken.1 -= 1;
            }
            ChunkEntry::Touched { .. } | ChunkEntry::Acquired { .. } => {}
        }
    }

    /// Keeps the buffer of a page for the next one.
    pub fn reuse(&mut self, bytes: Box<[u8]>) {
        if self.spare.try_reserve(1).is_ok() {
            self.spare.push(bytes);
        }
    }

    /// Forgets the first entry before a position: `None` if there is none. Returns the chunk whose memory the
    /// entry has.
    pub fn forget_one_before(&mut self, position: u64) -> Option<Option<Chunk>> {
        let entry = self.entries.pop_before(position)?;
        self.uncount(&entry);
        match entry {
            ChunkEntry::Released { old, .. } => return Some(Some(old)),
            ChunkEntry::Page { bytes, .. } => self.reuse(bytes),
            ChunkEntry::Touched { .. } | ChunkEntry::Acquired { .. } => {}
        }
        Some(None)
    }

    /// Returns the bytes that the tape has from the global allocator.
    pub fn memory_bytes(&self) -> usize {
        self.stamps.memory_bytes()
            + self.bases.capacity() * size_of::<(u32, u32)>()
            + self.entries.entries.capacity() * size_of::<ChunkEntry>()
            + self.spare.capacity() * size_of::<Box<[u8]>>()
            + (self.spare.len() + self.kept_pages) * PAGE_BYTES
    }

    /// Gives the spare buffers back.
    pub fn drop_spare(&mut self) {
        self.spare = Vec::new();
    }
}
