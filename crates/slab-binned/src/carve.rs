//! The slow paths: checks of requests, fresh space, large blocks.

use allocator_api2::alloc::Allocator;

use crate::allocator::BlockAllocator;
use crate::classes::{GRANULE_BYTES, PAGE_BYTES, PAGE_GRANULES};
use crate::config::{ALIGN_MAX, BLOCK_BYTES_MAX};
use crate::error::BinnedError;
use crate::id::BlockId;
use crate::journal::Journal;
use crate::journal::sealed::Sink;
use crate::record::{NONE, OVERFLOW, pages_for};
use crate::small_page::{PIECES_MAX, SmallPage};
use crate::space::Kind;

/// The most indices there can be: fewer than 2³¹, so that sums of two fit.
const INDICES_MAX: u32 = 1 << 31;

/// A run of pages that was just taken.
#[derive(Debug, Clone, Copy)]
struct Run {
    chunk: u32,
    /// First page, counted from the start of the chunk.
    page: u32,
    /// Whether every byte is still zero.
    fresh: bool,
}

impl<A: Allocator, J: Journal> BlockAllocator<A, J> {
    /// Allocates a block, and returns whether its bytes are known to be zero.
    #[cold]
    #[inline(never)]
    pub(crate) fn alloc_slow(
        &mut self,
        size: usize,
        align: usize,
        zeroed: bool,
    ) -> Result<(BlockId, bool), BinnedError> {
        let class = self.class_for(size, align)?;
        self.journal.sink_mut().reserve(0).map_err(|bytes| BinnedError::OutOfMemory { bytes })?;
        let found = match class {
            Some(class) => match self.numbers.bins[class].free.pop(&self.store) {
                Some(index) => Ok((index, false)),
                None => self.carve(class, size),
            },
            None => {
                let pages = pages_for(size);
                let carved = self.carve_run(pages, size);
                self.numbers.overflow_pages += if carved.is_ok() { pages } else { 0 };
                carved
            }
        };
        let steps = self.numbers.runs.take_steps();
        let (index, fresh) = found?;
        self.numbers.steps_max = self.numbers.steps_max.max(steps);
        let class = class.map_or(OVERFLOW, |class| class as u32);
        let Some(record) = self.store.record_mut(index) else {
            return Err(BinnedError::UnknownIndex { index, count: self.numbers.record_count });
        };
        let start = record.granule as usize * GRANULE_BYTES;
        let pad = start.wrapping_neg() & (align - 1);
        record.generation += 1;
        record.tag = class | ((pad / GRANULE_BYTES) as u32) << 8;
        record.len = size as u32;
        self.numbers.alloc_count += 1;
        let id = BlockId::of_live(index, record.generation);
        let recorded =
            self.journal.sink_mut().allocated(size as u32, align.trailing_zeros(), zeroed, id);
        debug_assert!(recorded.is_ok(), "room was reserved");
        Ok((id, fresh))
    }

    /// Returns the class for a request, or `None` for a run of pages.
    fn class_for(&self, size: usize, align: usize) -> Result<Option<usize>, BinnedError> {
        if size == 0 {
            return Err(BinnedError::ZeroSize);
        }
        if size > BLOCK_BYTES_MAX {
            return Err(BinnedError::TooLarge { size, max: BLOCK_BYTES_MAX });
        }
        if !align.is_power_of_two() || align > ALIGN_MAX {
            return Err(BinnedError::BadAlign { align, max: ALIGN_MAX });
        }
        if align == ALIGN_MAX {
            return Ok(None);
        }
        // Wherever a block starts, at most this much lies before the aligned byte.
        let pad_max = align.saturating_sub(GRANULE_BYTES);
        Ok(self.classes.class_of(size + pad_max))
    }

    /// Makes a dead block of a class, in no list, and returns whether its bytes are zero.
    fn carve(&mut self, class: usize, size: usize) -> Result<(u32, bool), BinnedError> {
        let carved = match self.classes.pages(class) {
            Some(pages) => self.carve_run(pages, size)?,
            None => (self.carve_small(self.classes.bytes(class), size)?, false),
        };
        self.numbers.bins[class].blocks += 1;
        Ok(carved)
    }

    /// Makes a dead block of whole pages.
    fn carve_run(&mut self, pages: u32, size: usize) -> Result<(u32, bool), BinnedError> {
        self.reserve_indices(1)?;
        let Run { chunk, page, fresh } = self.take_run(pages, size)?;
        Ok((self.place(chunk, page * PAGE_GRANULES), fresh))
    }

    /// Makes a dead block that shares its page. A page that has no room for it is cut into blocks of
    /// other classes, at most eight, and the next one begun.
    fn carve_small(&mut self, bytes: u32, size: usize) -> Result<u32, BinnedError> {
        let granules = bytes / GRANULE_BYTES as u32;
        self.reserve_indices(1 + PIECES_MAX)?;
        if let Some(granule) = self.numbers.small_page.cut(granules) {
            return Ok(self.place(self.numbers.small_page.chunk, granule));
        }
        let run = self.take_run(1, size)?;
        self.cut_remainder();
        let page = self.first_page(run.chunk) + run.page;
        self.numbers.runs.mark(self.store.lines_mut(), page, 1, Kind::Small);
        let start = run.page * PAGE_GRANULES;
        self.numbers.small_page = SmallPage { chunk: run.chunk, start, used: granules };
        Ok(self.place(run.chunk, start))
    }

