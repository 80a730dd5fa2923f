//! Merging the dead blocks of all bins.

use super::code::{self, Meaning, meaning};
use super::heap::BinnedByteAllocator;
use super::region::Region;
use crate::classes::{PAGE_BYTES, PAGE_GRANULES};
use crate::crumb::Crumb;
use crate::space::{Kind, Line, Lines};

/// What the line of a crumb page says, during a reclaim alone, if a live block lies in the page.
const PINNED: u32 = 1;

impl BinnedByteAllocator {
    /// Makes every dead block available to blocks of any size, but for those that share a page with
    /// a live one, and returns how many bytes that were. *O*(pages of small blocks + dead blocks).
    ///
    /// An allocation does this by itself before it is refused. It is an operation like any other:
    /// offsets follow from it too.
    pub fn reclaim(&mut self) -> usize {
        let free_pages = self.runs.free_pages();
        let crumb_page = self.crumb.start / PAGE_GRANULES;
        for at in 0..self.regions.all().len() {
            let region = self.regions.all()[at];
            self.each_crumb_page(region, |heap, page| {
                let left = if heap.has_live_blocks(page) { PINNED } else { 0 };
                let line = heap.regions.line(page);
                heap.regions.set_line(page, Line { left, ..line });
            });
        }
        let keeps_crumb = self.is_pinned(crumb_page);
        for class in 0..self.classes.sizes.len() {
            self.dissolve_bin(class);
        }
        if !keeps_crumb {
            self.crumb = Crumb::NONE;
        }
        for at in 0..self.regions.all().len() {
            let region = self.regions.all()[at];
            self.each_crumb_page(region, |heap, page| {
                if !heap.is_pinned(page) {
                    heap.release_crumb_page(page);
                }
            });
        }
        (self.runs.free_pages() - free_pages) as usize * PAGE_BYTES
    }

    /// Reclaims before a request for `size` bytes is refused; returns whether there is any use in
    /// looking again.
    pub(super) fn reclaim_for(&mut self, size: usize) -> bool {
        let idle =
            self.page_total * PAGE_BYTES - self.allocated_bytes.wrapping_sub(self.freed_bytes);
        let unchanged = self.freed_at_reclaim == Some(self.freed_bytes);
        if size > idle || unchanged {
            return false;
        }
        let gained = self.reclaim();
        self.freed_at_reclaim = Some(self.freed_bytes);
        gained != 0
    }

    /// Visits the crumb pages of a region; the action may release the page that it is given.
    fn each_crumb_page(&mut self, region: Region, mut action: impl FnMut(&mut Self, u32)) {
        let end = region.first_page + region.page_count;
        let mut page = region.first_page;
        while page < end {
            let line = self.regions.line(page);
            let mut next = page + line.len.max(1);
            if line.kind == Kind::Crumb {
                // If the page is merged with the run behind it, that run's line is stale afterwards.
                let behind = self.regions.line(next);
                if behind.kind == Kind::Free {
                    next += behind.len;
                }
                action(self, page);
            }
            page = next;
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
        line.kind == Kind::Crumb && line.left == PINNED
    }

    /// Takes from a bin every block whose page can be used otherwise; the others keep their order.
    fn dissolve_bin(&mut self, class: usize) {
        let mut kept = slab_core::FreeList::new();
        while let Some(granule) = self.pop(class) {
            if let Some(pages) = self.classes.pages(class) {
                self.regions.set_code(granule, code::NOTHING);
                self.retire(granule, pages as usize * PAGE_BYTES);
                self.runs.release(&mut self.regions, granule / PAGE_GRANULES, pages);
            } else if self.is_pinned(granule / PAGE_GRANULES) {
                core::mem::swap(&mut kept, &mut self.bins[class].dead);
                self.push(class, granule);
                core::mem::swap(&mut kept, &mut self.bins[class].dead);
            }
        }
        // Popped and pushed once more, they are in the order they had.
        core::mem::swap(&mut kept, &mut self.bins[class].dead);
        let mut turned = slab_core::FreeList::new();
        while let Some(granule) = self.pop(class) {
            core::mem::swap(&mut turned, &mut self.bins[class].dead);
            self.push(class, granule);
            core::mem::swap(&mut turned, &mut self.bins[class].dead);
        }
        self.bins[class].dead = turned;
    }

    /// Returns a page without live blocks to the free runs.
    fn release_crumb_page(&mut self, page: u32) {
        for granule in page * PAGE_GRANULES..(page + 1) * PAGE_GRANULES {
            self.regions.set_code(granule, code::NOTHING);
        }
        self.retire(page * PAGE_GRANULES, PAGE_BYTES);
        // Inside a merged run nobody rewrites this line.
        self.runs.mark(&mut self.regions, page, 1, Kind::Taken);
        self.runs.release(&mut self.regions, page, 1);
    }

    /// Returns the bytes of the largest block that can be had from the free runs. *O*(log runs).
    pub fn largest_free_run_bytes(&self) -> usize {
        self.runs.longest(&self.regions) as usize * PAGE_BYTES
    }
}
