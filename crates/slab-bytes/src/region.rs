//! One region of memory: where its header, its lines and its granules lie, and how to get from one
//! to another. Every pointer is derived from the pointer that the region was given with.
#![expect(unsafe_code, reason = "the header and the lines are written into the region")]

use core::ptr::NonNull;

use slab_core::layout::align_up;
use slab_core::poison;
use slab_traits::RegionError;

use crate::class::GRANULE_BYTES;
use crate::line::{Kind, Line, LineRef};
use crate::region_index::Indexed;

/// Where the parts of a region lie, in bytes from its start. Arithmetic only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    header: usize,
    granules: usize,
    granule_count: u32,
}

impl Plan {
    /// Returns the bytes of the header and of the lines, two of which are edges.
    const fn bookkeeping_bytes(granule_count: usize) -> usize {
        size_of::<Region>() + (granule_count + 2) * size_of::<Line>()
    }

    /// Plans a region of `size` bytes from address `start`: the bookkeeping before the granules or
    /// behind them, whichever leaves more granules.
    fn new(start: usize, size: usize) -> Option<Self> {
        let before = Self::largest(size, |count| Self::with_header_first(start, count));
        let behind = Self::largest(size, |count| Self::with_header_last(start, count));
        match (before, behind) {
            (Some(a), Some(b)) => Some(if a.granule_count >= b.granule_count { a } else { b }),
            (one, other) => one.or(other),
        }
    }

    /// Returns the plan with the most granules that ends within `size` bytes. *O*(1): the first
    /// guess is at most two granules too high.
    fn largest(size: usize, plan: impl Fn(usize) -> Option<(Self, usize)>) -> Option<Self> {
        let spare = size.checked_sub(Self::bookkeeping_bytes(0))?;
        let most = (spare / (GRANULE_BYTES + size_of::<Line>())).min(u32::MAX as usize / 2);
        (1..=most).rev().find_map(|count| {
            let (plan, end) = plan(count)?;
            (end <= size).then_some(plan)
        })
    }

    /// Returns the plan and where it ends.
    fn with_header_first(start: usize, granule_count: usize) -> Option<(Self, usize)> {
        let header = align_up(start, align_of::<Region>())?;
        let behind = header.checked_add(Self::bookkeeping_bytes(granule_count))?;
        let granules = align_up(behind, GRANULE_BYTES)?;
        let end = granules.checked_add(granule_count.checked_mul(GRANULE_BYTES)?)?;
        let granule_count = u32::try_from(granule_count).ok()?;
        let plan = Self { header: header - start, granules: granules - start, granule_count };
        Some((plan, end - start))
    }

    /// Returns the plan and where it ends.
    fn with_header_last(start: usize, granule_count: usize) -> Option<(Self, usize)> {
        let granules = align_up(start, GRANULE_BYTES)?;
        let header = granules.checked_add(granule_count.checked_mul(GRANULE_BYTES)?)?;
        let end = header.checked_add(Self::bookkeeping_bytes(granule_count))?;
        let granule_count = u32::try_from(granule_count).ok()?;
        let plan = Self { header: header - start, granules: granules - start, granule_count };
        Some((plan, end - start))
    }

    /// Returns the plan of this region, which starts at an address, at another size. In a shorter one the bookkeeping
    /// stays if it lies before the granules; else it lies behind as many granules as fit, which start where it lay. The
    /// granules that there are keep their places. *O*(1).
    fn with_size(self, start: usize, size: usize, is_longer: bool) -> Option<Self> {
        let Self { header, granules, granule_count } = self;
        if is_longer || header > granules {
            return Self::largest(size, |count| Self::with_header_last(start, count));
        }
        let count = size.checked_sub(granules)? / GRANULE_BYTES;
        let granule_count = granule_count.min(u32::try_from(count).ok()?);
        (granule_count > 0).then_some(Self { header, granules, granule_count })
    }

    /// Returns the bytes that such a region has at least.
    fn bytes(&self) -> usize {
        let granules_end = self.granules + self.granule_count as usize * GRANULE_BYTES;
        let lines = Self::bookkeeping_bytes(self.granule_count as usize);
        granules_end.max(self.header + lines)
    }

