//! Giving memory back to the source.

use allocator_api2::alloc::Allocator;

use crate::allocator::BlockAllocator;
use crate::bin::List;
use crate::classes::PAGE_BYTES;
use crate::error::BinnedError;
use crate::journal::Journal;
use crate::journal::sealed::Sink;
use crate::record::{NONE, Record};
use crate::small_page::SmallPage;
use crate::space::{Kind, Line, Lines};

/// Mark in the line of a page of small blocks in which a live block lies. Valid during a trim only.
const PINNED: u32 = 1;

impl<A: Allocator, J: Journal> BlockAllocator<A, J> {
    /// Returns idle memory to the source without moving a block, and returns how many bytes that
    /// were. *O*(indices + chunks · log free runs).
    ///
    /// Dead blocks lose their classes: each page without a live block becomes free for blocks of any
    /// size, and each chunk without one goes back to the memory source. Dead blocks that share a page
    /// with a live one stay in their bins, in the same order. Indices that lose their block are used
    /// again, with higher generations.
    ///
    /// # Errors
    ///
    /// With a log, [`BinnedError::OutOfMemory`]. Nothing has changed.
    ///
    /// # Examples
    ///
    /// ```
    /// # let mut blocks = slab_binned::BinnedAllocator::new();
    /// let id = blocks.alloc(1 << 20)?;
    /// blocks.free(id)?;
    /// assert_eq!(blocks.storage_bytes(), 1 << 20);
    /// assert_eq!(blocks.trim()?, 1 << 20);
    /// assert_eq!(blocks.storage_bytes(), 0);
    /// # Ok::<(), slab_binned::BinnedError>(())
    /// ```
    pub fn trim(&mut self) -> Result<usize, BinnedError> {
        self.journal.sink_mut().reserve(0).map_err(|bytes| BinnedError::OutOfMemory { bytes })?;
        self.pin_pages();
        let current_page =
            self.first_page(self.numbers.small_page.chunk) + self.numbers.small_page.start / 256;
        for class in 0..self.numbers.bins.len() {
            self.dissolve_bin(class);
        }
        self.dissolve_retired();
        if !self.is_pinned(current_page) {
            self.numbers.small_page = SmallPage::NONE;
        }
        let released_pages =
            (0..self.store.chunks().count()).filter_map(|chunk| self.free_pages_of(chunk)).sum();
        // The source may unwind when it gets its chunks, and the trim has happened all the same.
        self.journal.sink_mut().trimmed(released_pages);
        ReleasedChunks { blocks: self, next: 0 }.run();
        Ok(released_pages as usize * PAGE_BYTES)
    }

    /// Writes into the line of each page of small blocks whether a live block lies in it.
    fn pin_pages(&mut self) {
        for live in [false, true] {
            for index in 0..self.numbers.record_count {
                let Some(&record) = self.store.record(index) else { continue };
                let Some(page) = self.small_page_of(record) else { continue };
                if record.is_live() == live {
                    let line = self.store.lines().line(page);
                    let left = if live { PINNED } else { 0 };
                    self.store.lines_mut().set_line(page, Line { left, ..line });
                }
            }
        }
    }

    /// Returns the page of a block that shares it.
    fn small_page_of(&self, record: Record) -> Option<u32> {
        if record.chunk == NONE {
            return None;
        }
        let page = self.first_page(record.chunk) + record.page();
        self.store.is_small_page(page).then_some(page)
    }

    fn is_pinned(&self, page: u32) -> bool {
        let line = self.store.lines().line(page);
        line.kind == Kind::Small && line.left == PINNED
    }

    /// Takes from a bin every block whose page can be given back.
    fn dissolve_bin(&mut self, class: usize) {
        let (mut old, mut last) = (self.numbers.bins[class].free, NONE);
        let mut kept = List::EMPTY;
        while let Some(index) = old.pop(&self.store) {
            let Some(&record) = self.store.record(index) else { return };
            let page = self.first_page(record.chunk) + record.page();
            if self.is_pinned(page) {
                self.append(&mut kept, &mut last, index);
                continue;
            }
            match self.classes.pages(class) {
                Some(pages) => self.numbers.runs.release(self.store.lines_mut(), page, pages),
                None => self.release_small_page(page),
            }
            self.unplace(index);
            self.numbers.spare.push(&mut self.store, index);
            self.numbers.bins[class].blocks -= 1;
        }
        self.numbers.bins[class].free = kept;
    }

    /// Puts a record last, so that the order is kept.
    fn append(&mut self, list: &mut List, last: &mut u32, index: u32) {
        match self.store.record_mut(*last) {
            Some(before) => before.tag = index,
            None => list.head = index,
        }
        if let Some(record) = self.store.record_mut(index) {
            record.tag = NONE;
        }
        *last = index;
        list.len += 1;
    }

    /// Returns a page of small blocks to the free runs, unless one of its other blocks already made that
    /// happen.
    fn release_small_page(&mut self, page: u32) {
        if self.store.is_small_page(page) {
            // Inside a merged run this line is not written again.
            self.numbers.runs.mark(self.store.lines_mut(), page, 1, Kind::Taken);
            self.numbers.runs.release(self.store.lines_mut(), page, 1);
        }
    }

    /// Gives up the places of small blocks whose indices were retired.
    fn dissolve_retired(&mut self) {
        if self.numbers.retired == 0 {
            return;
        }
        for index in 0..self.numbers.record_count {
            let Some(&record) = self.store.record(index) else { continue };
            if record.chunk == NONE || !record.is_retired() {
                continue;
            }
            let page = self.first_page(record.chunk) + record.page();
            if !self.is_pinned(page) {
                self.release_small_page(page);
                self.unplace(index);
            }
        }
    }

    /// Returns the pages of a chunk that is one free run.
    fn free_pages_of(&self, chunk: u32) -> Option<u32> {
        let row = self.store.chunks().get(chunk)?;
        let line = self.store.lines().line(row.first_page);
        let is_free = row.pages != 0 && line.kind == Kind::Free && line.len == row.pages;
        is_free.then_some(row.pages)
    }
}

/// Chunks that go back to the source: each that is one free run. The drop finishes what a panic of the source
/// interrupts. A second panic meanwhile is one while the program unwinds, which aborts it.
struct ReleasedChunks<'a, A: Allocator, J: Journal> {
    blocks: &'a mut BlockAllocator<A, J>,
    next: u32,
}

impl<A: Allocator, J: Journal> ReleasedChunks<'_, A, J> {
    fn run(&mut self) {
        let Self { blocks, next } = self;
        while *next < blocks.store.chunks().count() {
            let chunk = *next;
            *next += 1;
            if let Some(pages) = blocks.free_pages_of(chunk) {
                let first_page = blocks.first_page(chunk);
                blocks.numbers.runs.withdraw(blocks.store.lines_mut(), first_page, pages);
                blocks.store.release_chunk(chunk);
            }
        }
    }
}

impl<A: Allocator, J: Journal> Drop for ReleasedChunks<'_, A, J> {
    fn drop(&mut self) {
        self.run();
        self.blocks.numbers.runs.take_steps();
    }
}
