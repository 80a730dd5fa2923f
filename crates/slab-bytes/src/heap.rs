//! The heap: allocation from the state of a class, and growth of a class or of the memory in use.
#![expect(unsafe_code, reason = "hands out raw memory, and implements an unsafe trait")]

use core::alloc::Layout;
use core::ptr::NonNull;

use slab_core::{Checked, Mode, Optional, poison};
use slab_traits::{AllocError, AllocResult, BaseAllocator, ByteAllocator, Fault, RegionError};

use crate::block::{self, Fitting};
use crate::class::{GRANULE_BYTES, SizeClass};
use crate::class_state::{ClassState, ClassStates};
use crate::hardened::Guard;
use crate::line::{Kind, Line, LineRef};
use crate::region::RegionRef;
use crate::region_set::RegionSet;
use crate::resize::Keep;
use crate::runs::{RunBins, SCAN_MAX};
use crate::slack;
use crate::small::SmallRegions;

/// Fresh granules that are taken into use at a time, at least.
const ADVANCE_MIN: u32 = 16;

/// Cached runs and spare segments are made free before fresh granules are taken into use, if they have more
/// granules than this...
const RECLAIM_MIN: usize = 16;

/// ...and more than one of so many granules in use.
const RECLAIM_SHARE: usize = 16;

/// A byte heap over raw memory regions.
///
/// Blocks to 4096 bytes are slots of size-classed segments; larger ones, and those aligned beyond a
/// kibibyte, are runs of granules of 1024 bytes. All bookkeeping lies in one line per granule,
/// outside the memory that users see. See the [crate documentation](crate) for the design.
///
/// * `M` says how much is checked: [`Unchecked`](slab_core::Unchecked), [`Checked`] (the default)
///   [`Hardened`](slab_core::Hardened) or [`Exhaustive`](slab_core::Exhaustive).
/// * `PAGE` is the page size of the [`PageAllocator`](slab_traits::PageAllocator) face, a power of
///   two from 1024.
///
/// | | steps | |
/// |---|---|---|
/// | `alloc`, `dealloc` to 4096 bytes | *O*(1) | looks at no user memory |
/// | larger blocks | *O*(1) | |
/// | any of them before `NoMemory`, or when fresh memory is taken | *O*(classes + regions) | returns unused segments, then looks at 32 free runs at most |
/// | `dealloc` with many regions | *O*(log regions) expected | *O*(1) in the region used last |
/// | `Hardened`, any | + *O*(1) | fills and inspects both ends of a block |
/// | `Exhaustive`, any | + *O*(block size) | fills and inspects blocks |
///
/// # Examples
///
/// ```
/// use core::alloc::Layout;
/// use core::ptr::NonNull;
/// use slab_bytes::SlabByteAllocator;
/// use slab_traits::{AllocError, BaseAllocator, ByteAllocator};
///
/// let mut memory = [0u8; 16 * 1024];
/// let mut heap: SlabByteAllocator = SlabByteAllocator::new();
/// let layout = Layout::new::<[u8; 100]>();
/// assert_eq!(heap.alloc(layout), Err(AllocError::NoMemory));
///
/// // SAFETY: `memory` outlives `heap` and is used through it alone.
/// unsafe { heap.add_region(NonNull::from(&mut memory[..])) }?;
/// let block = heap.alloc(layout).expect("a fresh heap has room");
/// assert_eq!(heap.used_bytes(), 112);
///
/// // SAFETY: `block` is live, came from `heap` with `layout`, and is not used again.
/// unsafe { heap.try_free(block, layout) }.expect("it is live");
/// // SAFETY: the block is not in use; the heap detects the second free.
/// unsafe { heap.try_free(block, layout) }.expect_err("it was freed already");
/// # Ok::<(), slab_traits::RegionError>(())
/// ```
#[derive(Debug)]
pub struct SlabByteAllocator<M: Mode = Checked, const PAGE: usize = 4096> {
    pub(crate) class_states: ClassStates,
    pub(crate) runs: RunBins,
    pub(crate) regions: RegionSet,
    /// Regions without granules.
    pub(crate) small: SmallRegions,
    pub(crate) total_bytes: usize,
    pub(crate) granule_total: usize,
    /// Granules of the spare segments of all classes.
    pub(crate) spare_granules: usize,
    pub(crate) page_total: usize,
    /// Bytes ever allocated, wrapping.
    pub(crate) allocated_bytes: usize,
    /// Bytes ever freed, wrapping. Kept apart, so that an alloc does not wait for the store of the
    /// free before it.
    pub(crate) freed_bytes: usize,
    pub(crate) refused_frees: usize,
    pub(crate) fault: Option<Fault>,
    /// The quarantine and the secrets of hardened modes.
    pub(crate) guard: M::IfHardened<Guard>,
}

