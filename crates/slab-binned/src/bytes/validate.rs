//! Walks the invariants of the byte heap.

use super::code::{Meaning, meaning};
use super::heap::BinnedByteAllocator;
use super::region::{DeadBlocks, Region};
use crate::classes::{GRANULE_BYTES, PAGE_BYTES, PAGE_GRANULES};
use crate::error::Inconsistency;
use crate::space::{Kind, Lines};

/// Counts of a walk over all pages.
#[derive(Default)]
struct Sums {
    live_bytes: u64,
    dead_blocks: u64,
}

impl BinnedByteAllocator {
    /// Looks whether everything fits together: the tree of free runs, the codes of each page and the
    /// counts. *O*(pages). For tests: a heap that fails it has a bug, or was written to after a free.
    ///
    /// # Errors
    ///
    /// The first invariant that does not hold.
    pub fn validate(&self) -> Result<(), Inconsistency> {
        self.runs.validate(&self.regions)?;
        let mut sums = Sums::default();
        for region in self.regions.all() {
            self.walk(region, &mut sums)?;
        }
        let used = self.allocated_bytes - self.freed_bytes;
        Inconsistency::check(sums.live_bytes == used, "used bytes are those of live blocks", used)?;
        let listed: u64 = self.bins.iter().map(|bin| u64::from(bin.dead.len())).sum();
        let counted = sums.dead_blocks == listed || self.torn != 0;
        Inconsistency::check(counted, "dead blocks are listed", listed)?;
        for (class, bin) in self.bins.iter().enumerate() {
            let space = DeadBlocks { regions: &self.regions, class };
            let sound =
                bin.dead.head().is_none_or(|head| slab_core::SlotSpace::may_link(&space, head));
            Inconsistency::check(
                sound,
                "a bin starts with a dead block of its class",
                class as u64,
            )?;
        }
        Ok(())
    }

    fn walk(&self, region: &Region, sums: &mut Sums) -> Result<(), Inconsistency> {
        let end = region.first_page + region.page_count;
        let mut page = region.first_page;
        while page < end {
            let line = self.regions.line(page);
            let plausible = line.len > 0 && line.len <= end - page;
            Inconsistency::check(plausible, "runs are adjacent", page)?;
            let first = page * PAGE_GRANULES;
            match line.kind {
                Kind::Small => self.walk_small_page(page, sums)?,
                Kind::Free => {
                    let idle = (first..first + line.len * PAGE_GRANULES)
                        .step_by(if cfg!(miri) { 64 } else { 1 })
                        .all(|granule| self.regions.code(granule) == 0);
                    Inconsistency::check(idle, "free pages have no blocks", page)?;
                }
                Kind::Taken => match meaning(self.regions.code(first)) {
                    Meaning::Run => sums.live_bytes += u64::from(line.len) * PAGE_BYTES as u64,
                    Meaning::Dead { class } => {
                        let whole = self.classes.pages(class) == Some(line.len);
                        Inconsistency::check(whole, "a dead block has its pages", page)?;
                        sums.dead_blocks += 1;
                    }
                    _ => {
                        let class = self.class_shown_in(page)?;
                        let whole = self.classes.pages(class) == Some(line.len);
                        Inconsistency::check(whole, "a live block has its pages", page)?;
                        sums.live_bytes += u64::from(self.classes.bytes(class));
                    }
                },
                Kind::Edge => return Err(Inconsistency::new("pages are in runs", page)),
            }
            page += line.len;
        }
        Ok(())
    }

    /// Returns the class of the live block that starts with a page.
    fn class_shown_in(&self, page: u32) -> Result<usize, Inconsistency> {
        let first = page * PAGE_GRANULES;
        (first..first + PAGE_GRANULES)
            .find_map(|granule| match meaning(self.regions.code(granule)) {
                Meaning::Live { class } | Meaning::Behind { class } => Some(class),
                _ => None,
            })
            .ok_or(Inconsistency::new("a taken run has a block", page))
    }

    /// Follows the blocks of a page from one to the next.
    fn walk_small_page(&self, page: u32, sums: &mut Sums) -> Result<(), Inconsistency> {
        let first = page * PAGE_GRANULES;
        let current = self.small_page.start == first && self.small_page.remaining() != 0;
        let end = first + if current { self.small_page.used } else { PAGE_GRANULES };
        let mut granule = first;
        while granule < end {
            let shifted = || {
                (granule..end).find_map(|at| match meaning(self.regions.code(at)) {
                    Meaning::Behind { class } => Some(class),
                    _ => None,
                })
            };
            let class = match meaning(self.regions.code(granule)) {
                Meaning::Dead { class } => {
                    sums.dead_blocks += 1;
                    Some(class)
                }
                Meaning::Live { class } | Meaning::Behind { class } => {
                    sums.live_bytes += u64::from(self.classes.bytes(class));
                    Some(class)
                }
                Meaning::Nothing => shifted().inspect(|&class| {
                    sums.live_bytes += u64::from(self.classes.bytes(class));
                }),
                _ => None,
            };
            let Some(class) = class else {
                return Err(Inconsistency::new("blocks are adjacent", granule));
            };
            granule += self.classes.bytes(class) / GRANULE_BYTES as u32;
        }
        Inconsistency::check(granule == end, "blocks end where their page ends", page)
    }
}
