//! A walk over the invariants, for tests.

use allocator_api2::alloc::Allocator;

use crate::allocator::BlockAllocator;
use crate::bin::List;
use crate::classes::{GRANULE_BYTES, PAGE_GRANULES};
use crate::error::Inconsistency;
use crate::journal::Journal;
use crate::record::{NONE, OVERFLOW, Record};
use crate::space::{Kind, Lines};

impl<A: Allocator, J: Journal> BlockAllocator<A, J> {
    /// Checks the invariants: the tree of free runs, the lists, the places of blocks
    /// and the counts. *O*(indices + pages). For tests: an allocator that fails it has a bug.
    ///
    /// # Errors
    ///
    /// The first invariant that does not hold.
    pub fn validate(&self) -> Result<(), Inconsistency> {
        self.numbers.runs.validate(self.store.lines())?;
        let mut live = 0;
        let mut block_pages = 0_u64;
        let mut small_granules = 0_u64;
        for index in 0..self.numbers.record_count {
            let Some(record) = self.store.record(index) else {
                return Err(Inconsistency::new("every index has a record", index));
            };
            live += u64::from(record.is_live());
            if record.chunk == NONE {
                Inconsistency::check(!record.is_live(), "live blocks have a place", index)?;
            } else if record.is_retired() {
                let bytes = self.classes.bytes(record.class() as usize);
                small_granules += u64::from(bytes) / GRANULE_BYTES as u64;
            } else if record.is_live() {
                let pages = self.check_live(index, record)?;
                block_pages += u64::from(pages);
                if pages == 0 {
                    let bytes = self.classes.bytes(record.class() as usize);
                    small_granules += u64::from(bytes) / GRANULE_BYTES as u64;
                }
            }
        }
        let counted = self.numbers.alloc_count - self.numbers.free_count;
        Inconsistency::check(live == counted, "live blocks are counted", live)?;
        self.check_list(self.numbers.spare, None)?;
        for (class, bin) in self.numbers.bins.iter().enumerate() {
            self.check_list(bin.free, Some(class))?;
            Inconsistency::check(bin.free.len <= bin.blocks, "bins are counted", class as u64)?;
            if bin.free.len > 0 {
                let pages = self.classes.pages(class).unwrap_or(0);
                block_pages += u64::from(pages) * u64::from(bin.free.len);
                if pages == 0 {
                    let granules = self.classes.bytes(class) / GRANULE_BYTES as u32;
                    small_granules += u64::from(granules) * u64::from(bin.free.len);
                }
            }
        }
        self.check_space(block_pages, small_granules)
    }

    /// Checks one live block and returns how many whole pages are its own.
    fn check_live(&self, index: u32, record: &Record) -> Result<u32, Inconsistency> {
        let page = self.first_page(record.chunk) + record.page();
        let class = record.class();
        let own_pages = match class {
            OVERFLOW => Some(record.overflow_pages()),
            class => self.classes.pages(class as usize),
        };
        let expected = if own_pages.is_some() { Kind::Taken } else { Kind::Small };
        let line = self.store.lines().line(page);
        Inconsistency::check(line.kind == expected, "a live block's page says so", index)?;
        if class != OVERFLOW {
            let bytes = self.classes.bytes(class as usize) as usize;
            let fits = record.pad_bytes() + record.len as usize <= bytes;
            Inconsistency::check(fits, "a live block holds what it shows", index)?;
        }
        let end = record.visible_offset() + record.len as usize;
        let inside = self.store.chunks().bytes_at(record.chunk, 0, end).is_some();
        Inconsistency::check(inside, "a live block lies in its chunk", index)?;
        Ok(own_pages.unwrap_or(0))
    }

    /// Checks that a list has its length, and that only what belongs there is in it.
    fn check_list(&self, list: List, class: Option<usize>) -> Result<(), Inconsistency> {
        let mut rest = list;
        while rest.len > 0 {
            let index = rest.head;
            let Some(record) = self.store.record(index).copied() else {
                return Err(Inconsistency::new("a list reaches its end", index));
            };
            Inconsistency::check(!record.is_live(), "listed blocks are dead", index)?;
            let placed = record.chunk != NONE;
            Inconsistency::check(placed == class.is_some(), "lists are not mixed", index)?;
            let _ = rest.pop(&self.store);
        }
        Inconsistency::check(rest.head == NONE, "a list ends where it is counted to", list.head)
    }

    /// Checks that pages and granules add up: none is lost, none counted twice.
    fn check_space(&self, block_pages: u64, small_granules: u64) -> Result<(), Inconsistency> {
        let (mut small_pages, mut pages, mut page) = (0_u64, 0_u64, 0);
        for chunk in 0..self.store.chunks().count() {
            let Some(row) = self.store.chunks().get(chunk) else { continue };
            pages += u64::from(row.pages);
            page = row.first_page;
            while page < row.first_page + row.pages {
                let line = self.store.lines().line(page);
                let plausible = line.kind != Kind::Edge && line.len > 0;
                Inconsistency::check(plausible, "runs are adjacent", page)?;
                small_pages += u64::from(line.kind == Kind::Small);
                page += line.len;
            }
            let ends = page == row.first_page + row.pages;
            Inconsistency::check(ends, "runs end where their chunk ends", page)?;
        }
        let free_pages = u64::from(self.numbers.runs.free_pages());
        let sum = free_pages + block_pages + small_pages;
        Inconsistency::check(sum == pages, "every page has an owner", page)?;
        let granules = small_granules + u64::from(self.numbers.small_page.remaining());
        let expected = small_pages * u64::from(PAGE_GRANULES);
        Inconsistency::check(granules == expected, "every granule has an owner", granules)
    }
}