// SAFETY: the heap is the only user of its regions, wherever it is sent, and holds no pointer to
// itself.
unsafe impl<M: Mode, const PAGE: usize> Send for SlabByteAllocator<M, PAGE> {}
// SAFETY: through a shared reference the heap is only read.
unsafe impl<M: Mode, const PAGE: usize> Sync for SlabByteAllocator<M, PAGE> {}

impl<M: Mode, const PAGE: usize> SlabByteAllocator<M, PAGE> {
    /// Returns a heap without memory.
    pub const fn new() -> Self {
        const { assert!(PAGE.is_power_of_two() && PAGE >= GRANULE_BYTES) };
        Self {
            class_states: ClassStates::new(),
            runs: RunBins::new(),
            regions: RegionSet::new(),
            small: SmallRegions::EMPTY,
            total_bytes: 0,
            granule_total: 0,
            spare_granules: 0,
            page_total: 0,
            allocated_bytes: 0,
            freed_bytes: 0,
            refused_frees: 0,
            fault: None,
            guard: M::IfHardened::INITIAL,
        }
    }

    // Allocation. `free` and `resize` are modules of their subjects.

    /// Returns a block without writing its slack. Slow paths are tail calls that return in registers, so that the
    /// fast path needs no stack frame.
    #[inline]
    pub(crate) fn alloc_block(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        match block::fitting::<M>(layout) {
            Fitting::Class(class) => {
                let state = &mut self.class_states[class];
                match state.take() {
                    Some(slot) => {
                        let slot_bytes = state.slot_bytes();
                        self.allocated_bytes = self.allocated_bytes.wrapping_add(slot_bytes);
                        Ok(slot)
                    }
                    None => self.alloc_slot_partial(class, layout.align()),
                }
            }
            Fitting::Run { len, align } => self.alloc_run(len, align),
            Fitting::Never => Err(AllocError::InvalidParam),
        }
    }

    /// Takes a slot from a partial segment of a class whose active segment is full. *O*(1).
    ///
    /// A program that frees blocks all over its segments comes here for every second block.
    #[inline(never)]
    fn alloc_slot_partial(&mut self, class: SizeClass, align: usize) -> AllocResult<NonNull<u8>> {
        let state = &mut self.class_states[class];
        let Some(segment) = state.partial.pop() else { return self.alloc_slot_slow(class, align) };
        let (view, granule) = self.regions.granule_of(segment);
        // SAFETY: the set returned a granule of this region.
        let start = unsafe { view.granule_start(granule) };
        // SAFETY: the segment is of this class, starts there, and is in no list.
        unsafe { state.adopt(segment, start) };
        let slot = state.take().ok_or(AllocError::NoMemory)?;
        self.allocated_bytes = self.allocated_bytes.wrapping_add(state.slot_bytes());
        Ok(slot)
    }

    /// Takes a slot when the active segment is full and the class has no partial segment in the region used last.
    #[cold]
    #[inline(never)]
    fn alloc_slot_slow(&mut self, class: SizeClass, align: usize) -> AllocResult<NonNull<u8>> {
        self.reclaim_if_empty();
        let serving = if self.refill(class) || self.grow(class) {
            class
        } else {
            let mut larger = class.larger().filter(|larger| larger.keeps_align(align));
            match larger.find(|&larger| self.refill(larger)) {
                Some(larger) => larger,
                None => return self.alloc_units(class, align),
            }
        };
        let state = &mut self.class_states[serving];
        if serving != class
            && let Some(segment) = state.active
        {
            segment.note_borrowed();
        }
        let slot = state.take().ok_or(AllocError::NoMemory)?;
        self.allocated_bytes = self.allocated_bytes.wrapping_add(state.slot_bytes());
        Ok(slot)
    }

