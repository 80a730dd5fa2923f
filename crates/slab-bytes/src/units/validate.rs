//! Walks every invariant of a unit heap.
#![expect(unsafe_code, reason = "reads the map")]

use super::bins::{BINS, Bins};
use super::heap::UnitByteAllocator;
use super::map::{Run, State};
use super::parked::Parked;
use super::policy::Policy;
use super::region::RegionRef;
use crate::error::Inconsistency;
use crate::region_index::Indexed;
use crate::small::UNIT_BYTES;

/// The counts of a walk over the regions.
#[derive(Debug, Default)]
struct Census {
    live_bytes: usize,
    free_runs: usize,
    parked: usize,
    parked_bytes: usize,
    units: usize,
    region_bytes: usize,
}

impl<P: Policy> UnitByteAllocator<P> {
    /// Checks all bookkeeping: every run of the map, every list, and the sums. *O*(units).
    ///
    /// # Errors
    ///
    /// The first [`Inconsistency`]: something other than the heap wrote to the heap's bookkeeping or to free memory, or
    /// the heap has a bug.
    pub fn validate(&self) -> Result<(), Inconsistency> {
        let mut census = Census::default();
        let mut outcome = Ok(());
        self.regions.for_each(|region| {
            census.region_bytes += region.size();
            census.units += region.count() as usize;
            if outcome.is_ok() {
                outcome = self.walk(region, &mut census);
            }
        });
        outcome?;
        let mut listed = 0;
        for bin in 0..BINS {
            listed += self.check_bin(bin)?;
        }
        listed += usize::from(self.victim.is_some());
        Inconsistency::check("free runs are listed", 0, census.free_runs, listed)?;
        let mut parked = 0;
        for list in self.parked.lists() {
            parked += core::iter::successors(list.first(), |link| link.get().next).count();
        }
        Inconsistency::check("parked blocks are listed", 0, census.parked, parked)?;
        Inconsistency::check(
            "parked bytes are counted",
            0,
            census.parked_bytes,
            self.parked.bytes(),
        )?;
        Inconsistency::check("live bytes are counted", 0, census.live_bytes, self.used_bytes)?;
        Inconsistency::check("units are counted", 0, census.units * UNIT_BYTES, self.unit_bytes)?;
        Inconsistency::check("regions are counted", 0, census.region_bytes, self.total_bytes)
    }

    /// Checks the map of a region.
    fn walk(&self, region: RegionRef, census: &mut Census) -> Result<(), Inconsistency> {
        let frontier = region.frontier();
        let is_fresh = self.fresh == Some(region);
        let at = |unit| region.address_of(unit);
        check_that(
            "only one region has fresh units",
            at(0),
            is_fresh || frontier == region.count(),
        )?;
        let mut first = 0;
        let mut after_free = false;
        while first < frontier {
            // SAFETY: the unit lies before the frontier.
            let state = unsafe { region.state(first) };
            let is_free = state == State::Free;
            check_that(
                "a run starts where one ended",
                at(first),
                is_free || state == State::Block,
            )?;
            check_that("free runs are merged", at(first), !(is_free && after_free))?;
            // SAFETY: a run starts there.
            let len = unsafe { region.len_at(first) };
            let in_reach = len > 0 && len <= frontier - first;
            check_that("a run ends before the fresh units", at(first), in_reach)?;
            let run = Run { region, first, len };
            if is_free {
                self.check_free(run)?;
                census.free_runs += 1;
            // SAFETY: the unit lies before the frontier, and the region has the bits if blocks are parked.
            } else if Self::PARKS && unsafe { Parked::contains(region, first) } {
                census.parked += 1;
                census.parked_bytes += len as usize * UNIT_BYTES;
            } else {
                census.live_bytes += len as usize * UNIT_BYTES;
            }
            after_free = is_free;
            first += len;
        }
        Inconsistency::check(
            "runs end at the frontier",
            at(frontier),
            frontier as usize,
            first as usize,
        )?;
        check_that(
            "no free run touches the fresh units",
            at(frontier),
            !(after_free && is_fresh && frontier < region.count()),
        )?;
        let expected = if frontier == region.count() { State::Block } else { State::Free };
        // SAFETY: it is the frontier.
        let is_marked = unsafe { region.state(frontier) } == expected;
        check_that("the frontier is marked", at(frontier), is_marked)
    }

    fn check_free(&self, run: Run) -> Result<(), Inconsistency> {
        let Run { region, first, len } = run;
        let address = region.address_of(first);
        if len > 1 {
            let last = first + len - 1;
            // SAFETY: an end lies before the frontier.
            let is_end = unsafe { region.state(last) } == State::FreeEnd;
            check_that("a free run is marked at its end", address, is_end)?;
            // SAFETY: it is an end.
            let start = unsafe { region.start_of(last) };
            Inconsistency::check(
                "a free run's end knows its start",
                address,
                first as usize,
                start as usize,
            )?;
        }
        if self
            .victim
            .is_some_and(|victim| (victim.region, victim.first, victim.len) == (region, first, len))
        {
            return Ok(());
        }
        let list = self.bins.list(Bins::bin_of(len));
        let mut links = core::iter::successors(list.first(), |link| link.get().next);
        check_that("a free run is in its bin", address, links.any(|link| link.address() == address))
    }

    /// Returns how many runs a bin has.
    fn check_bin(&self, bin: u32) -> Result<usize, Inconsistency> {
        let list = self.bins.list(bin);
        let noted = self.bins.next_from(bin) == Some(bin);
        check_that("a bin knows whether it has runs", bin as usize, noted != list.is_empty())?;
        let mut prev = None;
        let mut count = 0;
        for link in core::iter::successors(list.first(), |link| link.get().next) {
            check_that("links lead back", link.address(), link.get().prev == prev)?;
            prev = Some(link);
            count += 1;
        }
        Ok(count)
    }
}

fn check_that(what: &'static str, address: usize, holds: bool) -> Result<(), Inconsistency> {
    Inconsistency::check(what, address, 1, usize::from(holds))
}
