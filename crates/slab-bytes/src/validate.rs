//! Walks every invariant of a heap. For tests, and for users who suspect that something wrote where
//! it should not have.

use slab_core::{Mode, Optional};
use slab_traits::ByteAllocator;

use crate::class::{GRANULE_BYTES, SizeClass};
use crate::error::Inconsistency;
use crate::heap::SlabByteAllocator;
use crate::line::{Kind, Line, LineRef};
use crate::region::{RegionRef, View};

/// The counts of a walk over the regions.
#[derive(Debug, Default)]
struct Census {
    live_bytes: usize,
    free_granules: usize,
    free_runs: usize,
    cached_runs: usize,
    granules: usize,
    fresh_granules: usize,
    fresh_regions: usize,
    region_bytes: usize,
    segments: [u32; SizeClass::COUNT],
    partial: [u32; SizeClass::COUNT],
}

impl<M: Mode, const PAGE: usize> SlabByteAllocator<M, PAGE> {
    /// Checks all bookkeeping: every line, every list, and that
    /// `used + available + metadata = total`. *O*(granules).
    ///
    /// # Errors
    ///
    /// The first [`Inconsistency`]: something other than the heap wrote to the heap's bookkeeping, or
    /// the heap has a bug.
    ///
    /// # Panics
    ///
    /// If a broken link leads out of all regions.
    pub fn validate(&self) -> Result<(), Inconsistency> {
        let mut census = Census::default();
        let mut outcome = Ok(());
        self.regions.for_each(|region| {
            census.region_bytes += region.size();
            census.granules += region.granule_count() as usize;
            census.fresh_granules += region.fresh_count() as usize;
            census.fresh_regions += usize::from(region.fresh_count() > 0);
            if outcome.is_ok() {
                outcome =
                    check_frontier(region).and_then(|()| self.walk(&region.view(), &mut census));
            }
        });
        outcome?;
        for class in SizeClass::all() {
            self.check_class(class, &census)?;
        }
        self.check_bins(&census)?;
        self.check_statistics(&census)
    }

    /// Checks a region from head to head.
    fn walk(&self, view: &View, census: &mut Census) -> Result<(), Inconsistency> {
        let mut head_at = 0;
        let mut run = Line::default();
        for (granule, line) in view.lines() {
            let at = line.addr();
            let line_value = line.get();
            if granule < head_at {
                check_inside(at, line_value, run, head_at - granule)?;
                continue;
            }
            let touching = run.kind == Kind::Free && line_value.kind == Kind::Free;
            Inconsistency::check("free runs do not touch", at, 0, usize::from(touching))?;
            run = line_value;
            Inconsistency::check("a run starts here", at, 1, usize::from(run.kind.is_head()))?;
            Inconsistency::check("a head points back to itself", at, 0, usize::from(run.back))?;
            let fits = (1..=view.granule_count() - granule).contains(&run.len);
            Inconsistency::check("a run lies in its region", at, 1, usize::from(fits))?;
            head_at = granule + run.len;
            self.count_head(line, run, census)?;
        }
        Inconsistency::check(
            "runs fill their region",
            0,
            view.granule_count() as usize,
            head_at as usize,
        )
    }

    fn count_head(
        &self,
        head: LineRef,
        line: Line,
        census: &mut Census,
    ) -> Result<(), Inconsistency> {
        match line.kind {
            Kind::Free => {
                census.free_granules += line.len as usize;
                census.free_runs += 1;
                Ok(())
            }
            Kind::Cached => {
                census.cached_runs += 1;
                Ok(())
            }
            kind if kind.is_segment() => self.count_segment(head, line, census),
            _ => {
                census.live_bytes += line.len as usize * GRANULE_BYTES;
                Ok(())
            }
        }
    }