    /// Makes a segment of the class with a vacant slot the active one, if there is any: the one that it is, a
    /// partial one or the spare one. *O*(1).
    pub(crate) fn refill(&mut self, class: SizeClass) -> bool {
        let state = &mut self.class_states[class];
        if state.has_vacant() {
            return true;
        }
        let segment = match state.partial.pop() {
            Some(partial) => partial,
            None => match state.spare.take() {
                Some(spare) => {
                    self.spare_granules -= spare.len() as usize;
                    spare
                }
                None => return false,
            },
        };
        self.adopt(class, segment);
        true
    }

    /// Gives the class a further segment, as long as suits it, or shorter. *O*(classes).
    ///
    /// Spare segments and cached runs are made free before a shorter segment is taken, and at once in a heap that
    /// is mostly idle: idle memory must not divide the free memory.
    pub(crate) fn grow(&mut self, class: SizeClass) -> bool {
        if self.idle_bytes() > self.used_bytes() {
            self.reclaim();
        }
        let wished = self.class_states[class].segment_granules(class);
        self.carve_segment(class, wished)
            || self.reclaim() > 0 && self.carve_segment(class, wished)
            || self.carve_segment(class, class.segment_granules(0))
            || self.carve_segment(class, class.segment_granules_min())
    }

    /// Returns the bytes that lie in segments and cached runs, but in no live block.
    fn idle_bytes(&self) -> usize {
        let held = self.granules_in_use() - self.runs.free_granules();
        held * GRANULE_BYTES + self.small.used_bytes() - self.used_bytes()
    }

    fn carve_segment(&mut self, class: SizeClass, len: u32) -> bool {
        let Some(head) = self.runs.take_cached(len).or_else(|| self.find_run(len, 1, 0)) else {
            return false;
        };
        head.set(Line::segment(class, len));
        for back in 1..len {
            // By H2 the line is `Inside` already.
            // SAFETY: within the run just taken.
            unsafe { head.forward(back as usize) }.set_back(back as u8);
        }
        if slack::is_sampled::<M>() {
            self.fill_slots(head, class);
        }
        self.class_states[class].count_segment();
        self.adopt(class, head);
        true
    }

    /// Makes a segment of the class, which is in no list and has vacant slots, the active one.
    fn adopt(&mut self, class: SizeClass, segment: LineRef) {
        let start = self.start_of(segment);
        let state = &mut self.class_states[class];
        // SAFETY: the segment is of this class, starts there, and is in no list.
        unsafe { state.adopt(segment, start) };
    }

    /// Returns a block that is a run. The cache serves most requests, and this needs no stack frame for them.
    #[inline(never)]
    fn alloc_run(&mut self, len: u32, align: usize) -> AllocResult<NonNull<u8>> {
        let is_idle = self.used_bytes() == 0 && !self.runs.is_alone(len);
        if align > GRANULE_BYTES || is_idle {
            return self.alloc_run_slow(len, align);
        }
        let Some(head) = self.runs.take_cached(len) else { return self.alloc_run_free(len, align) };
        // All else that a head says is true of it already.
        head.set_kind(Kind::Block);
        self.allocated_bytes = self.allocated_bytes.wrapping_add(len as usize * GRANULE_BYTES);
        self.block_at(head)
    }

    /// Returns a block that is a run, of the free ones.
    #[inline(never)]
    fn alloc_run_free(&mut self, len: u32, align: usize) -> AllocResult<NonNull<u8>> {
        let Some(head) = self.runs.take_free(len, 0) else {
            return self.alloc_run_slow(len, align);
        };
        self.occupy(head, len, Kind::Block);
        self.block_at(head)
    }