    /// Returns the bytes that hold one granule from address `start`.
    fn bytes_required(start: usize) -> usize {
        let ends = [Self::with_header_first(start, 1), Self::with_header_last(start, 1)];
        ends.into_iter().flatten().map(|(_, end)| end).min().unwrap_or(usize::MAX)
    }
}

/// The header of a region, written into the region itself, aligned for the lines behind it. It has the same size
/// on all machines, so that granules lie at the same offsets.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
struct Region {
    /// All that was given.
    start: NonNull<u8>,
    size: usize,
    /// The line of the first granule; an `Edge` lies before it.
    lines: LineRef,
    granules: NonNull<u8>,
    granule_count: u32,
    /// Granules in use, from the first on: those that were part of a run at some time. The others are fresh.
    used_count: u32,
    /// Children in the search tree of all regions.
    children: [Option<RegionRef>; 2],
    /// The next region that has fresh granules.
    next_fresh: Option<RegionRef>,
}

const _: () = assert!(align_of::<Region>().is_multiple_of(align_of::<Line>()));
const _: () = assert!(size_of::<Region>() == 64);

/// A region that an allocator owns.
///
/// # Invariants
///
/// - **G1 (owned)**: the header is initialised, and its giver keeps the region valid and private to
///   the allocator for as long as that is used.
/// - **G2 (parts)**: `lines` and `granules` have `granule_count` elements inside the region, the
///   granules are aligned to their size, and nothing overlaps.
/// - **G3 (initialised)**: the lines of the first `used_count <= granule_count` granules are initialised,
///   and so are the `Edge` before them and the line behind them, which is an `Edge` if both counts are equal
///   and else a `Frontier`. No [`View`] and no [`LineRef`] reaches further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegionRef(NonNull<Region>);

/// The granules in use of a region, to get from an address to its line. A copy of what the region's header
/// says; it is replaced when the region takes fresh granules into use.
#[derive(Debug, Clone, Copy)]
pub struct View {
    lines: LineRef,
    granules: NonNull<u8>,
    /// Bytes of the granules in use.
    span_bytes: usize,
}

impl RegionRef {
    /// Writes the header of a region whose granules are all fresh. *O*(1): the lines are initialised by
    /// [`advance`](Self::advance).
    ///
    /// # Errors
    ///
    /// [`RegionError::AddressOverflow`] and [`RegionError::TooSmall`]; nothing was written.
    ///
    /// # Safety
    ///
    /// As [`slab_traits::BaseAllocator::add_region`].
    pub unsafe fn create(memory: NonNull<[u8]>) -> Result<Self, RegionError> {
        let (start, size) = (memory.cast::<u8>(), memory.len());
        let address = start.addr().get();
        if size > isize::MAX as usize || address.checked_add(size).is_none() {
            return Err(RegionError::AddressOverflow { start: address, size });
        }
        let Some(plan) = Plan::new(address, size) else {
            let required = Plan::bytes_required(address);
            return Err(RegionError::TooSmall { start: address, size, required });
        };
        // SAFETY: the plan lies within the `size` bytes that the caller guarantees.
        let granules = unsafe { start.add(plan.granules) };
        // SAFETY: the header lies within the plan.
        let header = unsafe { start.add(plan.header) }.cast::<Region>();
        // SAFETY: the lines follow the header, still within the plan.
        let edge = unsafe { header.add(1) }.cast::<Line>();
        // SAFETY: the plan counts two lines more than granules, and the header's alignment, of which
        // its size is a multiple, serves a line too. A zeroed line is a valid one.
        unsafe { edge.write_bytes(0, 2) };
        // SAFETY: R1 holds for the two lines just initialised: the caller guarantees the region.
        let opening = unsafe { LineRef::new(edge) };
        opening.set_kind(Kind::Edge);
        // SAFETY: the second of the two lines.
        let lines = unsafe { opening.forward(1) };
        lines.set_kind(Kind::Frontier);
        let region = Region {
            start,
            size,
            lines,
            granules,
            granule_count: plan.granule_count,
            used_count: 0,
            children: [None, None],
            next_fresh: None,
        };
        // SAFETY: the header's place is aligned, within the plan, and ours to write.
        unsafe { header.write(region) };
        Ok(Self(header))
    }

