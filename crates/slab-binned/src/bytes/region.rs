//! Memory regions: where lines, codes and pages lie, and the way from a number to a pointer. Every
//! pointer is derived from the one that the region was given with.
#![expect(unsafe_code, reason = "lines and codes are written into the region")]

use core::ptr::NonNull;

use slab_core::SlotSpace;
use slab_core::layout::align_up;
use slab_traits::RegionError;

use super::code;
use crate::classes::{GRANULE_BYTES, PAGE_BYTES, PAGE_GRANULES};
use crate::space::{Line, Lines};

/// How many regions a heap can have.
pub const REGIONS_MAX: usize = 32;

/// Page numbers end here, so that granules have numbers of 32 bits, the last of which is no granule.
const PAGE_NUMBERS: u32 = u32::MAX / PAGE_GRANULES;

/// Where the parts of a region lie, in bytes from its start. Arithmetic only.
#[derive(Debug, Clone, Copy)]
struct Plan {
    lines: usize,
    pages: usize,
    page_count: u32,
}

impl Plan {
    /// Returns the bytes of lines and codes: two lines more than pages, and a code a granule.
    fn bookkeeping_bytes(page_count: usize) -> Option<usize> {
        let lines = (page_count + 2).checked_mul(size_of::<Line>())?;
        lines.checked_add(page_count.checked_mul(PAGE_GRANULES as usize)?)
    }

    /// Plans the region with the most pages, bookkeeping before or behind them. *O*(1): the first
    /// guess is a page or two too high.
    fn new(start: usize, size: usize, pages_max: u32) -> Option<Self> {
        let page_and_more = PAGE_BYTES + PAGE_GRANULES as usize + size_of::<Line>();
        let most = (size / page_and_more).min(pages_max as usize) as u32;
        (1..=most).rev().find_map(|count| Self::with(start, size, count))
    }

    fn with(start: usize, size: usize, page_count: u32) -> Option<Self> {
        let fits = |plan: Self, end: Option<usize>| (end? - start <= size).then_some(plan);
        let (page_bytes, extra) =
            (page_count as usize * PAGE_BYTES, Self::bookkeeping_bytes(page_count as usize)?);
        let lines = align_up(start, align_of::<Line>())?;
        let pages = align_up(lines.checked_add(extra)?, PAGE_BYTES)?;
        let before = Self { lines: lines - start, pages: pages - start, page_count };
        let pages = align_up(start, PAGE_BYTES)?;
        let lines = pages.checked_add(page_bytes)?;
        let behind = Self { lines: lines - start, pages: pages - start, page_count };
        fits(before, (start + before.pages).checked_add(page_bytes))
            .or_else(|| fits(behind, lines.checked_add(extra)))
    }

    /// Returns how many bytes from this start hold one page.
    fn bytes_required(start: usize) -> usize {
        let extra = Self::bookkeeping_bytes(1).unwrap_or(usize::MAX);
        let pad = start.wrapping_neg() & (PAGE_BYTES - 1);
        let behind = pad.saturating_add(PAGE_BYTES).saturating_add(extra);
        let line_pad = start.wrapping_neg() & (align_of::<Line>() - 1);
        let before = start.checked_add(line_pad + extra).and_then(|end| align_up(end, PAGE_BYTES));
        let before = before.map_or(usize::MAX, |pages| pages - start + PAGE_BYTES);
        behind.min(before)
    }
}

/// One region.
///
/// # Invariants
///
/// - **G1 (owned)**: its giver keeps the region valid and private to the heap for as long as that is
///   used.
/// - **G2 (parts)**: `lines` holds `page_count + 2` initialised lines, `codes` an initialised byte for
///   each granule, `pages` that many pages at a multiple of their size; all in the region, and apart.
#[derive(Debug, Clone, Copy)]
pub struct Region {
    /// The address and length given.
    pub start: usize,
    pub size: usize,
    /// The line of the edge before the first page.
    lines: NonNull<Line>,
    codes: NonNull<u8>,
    pages: NonNull<u8>,
    pub first_page: u32,
    pub page_count: u32,
    /// The same two in granules.
    first_granule: u32,
    granule_count: u32,
}

/// A granule of a region.
///
/// # Invariants
///
/// - **P1 (inside)**: `place` is below the region's `granule_count`.
#[derive(Debug, Clone, Copy)]
pub struct Spot<'a> {
    region: &'a Region,
    place: u32,
}

// SAFETY: by G1 the memory is the heap's alone, wherever that is sent.
unsafe impl Send for Region {}
// SAFETY: through `&Region` nothing is read or written but by the heap that owns it.
unsafe impl Sync for Region {}

impl Region {
    const NONE: Self = Self {
        start: 0,
        size: 0,
        lines: NonNull::dangling(),
        codes: NonNull::dangling(),
        pages: NonNull::dangling(),
        first_page: 0,
        page_count: 0,
        first_granule: 0,
        granule_count: 0,
    };