    /// Returns a block that is a run, in an empty heap, at any alignment, or after more memory was made free.
    #[cold]
    #[inline(never)]
    fn alloc_run_slow(&mut self, len: u32, align: usize) -> AllocResult<NonNull<u8>> {
        if self.used_bytes() == 0
            && (align > GRANULE_BYTES || !self.runs.find_alone(len, self.granules_in_use()))
        {
            self.reclaim();
        }
        let cached = if align > GRANULE_BYTES { None } else { self.runs.take_cached(len) };
        if let Some(head) = cached {
            self.occupy(head, len, Kind::Block);
            return self.block_at(head);
        }
        let head = self.take_run(len, align, Kind::Block).ok_or(AllocError::NoMemory)?;
        self.block_at(head)
    }

    /// Returns the block that starts at the granule of a line.
    #[inline(always)]
    fn block_at(&self, head: LineRef) -> AllocResult<NonNull<u8>> {
        match self.regions.hot().granule_of(head) {
            // SAFETY: a granule of the region used last.
            Some(granule) => Ok(unsafe { self.regions.hot().granule_start(granule) }),
            None => self.block_elsewhere(head),
        }
    }

    #[cold]
    #[inline(never)]
    fn block_elsewhere(&self, head: LineRef) -> AllocResult<NonNull<u8>> {
        Ok(self.start_of(head))
    }

    /// Makes all cached memory of an empty heap free, so that it serves what a fresh one serves.
    pub(crate) fn reclaim_if_empty(&mut self) {
        if self.used_bytes() == 0 {
            self.reclaim();
        }
    }

    /// Takes a run of granules, if need be after returning unused segments.
    #[cold]
    #[inline(never)]
    pub(crate) fn take_run(&mut self, len: u32, align: usize, kind: Kind) -> Option<LineRef> {
        let head = self.find_run(len, align, 0).or_else(|| {
            self.reclaim();
            self.find_run(len, align, SCAN_MAX)
        })?;
        self.occupy(head, len, kind);
        Some(head)
    }

    /// Makes a run just carved the head of a block or of pages.
    #[inline]
    pub(crate) fn occupy(&mut self, head: LineRef, len: u32, kind: Kind) {
        head.set_head(kind, len);
        self.allocated_bytes = self.allocated_bytes.wrapping_add(len as usize * GRANULE_BYTES);
    }

    /// Returns how many granules of all regions are in use, which fresh ones are not.
    pub(crate) fn granules_in_use(&self) -> usize {
        self.granule_total - self.regions.fresh_granules()
    }

    /// Carves a run out of the free ones, if need be after taking fresh granules into use. Where the free runs are not
    /// ordered by length, so many are looked at that may be long enough by chance.
    fn find_run(&mut self, len: u32, align: usize, scan_max: usize) -> Option<LineRef> {
        if let Some(head) = self.carve_run(len, align, scan_max) {
            return Some(head);
        }
        // Memory that was in use before is used again before fresh memory is.
        if self.empty_quarantine()
            && let Some(head) = self.carve_run(len, align, scan_max)
        {
            return Some(head);
        }
        let cached = self.runs.cached_granules() + self.spare_granules;
        if cached > RECLAIM_MIN.max(self.granules_in_use() / RECLAIM_SHARE) {
            self.reclaim();
            if let Some(head) = self.carve_run(len, align, scan_max) {
                return Some(head);
            }
        }
        self.carve_fresh(len, align)
    }