    /// Cuts the remainder of the current page into blocks, the largest first, and puts them into their bins.
    fn cut_remainder(&mut self) {
        while self.numbers.small_page.remaining() != 0 {
            let class = self.classes.largest_within(self.numbers.small_page.remaining());
            let granules = self.classes.bytes(class) / GRANULE_BYTES as u32;
            let Some(granule) = self.numbers.small_page.cut(granules) else { return };
            let index = self.place(self.numbers.small_page.chunk, granule);
            self.numbers.bins[class].free.push(&mut self.store, index);
            self.numbers.bins[class].blocks += 1;
        }
    }

    /// Makes sure that the next `count` calls of [`place`](Self::place) have their records.
    fn reserve_indices(&mut self, count: u32) -> Result<(), BinnedError> {
        let needed = self.numbers.record_count + count;
        if needed > INDICES_MAX {
            return Err(BinnedError::TooManyBlocks { count: self.numbers.record_count });
        }
        let room = self.store.reserve_records(needed);
        room.map_err(|bytes| BinnedError::OutOfMemory { bytes })
    }

    /// Gives a place an index: the one that lost its block last, else the next.
    fn place(&mut self, chunk: u32, granule: u32) -> u32 {
        let index = self.numbers.spare.pop(&self.store).unwrap_or_else(|| {
            self.numbers.record_count += 1;
            self.numbers.record_count - 1
        });
        if let Some(record) = self.store.record_mut(index) {
            (record.chunk, record.granule) = (chunk, granule);
        }
        self.journal.sink_mut().placed(index, chunk, granule);
        index
    }

    fn take_run(&mut self, pages: u32, size: usize) -> Result<Run, BinnedError> {
        let found = self.numbers.runs.take(self.store.lines_mut(), pages);
        let first = match found {
            Some(first) => first,
            None => self.grow(pages, size)?,
        };
        let Some(chunk) = self.store.chunks().of_page(first) else {
            return Err(BinnedError::OutOfMemory { bytes: size });
        };
        let page = first - self.first_page(chunk);
        let fresh = self.store.chunks_mut().touch(chunk, page, page + pages);
        Ok(Run { chunk, page, fresh })
    }

    /// Acquires a chunk in which a run of `pages` fits, and takes that run.
    #[cold]
    fn grow(&mut self, pages: u32, size: usize) -> Result<u32, BinnedError> {
        let storage = self.store.chunks().bytes();
        let mut chunk_pages = self.config.chunk_pages.max(pages);
        if let Some(cap_pages) = self.config.cap_pages {
            let room = cap_pages as usize - storage / PAGE_BYTES;
            if pages as usize > room {
                let needed = pages as usize * PAGE_BYTES;
                let cap = self.config.cap().unwrap_or(usize::MAX);
                return Err(BinnedError::OverCap { size, needed, storage, cap });
            }
            chunk_pages = chunk_pages.min(u32::try_from(room).unwrap_or(u32::MAX));
        }
        let acquired = self.store.acquire_chunk(chunk_pages);
        let (_, first) = acquired.map_err(|bytes| BinnedError::OutOfMemory { bytes })?;
        self.numbers.runs.release(self.store.lines_mut(), first, chunk_pages);
        let taken = self.numbers.runs.take(self.store.lines_mut(), pages);
        taken.ok_or(BinnedError::OutOfMemory { bytes: size })
    }

    /// Returns the number of a chunk's first page.
    pub(crate) fn first_page(&self, chunk: u32) -> u32 {
        self.store.chunks().get(chunk).map_or(0, |row| row.first_page)
    }

    /// Takes back a block of pages that no bin holds, or one whose index has no generation left. Its
    /// record is dead already.
    #[cold]
    #[inline(never)]
    pub(crate) fn free_slow(&mut self, id: BlockId, class: u32) {
        let Some(record) = self.store.record(id.index()).copied() else { return };
        let pages = match class {
            OVERFLOW => {
                self.numbers.overflow_pages -= record.overflow_pages();
                Some(record.overflow_pages())
            }
            class => {
                self.numbers.bins[class as usize].blocks -= 1;
                self.classes.pages(class as usize)
            }
        };
        if let Some(pages) = pages {
            let first = self.first_page(record.chunk) + record.page();
            self.numbers.runs.release(self.store.lines_mut(), first, pages);
            self.numbers.steps_max = self.numbers.steps_max.max(self.numbers.runs.take_steps());
            self.unplace(id.index());
        }
        if record.is_retired() {
            // A small block stays where it is until its page is trimmed.
            self.numbers.retired += 1;
        } else {
            self.numbers.spare.push(&mut self.store, id.index());
        }
    }

    /// Makes an index one without a block.
    pub(crate) fn unplace(&mut self, index: u32) {
        if let Some(record) = self.store.record_mut(index) {
            (record.chunk, record.granule, record.len) = (NONE, 0, 0);
        }
    }
}