    /// Returns the granule that starts at an address, if one does. *O*(1).
    #[inline]
    pub fn spot_at(&self, address: usize) -> Option<Spot<'_>> {
        // An address inside a granule rotates to a number beyond every region.
        let offset = address.wrapping_sub(self.pages.addr().get());
        let place = offset.rotate_right(GRANULE_BYTES.trailing_zeros());
        (place < self.granule_count as usize).then_some(Spot { region: self, place: place as u32 })
    }

    /// Returns a granule by its number, if it is one of this region's. *O*(1).
    #[inline]
    pub fn spot(&self, granule: u32) -> Option<Spot<'_>> {
        let place = granule.wrapping_sub(self.first_granule);
        (place < self.granule_count).then_some(Spot { region: self, place })
    }

    /// Returns the granule in which an address of the pages lies.
    pub fn granule_around(&self, address: usize) -> u32 {
        let place = address.wrapping_sub(self.pages.addr().get()) / GRANULE_BYTES;
        self.first_granule + (place as u32).min(self.granule_count - 1)
    }

    /// Returns whether an address lies in one of the pages.
    pub fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.pages.addr().get()) < self.page_count as usize * PAGE_BYTES
    }
}

impl Spot<'_> {
    /// Returns the granule's number.
    #[inline]
    pub fn granule(self) -> u32 {
        self.region.first_granule + self.place
    }

    /// Returns the first byte of the granule.
    #[inline]
    pub fn start(self) -> NonNull<u8> {
        // SAFETY: by P1 the granule lies in the pages of G2.
        unsafe { self.region.pages.add(self.place as usize * GRANULE_BYTES) }
    }

    /// Returns the granule's code.
    #[inline]
    pub fn code(self) -> u8 {
        // SAFETY: by P1 and G2 there is a code for the granule.
        let cell = unsafe { self.region.codes.add(self.place as usize) };
        // SAFETY: initialised by G2.
        unsafe { cell.read() }
    }

    /// Replaces the granule's code.
    #[inline]
    pub fn set_code(self, code: u8) {
        // SAFETY: by P1 and G2 there is a code for the granule.
        let cell = unsafe { self.region.codes.add(self.place as usize) };
        // SAFETY: ours alone by G1; no reference to a code exists.
        unsafe { cell.write(code) };
    }
}

/// All regions of a heap, and a copy of the one used last, which answers most look-ups.
#[derive(Debug)]
pub struct Regions {
    regions: [Region; REGIONS_MAX],
    count: usize,
    hot: Region,
}

impl Regions {
    pub const fn new() -> Self {
        Self { regions: [Region::NONE; REGIONS_MAX], count: 0, hot: Region::NONE }
    }

    /// Returns all regions in the order in which they were added.
    pub fn all(&self) -> &[Region] {
        &self.regions[..self.count]
    }

    /// Writes the bookkeeping of a region and returns the region, of which no page is in the tree
    /// yet. *O*(`size`): a sixteenth of it is written.
    ///
    /// # Errors
    ///
    /// [`RegionError`]; nothing was written.
    ///
    /// # Safety
    ///
    /// As [`slab_traits::BaseAllocator::add_region`].
    pub unsafe fn add(&mut self, memory: NonNull<[u8]>) -> Result<Region, RegionError> {
        let (first, size) = (memory.cast::<u8>(), memory.len());
        let start = first.addr().get();
        let Some(end) = start.checked_add(size).filter(|_| size <= isize::MAX as usize) else {
            return Err(RegionError::AddressOverflow { start, size });
        };
        for other in self.all() {
            if start < other.start + other.size && other.start < end {
                let (other_start, other_size) = (other.start, other.size);
                return Err(RegionError::Overlap { start, size, other_start, other_size });
            }
        }
        let first_page = self.all().last().map_or(1, |last| last.first_page + last.page_count + 1);
        let pages_max = PAGE_NUMBERS.saturating_sub(first_page + 1);
        if self.count == REGIONS_MAX || pages_max == 0 {
            return Err(RegionError::TooManyRegions { limit: self.count });
        }
        let Some(plan) = Plan::new(start, size, pages_max) else {
            let required = Plan::bytes_required(start);
            return Err(RegionError::TooSmall { start, size, required });
        };
        // SAFETY: the plan lies in the `size` bytes that the caller guarantees to be valid.
        let pages = unsafe { first.add(plan.pages) };
        // SAFETY: the plan lies in the `size` bytes that the caller guarantees to be valid.
        let lines = unsafe { first.add(plan.lines) }.cast::<Line>();
        let line_count = plan.page_count as usize + 2;
        // SAFETY: the plan has room for this many lines, aligned, of which zero is a valid one.
        unsafe { lines.write_bytes(0, line_count) };
        // SAFETY: the codes follow the lines, within the plan.
        let codes = unsafe { lines.add(line_count) }.cast::<u8>();
        // SAFETY: the plan counts a code for each granule.
        unsafe { codes.write_bytes(0, plan.page_count as usize * PAGE_GRANULES as usize) };
        let page_count = plan.page_count;
        let region = Region {
            start,
            size,
            lines,
            codes,
            pages,
            first_page,
            page_count,
            first_granule: first_page * PAGE_GRANULES,
            granule_count: page_count * PAGE_GRANULES,
        };
        self.regions[self.count] = region;
        self.count += 1;
        self.hot = region;
        Ok(region)
    }