    /// Carves a run out of the first region where fresh granules, with the free run before them, have room for
    /// it. *O*(regions with fresh granules + granules taken into use).
    fn carve_fresh(&mut self, len: u32, align: usize) -> Option<LineRef> {
        for region in self.regions.fresh() {
            let fresh = region.fresh_count();
            // SAFETY: the line behind the last granule in use.
            let before = unsafe { self.runs.free_before(region.frontier()) };
            let start = region.frontier_address() - before as usize * GRANULE_BYTES;
            let skip = (start.wrapping_neg() & (align.max(GRANULE_BYTES) - 1)) / GRANULE_BYTES;
            let needed = skip.saturating_add(len as usize);
            if needed > before as usize + fresh as usize {
                continue;
            }
            let more = (needed as u32).saturating_sub(before);
            if more > 0 {
                self.advance(region, more.max(ADVANCE_MIN).min(fresh));
            }
            let frontier = region.frontier();
            // SAFETY: the line behind the last granule in use.
            let run_len = unsafe { self.runs.free_before(frontier) };
            // SAFETY: the run that ends there is that long.
            let head = unsafe { frontier.backward(run_len) };
            // SAFETY: a free run of at least `needed` granules.
            return Some(unsafe { self.runs.carve(head, skip as u32, len) });
        }
        None
    }

    /// Takes `more` fresh granules of a region into use, which become free. *O*(`more`).
    pub(crate) fn advance(&mut self, region: RegionRef, more: u32) {
        // SAFETY: the callers pass a region of the set and at most its fresh granules, and never zero.
        let head = unsafe { self.regions.advance(region, more) };
        if slack::is_watched::<M>() {
            let start = self.start_of(head);
            let bytes = more as usize * GRANULE_BYTES;
            // SAFETY: the granules are the region's.
            unsafe { poison::allow_access(start, bytes) };
            // SAFETY: the granules are the region's, and were never handed out.
            unsafe { slack::mark_fresh::<M>(start, bytes) };
        }
        // SAFETY: the granules are a run that is in no use and in no list yet.
        unsafe { self.runs.release(head, more) };
        self.runs.bound_cache(self.granules_in_use());
    }

    /// Takes fresh granules into use so that `more` free ones follow a run, if it reaches up to them or to
    /// the free run before them.
    pub(crate) fn advance_behind(&mut self, head: LineRef, len: u32, more: u32) {
        // SAFETY: at worst the line behind the last granule in use.
        let behind = unsafe { head.forward(len as usize) };
        let free = if behind.kind() == Kind::Free { behind.len() } else { 0 };
        // SAFETY: at worst the line behind the last granule in use.
        let end = unsafe { behind.forward(free as usize) };
        let Some(needed @ 1..) = more.checked_sub(free) else { return };
        if end.kind() == Kind::Frontier
            && let Some(region) = self.regions.region_at(end.addr())
            && needed <= region.fresh_count()
        {
            self.advance(region, needed);
        }
    }

    /// Carves a run out of the free ones.
    fn carve_run(&mut self, len: u32, align: usize, scan_max: usize) -> Option<LineRef> {
        if align <= GRANULE_BYTES {
            return self.runs.take_free(len, scan_max);
        }
        let slack = u32::try_from(align / GRANULE_BYTES - 1).ok()?;
        let sure_len = len.checked_add(slack)?;
        let (regions, hot) = (&self.regions, *self.regions.hot());
        let place = |head: LineRef| {
            let (view, granule) = match hot.granule_of(head) {
                Some(granule) => (hot, granule),
                None => regions.granule_of(head),
            };
            let skip = (view.address_of(granule).wrapping_neg() & (align - 1)) / GRANULE_BYTES;
            let needed = skip.checked_add(len as usize)?;
            (needed <= head.len() as usize).then_some(skip as u32)
        };
        // SAFETY: `place` answers only what the run has room for.
        unsafe { self.runs.take_placed(len, sure_len, scan_max, place) }
    }

    /// Returns the first byte of the granule that a line describes.
    #[inline]
    pub(crate) fn start_of(&self, line: LineRef) -> NonNull<u8> {
        let (view, granule) = self.regions.granule_of(line);
        // SAFETY: the set returned a granule of this region.
        unsafe { view.granule_start(granule) }
    }