    fn count_segment(
        &self,
        head: LineRef,
        line: Line,
        census: &mut Census,
    ) -> Result<(), Inconsistency> {
        let at = head.addr();
        let class = SizeClass::at(usize::from(line.class));
        let state = &self.class_states[class];
        let slot_count = class.slot_count(line.len);
        let counted = line.slots.count() as usize;
        Inconsistency::check(
            "a segment has the slots of its length",
            at,
            slot_count as usize,
            counted,
        )?;
        let vacant_count = head.vacant().len();
        let known = (line.live.len() + vacant_count) as usize;
        Inconsistency::check("no slot beyond the last is live", at, slot_count as usize, known)?;
        let is_active = state.active == Some(head);
        Inconsistency::check(
            "a class knows its active segment",
            at,
            usize::from(is_active),
            usize::from(line.kind == Kind::Active),
        )?;
        let full = line.live.len() == slot_count;
        Inconsistency::check(
            "only full segments are in no list",
            at,
            usize::from(full && !is_active),
            usize::from(line.kind == Kind::Full),
        )?;
        let live_count = line.live.len();
        let is_spare = state.spare == Some(head);
        Inconsistency::check(
            "a class knows its spare segment",
            at,
            usize::from(is_spare),
            usize::from(line.kind == Kind::Spare),
        )?;
        let idle = !is_active && live_count == 0;
        Inconsistency::check(
            "a class keeps one spare segment",
            at,
            usize::from(is_spare),
            usize::from(idle),
        )?;
        census.live_bytes += live_count as usize * class.slot_bytes();
        census.segments[class.index()] += 1;
        census.partial[class.index()] += u32::from(line.kind == Kind::Partial);
        Ok(())
    }

    fn check_class(&self, class: SizeClass, census: &Census) -> Result<(), Inconsistency> {
        let state = &self.class_states[class];
        let segments = census.segments[class.index()] as usize;
        Inconsistency::check(
            "a class knows its segments",
            class.slot_bytes(),
            segments,
            state.segment_count as usize,
        )?;
        let mut listed = 0;
        let mut previous = None;
        for segment in state.partial.iter().take(segments + 1) {
            let line = segment.get();
            Inconsistency::check(
                "lists link both ways",
                segment.addr(),
                1,
                usize::from(line.prev == previous),
            )?;
            let own = line.kind == Kind::Partial && usize::from(line.class) == class.index();
            Inconsistency::check(
                "a class lists its own segments",
                segment.addr(),
                1,
                usize::from(own),
            )?;
            previous = Some(segment);
            listed += 1;
        }
        let partial = census.partial[class.index()] as usize;
        Inconsistency::check(
            "exactly the partial segments are listed",
            class.slot_bytes(),
            partial,
            listed,
        )
    }

    fn check_bins(&self, census: &Census) -> Result<(), Inconsistency> {
        let listed = self.runs.iter().take(census.free_runs + 1).count();
        Inconsistency::check("exactly the free runs are listed", 0, census.free_runs, listed)?;
        let listed_granules: usize =
            self.runs.iter().take(census.free_runs).map(|head| head.get().len as usize).sum();
        Inconsistency::check("listed runs are free", 0, census.free_granules, listed_granules)?;
        // The bound ends the walk over a stack that a damaged link made a circle.
        let listed = || self.runs.iter_cached().take(census.cached_runs + 1);
        let cached = listed().filter(|run| run.kind() == Kind::Cached).count();
        Inconsistency::check(
            "exactly the cached runs are in the cache",
            0,
            census.cached_runs,
            cached,
        )?;
        Inconsistency::check("only cached runs are in the cache", 0, cached, listed().count())?;
        Inconsistency::check(
            "cached runs are counted",
            0,
            cached,
            self.runs.cached_count() as usize,
        )?;
        for run in self.runs.iter_cached() {
            let below = run.next().map_or(0, LineRef::depth);
            let (expected, found) = (usize::from(below) + 1, usize::from(run.depth()));
            Inconsistency::check(
                "a stack of cached runs knows its depth",
                run.addr(),
                expected,
                found,
            )?;
        }
        Inconsistency::check(
            "free granules are counted",
            0,
            census.free_granules,
            self.runs.free_granules(),
        )?;
        Inconsistency::check(
            "cached runs and bins are filed by length",
            0,
            0,
            self.runs.misfiled_count(),
        )
    }