    #[inline]
    fn header(self) -> Region {
        // SAFETY: initialised and valid by G1.
        unsafe { self.0.read() }
    }

    /// Returns the address of the first byte given.
    #[inline]
    pub fn start(self) -> usize {
        self.header().start.addr().get()
    }

    /// Returns the bytes given.
    #[inline]
    pub fn size(self) -> usize {
        self.header().size
    }

    /// Returns the copy of the header that addresses are looked up with.
    #[inline]
    pub fn view(self) -> View {
        let Region { lines, granules, used_count, .. } = self.header();
        View { lines, granules, span_bytes: used_count as usize * GRANULE_BYTES }
    }

    /// Returns how many granules the region has, fresh ones included.
    pub fn granule_count(self) -> u32 {
        self.header().granule_count
    }

    /// Returns how many granules are fresh.
    pub fn fresh_count(self) -> u32 {
        self.header().granule_count - self.header().used_count
    }

    /// Returns the first byte of the granules, fresh ones included.
    pub fn granules(self) -> NonNull<u8> {
        self.header().granules
    }

    /// Returns the address behind the last granule in use.
    pub fn frontier_address(self) -> usize {
        let Region { granules, used_count, .. } = self.header();
        granules.addr().get() + used_count as usize * GRANULE_BYTES
    }

    /// Returns the line behind the last granule in use.
    pub fn frontier(self) -> LineRef {
        let Region { lines, used_count, .. } = self.header();
        // SAFETY: by G3 the line behind the last granule in use is initialised.
        unsafe { lines.forward(used_count as usize) }
    }

    /// Takes `more` fresh granules into use: initialises their lines and moves the frontier behind them.
    /// Returns the first of the lines, the head of a run that is in no list yet. *O*(`more`).
    ///
    /// # Safety
    ///
    /// `0 < more <= fresh_count()`, and every [`View`] of this region is replaced before it is used again.
    pub unsafe fn advance(self, more: u32) -> LineRef {
        let Region { lines, granule_count, used_count, .. } = self.header();
        debug_assert!(more > 0 && more <= granule_count - used_count);
        let used = used_count as usize + more as usize;
        // SAFETY: by G2 the array has `granule_count + 1` lines from `lines` on, of which those from the
        // frontier to the new one are written here. No other line reference reaches them (G3) but the
        // frontier's, and a zeroed line is a valid one.
        unsafe { lines.initialise(used_count as usize..used + 1) };
        // SAFETY: initialised just now.
        let frontier = unsafe { lines.forward(used) };
        let all = used == granule_count as usize;
        frontier.set_kind(if all { Kind::Edge } else { Kind::Frontier });
        // SAFETY: valid by G1; no reference into the header exists.
        unsafe { (*self.0.as_ptr()).used_count = used as u32 };
        // SAFETY: initialised just now.
        unsafe { lines.forward(used_count as usize) }
    }

    /// Returns where the parts of the region lie.
    fn plan(self) -> Plan {
        let Region { start, granules, granule_count, .. } = self.header();
        let offset = |at: usize| at - start.addr().get();
        let header = offset(self.0.addr().get());
        Plan { header, granules: offset(granules.addr().get()), granule_count }
    }