    /// Returns every unused segment of a class and every cached run
    /// to the free runs, where any class and any large block can have
    /// them, and returns how many bytes that were. In hardened modes it empties the quarantine first. *O*(classes).
    ///
    /// An allocation that finds no memory does this by itself before it gives up.
    pub fn reclaim(&mut self) -> usize {
        self.empty_quarantine();
        let mut reclaimed_bytes = 0;
        let is_idle = self.idle_bytes() > self.used_bytes();
        for state in self.class_states.iter_mut() {
            state.forget_made(is_idle);
            while let Some(head) = state.abandon_unused() {
                let len = head.len();
                // SAFETY: no slot of the segment is live, and the class has just given it up.
                unsafe { self.runs.release(head, len) };
                reclaimed_bytes += len as usize * GRANULE_BYTES;
            }
        }
        self.spare_granules = 0;
        reclaimed_bytes += self.runs.cached_granules() * GRANULE_BYTES;
        self.runs.flush();
        reclaimed_bytes
    }

    // Queries.

    /// Returns how many frees were refused, through any method. Behind
    /// [`Locked`](slab_traits::Locked) the first one ends the program.
    pub fn refused_frees(&self) -> usize {
        self.refused_frees
    }

    /// Returns the bytes of the largest block at an alignment to 16 that can be had without
    /// reclaiming anything; 0 if there is none. *O*(classes + regions), and at most 32 free runs are looked at.
    pub fn largest_free(&self) -> usize {
        // SAFETY: the line behind the last granule in use.
        let before = |region: RegionRef| unsafe { self.runs.free_before(region.frontier()) };
        let fresh = self.regions.fresh().map(|region| before(region) + region.fresh_count());
        let longest = self.runs.longest().max(fresh.max().unwrap_or(0)) as usize * GRANULE_BYTES;
        let has_slot = |state: &&ClassState| {
            state.has_vacant() || !state.partial.is_empty() || state.spare.is_some()
        };
        let slot =
            self.class_states.iter().filter(has_slot).last().map_or(0, ClassState::slot_bytes);
        let units = self.small.longest();
        let slots = SizeClass::all().map(SizeClass::slot_bytes);
        let units = slots.rev().find(|&bytes| bytes <= units).unwrap_or(0);
        longest.max(slot).max(units).saturating_sub(block::canary_bytes::<M>())
    }
}

impl<M: Mode, const PAGE: usize> Default for SlabByteAllocator<M, PAGE> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Mode, const PAGE: usize> BaseAllocator for SlabByteAllocator<M, PAGE> {
    /// Takes over a region. *O*(log regions) expected: its memory is written when it is first used.
    unsafe fn add_region(&mut self, memory: NonNull<[u8]>) -> Result<(), RegionError> {
        let (start, size) = (memory.cast::<u8>().addr().get(), memory.len());
        if start.checked_add(size).is_none() {
            return Err(RegionError::AddressOverflow { start, size });
        }
        if let Some((other_start, other_size)) = self.overlapping(start, size) {
            return Err(RegionError::Overlap { start, size, other_start, other_size });
        }
        // SAFETY: the caller guarantees the contract of `add_region`, which is that of `create`.
        let region = unsafe { RegionRef::create(memory) };
        // One granule would serve blocks of one class.
        let is_small = match &region {
            Ok(region) => region.granule_count() == 1,
            Err(error) => matches!(error, RegionError::TooSmall { .. }),
        };
        if is_small {
            // SAFETY: the caller guarantees the contract of `add_region`, which is that of `add`.
            unsafe { self.small.add::<M>(memory) }?;
            self.total_bytes += size;
            return Ok(());
        }
        let region = region?;
        let (first, granule_count) = (region.granules(), region.granule_count());
        let usable_bytes = granule_count as usize * GRANULE_BYTES;
        // SAFETY: the granules are the region's, and none is handed out before `advance` permits it.
        unsafe { poison::deny_access(first, usable_bytes) };
        self.enter_region(region);
        Ok(())
    }
}