    /// Returns the region used last.
    #[inline]
    pub fn hot(&self) -> &Region {
        &self.hot
    }

    /// Makes the region of an address the one used last. *O*(regions).
    #[cold]
    pub fn warm(&mut self, address: usize) {
        if let Some(&region) = self.all().iter().find(|region| region.contains(address)) {
            self.hot = region;
        }
    }

    /// Returns a granule by its number. *O*(1) in the region used last, else *O*(regions).
    #[inline]
    fn spot(&self, granule: u32) -> Option<Spot<'_>> {
        self.hot.spot(granule).or_else(|| self.spot_elsewhere(granule))
    }

    #[cold]
    fn spot_elsewhere(&self, granule: u32) -> Option<Spot<'_>> {
        self.all().iter().find_map(|region| region.spot(granule))
    }

    /// Returns a granule's code; [`code::NOTHING`] for a number that is no granule.
    #[inline]
    pub fn code(&self, granule: u32) -> u8 {
        self.spot(granule).map_or(code::NOTHING, Spot::code)
    }

    /// Replaces a granule's code. Nothing happens for a number that is no granule.
    #[inline]
    pub fn set_code(&mut self, granule: u32, code: u8) {
        if let Some(spot) = self.spot(granule) {
            spot.set_code(code);
        }
    }

    /// Returns the first byte of a granule; `None` for a number that is no granule.
    #[inline]
    pub fn start_of(&self, granule: u32) -> Option<NonNull<u8>> {
        self.spot(granule).map(Spot::start)
    }

    fn line_cell(&self, page: u32) -> Option<NonNull<Line>> {
        let place = |region: &Region| {
            let place = page.wrapping_sub(region.first_page.wrapping_sub(1));
            (region.page_count != 0 && place < region.page_count + 2).then_some(place)
        };
        let hot = place(&self.hot).map(|at| (&self.hot, at));
        let found = hot.or_else(|| self.all().iter().find_map(|r| Some((r, place(r)?))));
        let (region, at) = found?;
        // SAFETY: by G2 there are `page_count + 2` lines.
        Some(unsafe { region.lines.add(at as usize) })
    }
}

impl Lines for Regions {
    #[inline]
    fn line(&self, page: u32) -> Line {
        let Some(cell) = self.line_cell(page) else { return Line::default() };
        // SAFETY: initialised by G2.
        unsafe { cell.read() }
    }

    #[inline]
    fn set_line(&mut self, page: u32, line: Line) {
        let Some(cell) = self.line_cell(page) else { return };
        // SAFETY: ours alone by G1; no reference to a line exists.
        unsafe { cell.write(line) };
    }
}

/// The dead blocks of one class, as a [`slab_core::FreeList`] sees them: the link lies in the first
/// bytes of a block.
pub struct DeadBlocks<'a> {
    pub regions: &'a Regions,
    pub class: usize,
}

// SAFETY: a granule that may link is one for which G2 has a code, and so one that lies in the pages;
// its 16 bytes hold a link and are disjoint from all others. The largest number is no granule,
// because page numbers end before.
unsafe impl SlotSpace<u32> for DeadBlocks<'_> {
    #[inline]
    unsafe fn link_cell(&self, slot: u32) -> NonNull<u32> {
        self.regions.start_of(slot).unwrap_or(NonNull::dangling()).cast()
    }

    #[inline]
    fn may_link(&self, slot: u32) -> bool {
        self.regions.code(slot) == code::dead(self.class)
    }
}

/// The dead blocks of one class in one region. A link that leaves the region cannot be followed here.
pub struct NearBlocks<'a> {
    pub region: &'a Region,
    pub class: usize,
}

// SAFETY: as for `DeadBlocks`.
unsafe impl SlotSpace<u32> for NearBlocks<'_> {
    #[inline]
    unsafe fn link_cell(&self, slot: u32) -> NonNull<u32> {
        self.region.spot(slot).map_or(NonNull::dangling(), |spot| spot.start().cast())
    }

    #[inline]
    fn may_link(&self, slot: u32) -> bool {
        self.region.spot(slot).is_some_and(|spot| spot.code() == code::dead(self.class))
    }
}