    fn check_quarantine(&self) -> Result<(), Inconsistency> {
        let Some(guard) = self.guard.get() else { return Ok(()) };
        let entries = || guard.quarantine().iter();
        for entry in entries() {
            let (head, at) = (entry.head, self.span_of(entry).0);
            let is_taken = if head.kind().is_segment() {
                head.live().contains(entry.slot)
            } else {
                matches!(head.kind(), Kind::Block | Kind::Borrowed)
            };
            Inconsistency::check("a quarantined block is taken", at, 1, usize::from(is_taken))?;
            let at_start = entries().filter(|other| self.span_of(other).0 == at).count();
            Inconsistency::check("a block is quarantined once", at, 1, at_start)?;
        }
        Ok(())
    }

    fn check_statistics(&self, census: &Census) -> Result<(), Inconsistency> {
        let region_bytes = census.region_bytes + self.small.memory_bytes();
        Inconsistency::check("total bytes", 0, region_bytes, self.total_bytes)?;
        if let Some((what, expected, found)) = self.small.inconsistency() {
            return Err(Inconsistency { what, address: 0, expected, found });
        }
        Inconsistency::check("granules", 0, census.granules, self.granule_total)?;
        let cached: usize = self.runs.iter_cached().map(|run| run.len() as usize).sum();
        Inconsistency::check(
            "cached granules are counted",
            0,
            cached,
            self.runs.cached_granules(),
        )?;
        let spare = self.class_states.iter().filter_map(|state| state.spare);
        let spare: usize = spare.map(|segment| segment.len() as usize).sum();
        Inconsistency::check("spare granules are counted", 0, spare, self.spare_granules)?;
        let (fresh, counted) = (census.fresh_granules, self.regions.fresh_granules());
        Inconsistency::check("fresh granules are counted", 0, fresh, counted)?;
        let listed = self.regions.fresh().take(census.fresh_regions + 1);
        let listed = listed.filter(|region| region.fresh_count() > 0).count();
        Inconsistency::check(
            "exactly the regions with fresh granules are listed",
            0,
            census.fresh_regions,
            listed,
        )?;
        let quarantined = self.quarantined_bytes();
        let live_bytes = census.live_bytes + self.small.used_bytes();
        Inconsistency::check("used bytes", 0, live_bytes, self.used_bytes() + quarantined)?;
        self.check_quarantine()?;
        let sum = self.used_bytes() + self.available_bytes() + self.metadata_bytes();
        Inconsistency::check(
            "used, available and metadata are the total",
            0,
            self.total_bytes(),
            sum,
        )
    }
}

/// Checks the line behind the last granule in use.
fn check_frontier(region: RegionRef) -> Result<(), Inconsistency> {
    let kind = if region.fresh_count() == 0 { Kind::Edge } else { Kind::Frontier };
    let frontier = region.frontier();
    let found = frontier.kind() as usize;
    Inconsistency::check("a region knows its frontier", frontier.addr(), kind as usize, found)
}

/// Checks a line that is no head, `left` lines before the end of its run.
fn check_inside(at: usize, line: Line, run: Line, left: u32) -> Result<(), Inconsistency> {
    let kind = line.kind as usize;
    if run.kind.is_segment() {
        let behind_head = (run.len - left) as usize;
        Inconsistency::check(
            "a line in a segment knows its head",
            at,
            behind_head,
            usize::from(line.back),
        )?;
    }
    if run.kind == Kind::Free && left == 1 {
        Inconsistency::check(
            "both ends know a run's length",
            at,
            run.len as usize,
            line.len as usize,
        )?;
        return Inconsistency::check(
            "a free run is marked at its end",
            at,
            Kind::FreeEnd as usize,
            kind,
        );
    }
    Inconsistency::check("no head or end lies inside a run", at, Kind::Inside as usize, kind)
}

#[cfg(test)]
mod tests;