// SAFETY: a block is a slot of a segment or a run of granules, and both are handed out once: a slot
// is vacant in its segment's word until it is taken (H4), a run leaves the bins
// when it is carved (B1). Slots and runs keep the alignment they are chosen for, lie in granules of
// the regions (G2), and none moves.
unsafe impl<M: Mode, const PAGE: usize> ByteAllocator for SlabByteAllocator<M, PAGE> {
    /// Returns a block. *O*(1), except before `NoMemory` is returned.
    ///
    /// # Errors
    ///
    /// [`AllocError::NoMemory`] if nothing free fits, [`AllocError::InvalidParam`] for a layout that
    /// no region could hold. [`AllocError::Damaged`] in `Hardened` mode, if the memory found was written
    /// after it was freed: it is never handed out, counts as used, and the next request gets other memory.
    #[inline]
    fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        if slack::is_sampled::<M>() {
            self.alloc_sampled(layout)
        } else if slack::is_watched::<M>() {
            self.alloc_watched(layout)
        } else {
            self.alloc_block(layout)
        }
    }

    /// Takes a block back; see [`try_free`](Self::try_free). A refused free changes nothing but
    /// [`refused_frees`](Self::refused_frees), and is to be had from [`take_fault`](Self::take_fault).
    #[inline]
    unsafe fn dealloc(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller promises a live block and its layout.
        unsafe { self.free_or_count(block.addr().get(), layout) }
    }

    fn total_bytes(&self) -> usize {
        self.total_bytes
    }

    /// Returns the usable bytes of all live blocks. *O*(1).
    fn used_bytes(&self) -> usize {
        self.allocated_bytes.wrapping_sub(self.freed_bytes)
    }

    /// Returns the bytes of headers and lines, and of what lies before and behind the granules of
    /// each region.
    fn metadata_bytes(&self) -> usize {
        self.total_bytes - self.granule_total * GRANULE_BYTES - self.small.unit_bytes()
    }

    /// Changes a block within its slot, or a large one by taking or leaving granules behind it.
    /// *O*(1).
    ///
    /// # Errors
    ///
    /// [`AllocError::NoMemory`] if the block has to move, also to a smaller class, so that its memory is not
    /// wasted. In `Checked` and `Hardened` mode [`AllocError::NotAllocated`] and
    /// [`AllocError::InvalidParam`] for what [`try_free`](Self::try_free) refuses. In `Hardened` mode
    /// [`AllocError::Damaged`] if the block was written past its end, or memory behind it that it would
    /// get was written after it was freed; that memory is never handed out. The block is unchanged.
    unsafe fn resize_in_place(
        &mut self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> AllocResult<NonNull<u8>> {
        // SAFETY: the caller guarantees the contract of `resize_in_place`, which is that of `resize`.
        unsafe { self.resize(block.addr().get(), old, new, Keep::WhereItBelongs) }
    }

    /// Returns a new block; in a full heap the block itself, which then keeps the larger slot or run that it
    /// has. A shrink so fails only for an alignment that the block's address does not have.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc) and [`resize_in_place`](Self::resize_in_place).
    unsafe fn alloc_for_move(
        &mut self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> AllocResult<NonNull<u8>> {
        match self.alloc(new) {
            Err(AllocError::NoMemory) => {
                // SAFETY: the caller promises a live block with layout `old`, and the refused request has
                // changed no block.
                unsafe { self.resize(block.addr().get(), old, new, Keep::WhereItFits) }
            }
            outcome => outcome,
        }
    }

    /// Returns the bytes of the slot or run in which the block lies, which may be a larger class's;
    /// in builds that watch the slack, the block's own. *O*(log regions) expected.
    unsafe fn usable_size(&self, block: NonNull<u8>, layout: Layout) -> usize {
        if slack::is_watched::<M>() {
            return layout.size();
        }
        self.usable_bytes_at(block.addr().get()).unwrap_or(layout.size())
    }

    /// Takes a block back or reports what is wrong; [`try_free`](Self::try_free) says it with
    /// numbers. The safety contract is the one of `try_free`.
    #[inline]
    unsafe fn try_dealloc(&mut self, block: NonNull<u8>, layout: Layout) -> AllocResult {
        // SAFETY: the caller guarantees the contract of `try_free`.
        unsafe { self.try_free(block, layout) }.map_err(AllocError::from)
    }

    /// Returns the last [`Fault`] for which a request was refused, once.
    fn take_fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }
}
