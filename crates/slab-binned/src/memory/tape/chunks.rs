//! The tape of the chunks.

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;

use super::super::chunk::Chunk;
use super::PageTape;
use super::parts::{Entries, Stamps};
use crate::classes::PAGE_BYTES;

/// An entry of a [`ChunkTape`].
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

    /// Returns the entries at and behind a position, the oldest first.
    pub fn since(&self, position: u64) -> impl Iterator<Item = &ChunkEntry> {
        self.entries.since(position)
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
            + self.entries.memory_bytes()
            + self.spare.capacity() * size_of::<Box<[u8]>>()
            + (self.spare.len() + self.kept_pages) * PAGE_BYTES
    }

    /// Gives the spare buffers back.
    pub fn drop_spare(&mut self) {
        self.spare = Vec::new();
    }
}