    /// Returns the memory of the region, as it was given.
    pub fn memory(self) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.header().start, self.size())
    }

    /// Returns the bytes that the region needs for its first `granule_count` granules, at least one, or `None` if they
    /// are more than it has.
    pub fn bytes_for(self, granule_count: u32) -> Option<usize> {
        let plan = self.plan();
        let (granule_count, is_before) = (granule_count.max(1), plan.header < plan.granules);
        let granules_end = plan.granules + granule_count as usize * GRANULE_BYTES;
        let header = if is_before { plan.header } else { granules_end };
        let bytes = Plan { header, granule_count, ..plan }.bytes();
        (bytes <= self.size()).then_some(bytes)
    }

    /// Returns how long the memory of the region has to be that it has more granules, the granules in use included.
    pub fn bytes_to_extend(self) -> usize {
        let (plan, used) = (self.plan(), self.header().used_count);
        let before = self.start().wrapping_neg() & (GRANULE_BYTES - 1);
        let prepended = plan.granules.saturating_sub(before) / GRANULE_BYTES;
        let count = (plan.granule_count as usize + 1).max(used as usize + prepended);
        Plan::with_header_last(self.start(), count).map_or(usize::MAX, |(_, end)| end)
    }

    /// Makes the last `count` granules in use fresh again. Their lines are not initialised any more.
    ///
    /// # Safety
    ///
    /// They are in no run, and every [`View`] of this region is replaced before it is used again.
    pub unsafe fn retreat(self, count: u32) {
        let used_count = self.header().used_count - count;
        // SAFETY: valid by G1; no reference into the header exists.
        unsafe { (*self.0.as_ptr()).used_count = used_count };
        if count > 0 {
            self.frontier().set(Line { kind: Kind::Frontier, ..Line::default() });
        }
    }

    /// Gives the region other memory that starts where its own does, and moves the bookkeeping if need be. Returns the
    /// region and what became of its lines; `None` if the granules in use do not fit, or if longer memory would have no
    /// more granules: nothing was written then. *O*(granules in use).
    ///
    /// The first [`prepended_count`](Move::prepended_count) granules of the region are in no run yet.
    ///
    /// # Safety
    ///
    /// `memory` is valid for as long as the region was to be, for the allocator alone except where blocks lie. No
    /// reference to the header is used any more, no [`View`], and no line reference that was not [moved](Move::of).
    pub unsafe fn resize(self, memory: NonNull<[u8]>) -> Option<(Self, Move)> {
        let (old, before) = (self.header(), self.plan());
        let start = memory.cast::<u8>();
        let is_longer = memory.len() > old.size;
        let plan = before.with_size(start.addr().get(), memory.len(), is_longer)?;
        let prepended_count = ((before.granules - plan.granules) / GRANULE_BYTES) as u32;
        let used_count = old.used_count + prepended_count;
        if plan.granule_count < used_count || is_longer && plan.granule_count <= old.granule_count {
            return None;
        }
        // SAFETY: the plan lies within the memory.
        let header = unsafe { start.add(plan.header) }.cast::<Region>();
        let table_bytes = Plan::bookkeeping_bytes(plan.granule_count as usize);
        // SAFETY: within the plan, behind the granules in use.
        unsafe { poison::allow_access(header.cast(), table_bytes) };
        // SAFETY: the lines follow the header, still within the plan.
        let edge = unsafe { header.add(1) }.cast::<Line>();
        // SAFETY: R1 holds for the lines of the plan, once they are initialised.
        let opening = unsafe { LineRef::new(edge) };
        // SAFETY: the line of the first granule, behind the edge.
        let lines = unsafe { opening.forward(1) };
        // SAFETY: the line of the granule that was the first.
        let to = unsafe { lines.forward(prepended_count as usize) };
        // SAFETY: the new table lies behind the granules in use and has room for the lines up to the frontier, which
        // are initialised by G3; the tables may overlap.
        unsafe { old.lines.copy_to(to, old.used_count as usize + 1) };
        // SAFETY: the opening edge and the lines of the granules where the bookkeeping lay.
        unsafe { opening.initialise(0..prepended_count as usize + 1) };
        opening.set_kind(Kind::Edge);
        // SAFETY: the plan lies within the memory.
        let granules = unsafe { start.add(plan.granules) };
        let region = Region {
            start,
            size: memory.len(),
            lines,
            granules,
            granule_count: plan.granule_count,
            used_count,
            children: [None, None],
            next_fresh: None,
        };
        // SAFETY: the header's place is aligned, within the plan, and ours to write.
        unsafe { header.write(region) };
        let resized = Self(header);
        let is_full = plan.granule_count == used_count;
        resized.frontier().set_kind(if is_full { Kind::Edge } else { Kind::Frontier });
        let moved = Move { from: old.lines.addr(), to, count: old.used_count, prepended_count };
        Some((resized, moved))
    }

    /// Returns the next region that has fresh granules.
    pub fn next_fresh(self) -> Option<Self> {
        self.header().next_fresh
    }

    /// Replaces the next region that has fresh granules.
    pub fn set_next_fresh(self, next: Option<Self>) {
        // SAFETY: valid by G1; no reference into the header exists.
        unsafe { (*self.0.as_ptr()).next_fresh = next };
    }
}

