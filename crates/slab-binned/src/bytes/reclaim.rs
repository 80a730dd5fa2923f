//! Merging the dead blocks of all bins.

use slab_core::FreeList;
use slab_traits::ByteAllocator;

use super::code::{self, Meaning, meaning};
use super::heap::BinnedByteAllocator;
use super::region::Region;
use crate::classes::{PAGE_BYTES, PAGE_GRANULES};
use crate::small_page::SmallPage;
use crate::space::{Kind, Line, Lines};

/// Mark in the line of a page of small blocks in which a live block lies. Valid during a reclaim only.
const PINNED: u32 = 1;

impl BinnedByteAllocator {
    /// Makes every dead block available to blocks of any size, but for those that share a page with
    /// a live one, and returns how many bytes that were. *O*(pages of small blocks + dead blocks).
    ///
    /// The codes beside the pages say which blocks are dead, so that the blocks of a bin that was given up,
    /// because a link was overwritten, are found too. An allocation does this by itself before it is refused.
    /// It is an operation like any other: offsets follow from it too.
    pub fn reclaim(&mut self) -> usize {
        let free_pages = self.runs.free_pages();
        self.each_run(|heap, page, line| {
            if line.kind == Kind::Small {
                let left = if heap.has_live_blocks(page) { PINNED } else { 0 };
                heap.regions.set_line(page, Line { left, ..line });
            }
        });
        if !self.is_pinned(self.small_page.start / PAGE_GRANULES) {
            self.small_page = SmallPage::NONE;
        }
        for class in 0..self.classes.sizes.len() {
            self.keep_pinned(class);
        }
        self.each_run(|heap, page, line| match line.kind {
            Kind::Small if heap.is_pinned(page) => heap.list_torn(page),
            Kind::Small => heap.release_small_page(page),
            Kind::Taken => heap.release_dead(page, line.len),
            Kind::Free | Kind::Edge => {}
        });
        self.torn = 0;
        (self.runs.free_pages() - free_pages) as usize * PAGE_BYTES
    }

    /// Reclaims before a request for `size` bytes is refused; returns whether there is any use in
    /// looking again.
    pub(super) fn reclaim_for(&mut self, size: usize) -> bool {
        let idle_bytes = self.page_total * PAGE_BYTES - self.used_bytes();
        let was_torn = self.torn != 0;
        let unchanged = self.freed_at_reclaim == Some(self.freed_bytes) && !was_torn;
        if size > idle_bytes || unchanged {
            return false;
        }
        let gained_bytes = self.reclaim();
        self.freed_at_reclaim = Some(self.freed_bytes);
        gained_bytes != 0 || was_torn
    }

    /// Visits all runs of pages but some free ones; the action may release the run that it is given.
    fn each_run(&mut self, mut action: impl FnMut(&mut Self, u32, Line)) {
        for at in 0..self.regions.all().len() {
            let Region { first_page, page_count, .. } = self.regions.all()[at];
            let mut page = first_page;
            while page < first_page + page_count {
                let line = self.regions.line(page);
                let mut next = page + line.len.max(1);
                // If this run is merged with the free one behind it, that one's line is stale afterwards.
                let behind = self.regions.line(next);
                if behind.kind == Kind::Free {
                    next += behind.len;
                }
                action(self, page, line);
                page = next;
            }
        }
    }

    fn has_live_blocks(&self, page: u32) -> bool {
        let granules = page * PAGE_GRANULES..(page + 1) * PAGE_GRANULES;
        granules.into_iter().any(|granule| {
            let code = meaning(self.regions.code(granule));
            !matches!(code, Meaning::Nothing | Meaning::Dead { .. })
        })
    }

    fn is_pinned(&self, page: u32) -> bool {
        let line = self.regions.line(page);
        line.kind == Kind::Small && line.left == PINNED
    }

    /// Takes from a bin every block whose page can be used otherwise; the others keep their order.
    fn keep_pinned(&mut self, class: usize) {
        if self.classes.pages(class).is_some() {
            self.bins[class].dead = FreeList::new();
            return;
        }
        let mut turned = FreeList::new();
        while let Some(granule) = self.pop(class) {
            if self.is_pinned(granule / PAGE_GRANULES) {
                self.list(&mut turned, class, granule);
            }
        }
        // Listed once more, they are in the order they had.
        let mut kept = FreeList::new();
        self.bins[class].dead = turned;
        while let Some(granule) = self.pop(class) {
            self.list(&mut kept, class, granule);
        }
        // Where a link was overwritten, all are listed anew.
        self.bins[class].dead = if self.is_torn(class) { FreeList::new() } else { kept };
    }

    fn is_torn(&self, class: usize) -> bool {
        self.torn >> class & 1 == 1
    }

    /// Puts the dead blocks of a page that stays into their bins, if those were given up.
    fn list_torn(&mut self, page: u32) {
        if self.torn == 0 {
            return;
        }
        for granule in page * PAGE_GRANULES..(page + 1) * PAGE_GRANULES {
            match meaning(self.regions.code(granule)) {
                Meaning::Dead { class } if self.is_torn(class) => self.push(class, granule),
                _ => {}
            }
        }
    }

    /// Returns a page without live blocks to the free runs.
    fn release_small_page(&mut self, page: u32) {
        for granule in page * PAGE_GRANULES..(page + 1) * PAGE_GRANULES {
            self.regions.set_code(granule, code::NOTHING);
        }
        self.retire(page * PAGE_GRANULES, PAGE_BYTES);
        // Inside a merged run this line is not written again.
        self.runs.mark(&mut self.regions, page, 1, Kind::Taken);
        self.runs.release(&mut self.regions, page, 1);
    }

    /// Returns a run of pages to the free runs, if it is a dead block.
    fn release_dead(&mut self, page: u32, pages: u32) {
        let granule = page * PAGE_GRANULES;
        if let Meaning::Dead { .. } = meaning(self.regions.code(granule)) {
            self.regions.set_code(granule, code::NOTHING);
            self.retire(granule, pages as usize * PAGE_BYTES);
            self.runs.release(&mut self.regions, page, pages);
        }
    }

    /// Returns the bytes of the largest block that can be had from the free runs. *O*(log runs).
    pub fn largest_free_run_bytes(&self) -> usize {
        self.runs.longest(&self.regions) as usize * PAGE_BYTES
    }
}
