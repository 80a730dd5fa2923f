//! Walks every invariant of a heap. For tests, and for users who suspect that something wrote where
//! it should not have.

use slab_core::Mode;
use slab_traits::ByteAllocator;

use crate::class::{GRANULE_BYTES, SizeClass};
use crate::error::Inconsistency;
use crate::front::Front;
use crate::heap::SlabByteAllocator;
use crate::line::{Kind, Line, LineRef};
use crate::region::View;

/// What a walk over the regions has found.
#[derive(Debug, Default)]
struct Census {
    live_bytes: usize,
    free_granules: usize,
    free_runs: usize,
    granules: usize,
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
            census.granules += region.view().granule_count() as usize;
            if outcome.is_ok() {
                outcome = self.walk(&region.view(), &mut census);
            }
        });
        outcome?;
        for class in SizeClass::all() {
            self.check_front(class, &census)?;
        }
        self.check_bins(&census)?;
        self.check_statistics(&census)
    }

    /// Checks a region from head to head.
    fn walk(&self, view: &View, census: &mut Census) -> Result<(), Inconsistency> {
        let (mut expected_head, mut previous_was_free) = (0, false);
        let mut current = Line::default();
        let mut ends_at = 0;
        for (granule, line_ref) in view.lines() {
            let line = line_ref.get();
            let at = line_ref.addr();
            if granule == expected_head {
                let head_kind =
                    matches!(line.kind, Kind::Free | Kind::Segment | Kind::Block | Kind::Pages);
                expect("a run starts here", at, 1, usize::from(head_kind))?;
                expect("a head points back to itself", at, 0, usize::from(line.back))?;
                let room = view.granule_count() - granule;
                expect(
                    "a run lies in its region",
                    at,
                    1,
                    usize::from((1..=room).contains(&line.len)),
                )?;
                let free = line.kind == Kind::Free;
                expect("free runs do not touch", at, 0, usize::from(free && previous_was_free))?;
                previous_was_free = free;
                expected_head = granule + line.len;
                ends_at = expected_head - 1;
                current = line;
                self.count_head(line_ref, line, census)?;
                continue;
            }
            let head = view_line_index(granule, current.len, ends_at);
            match current.kind {
                Kind::Segment => {
                    expect(
                        "a line in a segment is no head",
                        at,
                        Kind::Inside as usize,
                        line.kind as usize,
                    )?;
                    expect("a line in a segment knows its head", at, head, usize::from(line.back))?;
                }
                Kind::Free if granule == ends_at => {
                    expect(
                        "a free run is marked at its end",
                        at,
                        Kind::FreeEnd as usize,
                        line.kind as usize,
                    )?;
                    expect(
                        "both ends know a run's length",
                        at,
                        current.len as usize,
                        line.len as usize,
                    )?;
                }
                _ if granule == ends_at => {
                    expect(
                        "a run in use is not marked free",
                        at,
                        Kind::Inside as usize,
                        line.kind as usize,
                    )?;
                }
                _ => {
                    let stale_head =
                        matches!(line.kind, Kind::Free | Kind::Segment | Kind::Block | Kind::Pages);
                    expect("no head lies inside a run", at, 0, usize::from(stale_head))?;
                }
            }
        }
        expect("runs fill their region", 0, view.granule_count() as usize, expected_head as usize)
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
            }
            Kind::Segment => {
                let class = SizeClass::at(usize::from(line.class));
                let front = &self.fronts[class.index()];
                let slot_count = class.slot_count(line.len);
                let at = head.addr();
                expect(
                    "a segment has the slots of its length",
                    at,
                    slot_count as usize,
                    line.slots.count() as usize,
                )?;
                let beyond = (slot_count..u64::BITS).any(|slot| line.vacant.contains(slot));
                expect("no slot beyond the last is vacant", at, 0, usize::from(beyond))?;
                let is_front = front.segment == Some(head);
                let twice = (0..slot_count).filter(|&slot| {
                    is_front && line.vacant.contains(slot) && front.vacant.contains(slot)
                });
                expect("a slot is vacant in one place", at, 0, twice.count())?;
                let held = if is_front { front.vacant.len() } else { 0 };
                let live = slot_count - line.vacant.len() - held;
                let idle = !is_front && live == 0;
                expect("a segment without live slots is released", at, 0, usize::from(idle))?;
                census.live_bytes += live as usize * class.slot_bytes();
                census.segments[class.index()] += 1;
                census.partial[class.index()] += u32::from(!is_front && !line.vacant.is_empty());
            }
            _ => census.live_bytes += line.len as usize * GRANULE_BYTES,
        }
        Ok(())
    }

    fn check_front(&self, class: SizeClass, census: &Census) -> Result<(), Inconsistency> {
        let front: &Front = &self.fronts[class.index()];
        let segments = census.segments[class.index()] as usize;
        expect(
            "a class knows its segments",
            class.slot_bytes(),
            segments,
            front.segment_count as usize,
        )?;
        let mut listed = 0;
        let mut previous = None;
        for segment in front.partial.iter().take(segments + 1) {
            let line = segment.get();
            expect("lists link both ways", segment.addr(), 1, usize::from(line.prev == previous))?;
            let own = line.kind == Kind::Segment && usize::from(line.class) == class.index();
            expect("a class lists its own segments", segment.addr(), 1, usize::from(own))?;
            previous = Some(segment);
            listed += 1;
        }
        let partial = census.partial[class.index()] as usize;
        expect("exactly the partial segments are listed", class.slot_bytes(), partial, listed)
    }

    fn check_bins(&self, census: &Census) -> Result<(), Inconsistency> {
        let listed = self.runs.iter().take(census.free_runs + 1).count();
        expect("exactly the free runs are listed", 0, census.free_runs, listed)?;
        let listed_granules: usize =
            self.runs.iter().take(census.free_runs).map(|head| head.get().len as usize).sum();
        expect("listed runs have the free granules", 0, census.free_granules, listed_granules)?;
        expect("free granules are counted", 0, census.free_granules, self.runs.free_granules())
    }

    fn check_statistics(&self, census: &Census) -> Result<(), Inconsistency> {
        expect("total bytes", 0, census.region_bytes, self.total_bytes)?;
        expect("granules", 0, census.granules, self.granule_total)?;
        expect("used bytes", 0, census.live_bytes, self.used_bytes())?;
        let sum = self.used_bytes() + self.available_bytes() + self.metadata_bytes();
        expect("used, available and metadata are the total", 0, self.total_bytes(), sum)
    }
}

/// Returns how far a granule lies behind the head of the run of `len` granules ending at `ends_at`.
fn view_line_index(granule: u32, len: u32, ends_at: u32) -> usize {
    (granule + len - 1 - ends_at) as usize
}

fn expect(
    what: &'static str,
    address: usize,
    expected: usize,
    found: usize,
) -> Result<(), Inconsistency> {
    if expected == found { Ok(()) } else { Err(Inconsistency { what, address, expected, found }) }
}