impl Indexed for RegionRef {
    fn start(self) -> usize {
        Self::start(self)
    }

    fn size(self) -> usize {
        Self::size(self)
    }

    fn children(self) -> [Option<Self>; 2] {
        self.header().children
    }

    fn set_children(self, children: [Option<Self>; 2]) {
        // SAFETY: valid by G1; no reference into the header exists.
        unsafe { (*self.0.as_ptr()).children = children };
    }
}

/// The way from the lines of a region as they were to the lines as they are.
#[derive(Debug, Clone, Copy)]
pub struct Move {
    /// Where the first line was.
    from: usize,
    to: LineRef,
    count: u32,
    prepended_count: u32,
}

impl Move {
    /// Returns how many granules the region has gained before those that it had.
    pub fn prepended_count(&self) -> u32 {
        self.prepended_count
    }

    /// Returns where a line is now. A line of another region has not moved.
    pub fn of(&self, line: LineRef) -> LineRef {
        if !self.has_moved(line) {
            return line;
        }
        // SAFETY: as many lines are initialised where they are now.
        unsafe { self.to.forward((line.addr() - self.from) / size_of::<Line>()) }
    }

    fn has_moved(&self, line: LineRef) -> bool {
        line.addr().wrapping_sub(self.from) / size_of::<Line>() < self.count as usize
    }

    /// Corrects the links of the lines that have moved, and those of other regions to them. There are no cached runs,
    /// which are linked in one direction only.
    pub fn relink(&self) {
        for index in 0..self.count as usize {
            // SAFETY: as many lines are initialised.
            let line = unsafe { self.to.forward(index) };
            if !matches!(line.kind(), Kind::Free | Kind::Partial) {
                continue;
            }
            // Each line that has moved corrects its own links, once: the old lines and the new may overlap.
            let (prev, next) = line.edit(|line| {
                let old = (line.prev, line.next);
                (line.prev, line.next) = (old.0.map(|at| self.of(at)), old.1.map(|at| self.of(at)));
                old
            });
            if let Some(prev) = prev.filter(|&prev| !self.has_moved(prev)) {
                prev.edit(|prev| prev.next = Some(line));
            }
            if let Some(next) = next.filter(|&next| !self.has_moved(next)) {
                next.edit(|next| next.prev = Some(line));
            }
        }
    }
}

impl View {
    /// A view of no granules.
    pub const EMPTY: Self = Self {
        // SAFETY: R1 is about lines that exist; a view of no granules never reaches for one.
        lines: unsafe { LineRef::new(NonNull::dangling()) },
        granules: NonNull::dangling(),
        span_bytes: 0,
    };

    /// Returns how many granules are in use.
    #[inline]
    pub fn granule_count(&self) -> u32 {
        (self.span_bytes / GRANULE_BYTES) as u32
    }

    /// Returns how far an address lies behind the first granule, if it lies in a granule in use.
    #[inline]
    pub fn offset_of(&self, address: usize) -> Option<usize> {
        let offset = address.wrapping_sub(self.granules.addr().get());
        (offset < self.span_bytes).then_some(offset)
    }

    /// Returns the line of a granule.
    ///
    /// # Panics
    ///
    /// In debug builds, if there is no such granule.
    ///
    /// # Safety
    ///
    /// `granule` is below the count of granules in use.
    #[inline]
    pub unsafe fn line(&self, granule: usize) -> LineRef {
        debug_assert!(granule < self.granule_count() as usize);
        // SAFETY: by G3 the initialised lines reach that far.
        unsafe { self.lines.forward(granule) }
    }

    /// Returns the granule that a line describes, if the line belongs to this region.
    #[inline]
    pub fn granule_of(&self, line: LineRef) -> Option<u32> {
        let offset = line.addr().wrapping_sub(self.lines.addr());
        let granule = offset / size_of::<Line>();
        (granule < self.granule_count() as usize).then_some(granule as u32)
    }

    /// Returns the address of a granule.
    #[inline]
    pub fn address_of(&self, granule: u32) -> usize {
        self.granules.addr().get().wrapping_add(granule as usize * GRANULE_BYTES)
    }

    /// Returns the first byte of a granule.
    ///
    /// # Safety
    ///
    /// `granule` is below the region's granule count.
    #[inline]
    pub unsafe fn granule_start(&self, granule: u32) -> NonNull<u8> {
        // SAFETY: by G2 the granules reach that far.
        unsafe { self.granules.add(granule as usize * GRANULE_BYTES) }
    }

    /// Returns the byte at an offset from the first granule, whatever the provenance of the address that
    /// the offset was computed from.
    ///
    /// # Safety
    ///
    /// The offset lies in a granule.
    #[inline]
    pub unsafe fn pointer(&self, offset: usize) -> NonNull<u8> {
        // SAFETY: by G2 the granules reach that far.
        unsafe { self.granules.add(offset) }
    }

    /// Returns the lines of all granules in use, in address order.
    pub fn lines(&self) -> impl Iterator<Item = (u32, LineRef)> {
        // SAFETY: the range ends at the granule count.
        (0..self.granule_count()).map(|granule| (granule, unsafe { self.line(granule as usize) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the parts of a region, in this order, fit into it.
    fn fits(start: usize, size: usize, parts: [(usize, usize); 2]) -> bool {
        let end =
            parts.iter().fold(start, |at, &(bytes, align)| at.next_multiple_of(align) + bytes);
        end <= start + size
    }

    /// A granule is named by 31 bits; what lies behind is left alone.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_region_of_more_granules_than_can_be_named_is_used_in_part() {
        let plan = Plan::new(1 << 20, 1 << 46).expect("large enough");
        assert_eq!(plan.granule_count, u32::MAX / 2);
    }

    #[test]
    #[cfg_attr(miri, ignore = "slow, and free of unsafe code")]
    fn a_plan_has_as_many_granules_as_fit_in_either_order() {
        let (mut first, mut last) = (0, 0);
        for offset in [0, 8, 100, 512, 1000, 1016] {
            let start = (1 << 20) + offset;
            for size in (0..9000).step_by(7) {
                let granules = |count| (count * GRANULE_BYTES, GRANULE_BYTES);
                let header = |count| (Plan::bookkeeping_bytes(count), align_of::<Region>());
                let in_order = |count| fits(start, size, [header(count), granules(count)]);
                let reversed = |count| fits(start, size, [granules(count), header(count)]);
                let most = (1..9).rev().find(|&count| in_order(count) || reversed(count));
                let plan = Plan::new(start, size);
                assert_eq!(plan.map(|plan| plan.granule_count as usize), most, "{start} {size}");
                let Some(Plan { header, granules, granule_count }) = plan else {
                    assert!(Plan::bytes_required(start) > size);
                    continue;
                };
                assert!(Plan::bytes_required(start) <= size);
                assert!((start + header).is_multiple_of(align_of::<Region>()));
                assert!((start + granules).is_multiple_of(GRANULE_BYTES));
                let bookkeeping = Plan::bookkeeping_bytes(granule_count as usize);
                let end = granules + granule_count as usize * GRANULE_BYTES;
                if header < granules {
                    assert!(header + bookkeeping <= granules && end <= size);
                    first += usize::from(!reversed(granule_count as usize));
                } else {
                    assert!(end <= header && header + bookkeeping <= size);
                    last += usize::from(!in_order(granule_count as usize));
                }
            }
        }
        assert!(first > 100 && last > 100, "{first} need the header first, {last} last");
    }
}
