//! The heap: the way of a block from its class's front to the user and back to its segment.
#![expect(unsafe_code, reason = "hands out raw memory, and implements an unsafe trait")]

use core::alloc::Layout;
use core::marker::PhantomData;
use core::ptr::NonNull;

use slab_core::{Checked, Mode, poison};
use slab_traits::{AllocError, AllocResult, BaseAllocator, ByteAllocator, RegionError};

use crate::block::{self, Fitting};
use crate::class::{BLOCK_ALIGN, GRANULE_BYTES, SizeClass};
use crate::error::FreeError;
use crate::front::{Front, Fronts};
use crate::line::{Kind, Line, LineRef};
use crate::region::{RegionRef, View};
use crate::region_set::RegionSet;
use crate::runs::RunBins;

/// A byte heap over raw memory regions.
///
/// Blocks to 4096 bytes are slots of size-classed segments; larger ones, and those aligned beyond a
/// kibibyte, are runs of granules of 1024 bytes. All bookkeeping lies in one line per granule,
/// outside the memory that users see. See the [crate documentation](crate) for the design.
///
/// * `M` says how much is checked: [`Unchecked`](slab_core::Unchecked), [`Checked`] (the default)
///   or [`Hardened`](slab_core::Hardened).
/// * `PAGE` is the page size of the [`PageAllocator`](slab_traits::PageAllocator) face, a power of
///   two from 1024.
///
/// | | steps | |
/// |---|---|---|
/// | `alloc`, `dealloc` to 4096 bytes | *O*(1) | looks at no user memory |
/// | larger blocks | *O*(1) | |
/// | any of them before `NoMemory` | *O*(classes + free runs) | returns unused segments, then scans |
/// | `dealloc` with many regions | *O*(log regions) expected | *O*(1) in the region used last |
/// | `Hardened`, any | + *O*(block size) | fills and inspects blocks |
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
/// // SAFETY: nobody uses the block; that it is freed twice is what the heap is to find.
/// unsafe { heap.try_free(block, layout) }.expect_err("it was freed already");
/// # Ok::<(), slab_traits::RegionError>(())
/// ```
#[derive(Debug)]
pub struct SlabByteAllocator<M: Mode = Checked, const PAGE: usize = 4096> {
    pub(crate) fronts: Fronts,
    pub(crate) runs: RunBins,
    pub(crate) regions: RegionSet,
    pub(crate) total_bytes: usize,
    pub(crate) granule_total: usize,
    pub(crate) page_total: usize,
    /// Bytes ever allocated, wrapping.
    pub(crate) allocated_bytes: usize,
    /// Bytes ever freed, wrapping. Kept apart, so that an alloc does not wait for the store of the
    /// free before it.
    pub(crate) freed_bytes: usize,
    refused_frees: usize,
    mode: PhantomData<M>,
}

// SAFETY: the heap is the only user of its regions, wherever it is sent, and holds no pointer to
// itself.
unsafe impl<M: Mode, const PAGE: usize> Send for SlabByteAllocator<M, PAGE> {}
// SAFETY: through a shared reference the heap is only read.
unsafe impl<M: Mode, const PAGE: usize> Sync for SlabByteAllocator<M, PAGE> {}

/// Where a live block lies.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// A slot of the segment with this head.
    Slot { head: LineRef, class: SizeClass, slot: u32 },
    /// A run of its own.
    Run { head: LineRef, len: u32 },
}

impl Place {
    fn usable_bytes(&self) -> usize {
        match *self {
            Self::Slot { class, .. } => class.slot_bytes(),
            Self::Run { len, .. } => len as usize * GRANULE_BYTES,
        }
    }
}

impl<M: Mode, const PAGE: usize> SlabByteAllocator<M, PAGE> {
    /// Returns a heap without memory.
    pub const fn new() -> Self {
        const { assert!(PAGE.is_power_of_two() && PAGE >= GRANULE_BYTES) };
        Self {
            fronts: Fronts::new(),
            runs: RunBins::new(),
            regions: RegionSet::new(),
            total_bytes: 0,
            granule_total: 0,
            page_total: 0,
            allocated_bytes: 0,
            freed_bytes: 0,
            refused_frees: 0,
            mode: PhantomData,
        }
    }

    // Allocation.

    /// Returns a block and its usable bytes.
    #[inline]
    fn alloc_block(&mut self, layout: Layout) -> AllocResult<(NonNull<u8>, usize)> {
        match block::fitting::<M>(layout) {
            Fitting::Class(class) => {
                let front = &mut self.fronts[class];
                if front.is_exhausted() {
                    front.regain();
                }
                match front.take() {
                    Some(slot) => {
                        let slot_bytes = front.slot_bytes();
                        self.allocated_bytes = self.allocated_bytes.wrapping_add(slot_bytes);
                        Ok((slot, slot_bytes))
                    }
                    None => self.alloc_slot_slow(class, layout.align()),
                }
            }
            Fitting::Run { len, align } => self.alloc_run(len, align),
            Fitting::Never => Err(AllocError::InvalidParam),
        }
    }

    /// Finds the class a slot when its front holds none.
    #[cold]
    #[inline(never)]
    fn alloc_slot_slow(
        &mut self,
        class: SizeClass,
        align: usize,
    ) -> AllocResult<(NonNull<u8>, usize)> {
        let lender = if self.refill(class) || self.grow(class) || self.squeeze(class) {
            class
        } else {
            let mut larger = class.larger().filter(|larger| larger.keeps_align(align));
            larger.find(|&larger| self.refill(larger)).ok_or(AllocError::NoMemory)?
        };
        let front = &mut self.fronts[lender];
        if lender != class
            && let Some(segment) = front.segment
        {
            segment.edit(|line| line.slots = line.slots.lend());
        }
        let slot = front.take().ok_or(AllocError::NoMemory)?;
        let slot_bytes = front.slot_bytes();
        self.allocated_bytes = self.allocated_bytes.wrapping_add(slot_bytes);
        Ok((slot, slot_bytes))
    }

    /// Gets the front a slot from the segments that the class has: from the front's own, which frees
    /// have been filling meanwhile, else from a partial one. *O*(1).
    fn refill(&mut self, class: SizeClass) -> bool {
        let front = &mut self.fronts[class];
        if front.is_exhausted() {
            front.regain();
        }
        if !front.is_exhausted() {
            return true;
        }
        let segment = match front.partial.first() {
            Some(partial) => {
                front.partial.remove(partial);
                partial
            }
            None => match front.spare.take() {
                Some(spare) => spare,
                None => return false,
            },
        };
        self.adopt(class, segment);
        true
    }

    /// Gives the class a further segment, as long as suits it or as short as can be. *O*(1), but for
    /// a scan of one bin of free runs if there is none.
    fn grow(&mut self, class: SizeClass) -> bool {
        let wished = class.segment_granules(self.fronts[class].segment_count);
        self.carve_segment(class, wished) || self.carve_segment(class, class.segment_granules_min())
    }

    /// Gives the class the memory of other classes' unused segments, if there is any.
    fn squeeze(&mut self, class: SizeClass) -> bool {
        self.reclaim() > 0 && self.carve_segment(class, class.segment_granules_min())
    }

    fn carve_segment(&mut self, class: SizeClass, len: u32) -> bool {
        let Some(head) = self.runs.take(len) else { return false };
        head.set(Line::segment(class, len));
        for back in 1..len {
            // SAFETY: within the run just taken.
            let line = unsafe { head.forward(back as usize) };
            line.set(Line { back: back as u8, ..Line::default() });
        }
        self.fronts[class].segment_count += 1;
        self.adopt(class, head);
        true
    }

    /// Makes a segment of the class, which is in no list and has vacant slots, its front.
    fn adopt(&mut self, class: SizeClass, segment: LineRef) {
        let start = self.start_of(segment);
        let front = &mut self.fronts[class];
        // SAFETY: the segment is of this class, starts there, and is in no list.
        unsafe { front.adopt(segment, start) };
    }

    #[inline(never)]
    fn alloc_run(&mut self, len: u32, align: usize) -> AllocResult<(NonNull<u8>, usize)> {
        let bytes = len as usize * GRANULE_BYTES;
        if align <= GRANULE_BYTES
            && let Some(head) = self.runs.take_kept(len)
        {
            // All else that a head says is true of it already.
            head.set_kind(Kind::Block);
            self.allocated_bytes = self.allocated_bytes.wrapping_add(bytes);
            return Ok((self.start_of(head), bytes));
        }
        let head = self.take_run(len, align, Kind::Block).ok_or(AllocError::NoMemory)?;
        Ok((self.start_of(head), bytes))
    }

    /// Takes a run of granules, if need be after returning unused segments.
    pub(crate) fn take_run(&mut self, len: u32, align: usize, kind: Kind) -> Option<LineRef> {
        let mut head = self.find_run(len, align);
        if head.is_none() && self.reclaim() > 0 {
            head = self.find_run(len, align);
        }
        self.occupy(head?, len, kind);
        head
    }

    /// Makes a run just carved the head of a block or of pages.
    pub(crate) fn occupy(&mut self, head: LineRef, len: u32, kind: Kind) {
        head.set(Line { len, kind, ..Line::default() });
        self.allocated_bytes = self.allocated_bytes.wrapping_add(len as usize * GRANULE_BYTES);
    }

    fn find_run(&mut self, len: u32, align: usize) -> Option<LineRef> {
        if align <= GRANULE_BYTES {
            return self.runs.take(len);
        }
        let slack = u32::try_from(align / GRANULE_BYTES - 1).ok()?;
        let sure_len = len.checked_add(slack)?;
        let regions = &self.regions;
        let place = |head: LineRef| {
            let (view, granule) = regions.granule_of(head);
            // SAFETY: the set returned a granule of this region.
            let start = unsafe { view.granule_start(granule) }.addr().get();
            let skip = (start.wrapping_neg() & (align - 1)) / GRANULE_BYTES;
            let needed = skip.checked_add(len as usize)?;
            (needed <= head.len() as usize).then_some(skip as u32)
        };
        // SAFETY: `place` answers only what the run has room for.
        unsafe { self.runs.take_placed(len, sure_len, place) }
    }

    /// Returns the first byte of the granule that a line describes.
    #[inline]
    pub(crate) fn start_of(&self, line: LineRef) -> NonNull<u8> {
        let (view, granule) = self.regions.granule_of(line);
        // SAFETY: the set returned a granule of this region.
        unsafe { view.granule_start(granule) }
    }

    // Release.

    /// Returns the line of the run that covers an offset of a region, and how far behind the run's
    /// start the offset lies. The line is a head, or else the offset lies in no segment.
    #[inline]
    fn line_over(view: &View, offset: usize) -> (LineRef, usize) {
        // SAFETY: the offset lies in a granule of this region.
        let line = unsafe { view.line(offset / GRANULE_BYTES) };
        let back = line.back();
        // SAFETY: by H3, for a line in a segment; any other points no further back than it could.
        let head = unsafe { line.backward(back) };
        (head, offset % GRANULE_BYTES + back as usize * GRANULE_BYTES)
    }

    /// Takes a block back, if it lies in the region used last and is aligned as every block is;
    /// `false` if not, and if there is something to refuse: [`free_slow`](Self::free_slow) knows.
    #[inline(always)]
    fn free_fast(&mut self, address: usize, layout: Layout) -> bool {
        let Some(offset) = self.regions.hot().offset_of(address) else { return false };
        let (head, offset) = Self::line_over(self.regions.hot(), offset);
        let kind = head.kind();
        if !kind.is_segment() {
            return kind == Kind::Block && offset == 0 && self.free_block(address, head, layout);
        }
        let front = self.fronts.of_line(head.class_index());
        if M::CHECKED && (layout.align() > BLOCK_ALIGN || !front.takes_size(layout.size())) {
            return false;
        }
        // A slot beyond the segment's last is not live, by H4: the count needs no look.
        let Some(slot) = front.slot_at(offset) else { return false };
        let mut live = head.live();
        let held = M::CHECKED && kind == Kind::Front && front.holds(slot);
        if held || !live.remove(slot) {
            return false;
        }
        head.set_live(live);
        self.freed_bytes = self.freed_bytes.wrapping_add(front.slot_bytes());
        // The front finds freed slots when it runs out, and keeps its segment if it is unused.
        if kind != Kind::Front && (kind == Kind::Full || live.is_empty()) {
            self.settle(head);
        }
        true
    }

    /// Takes back a block that is a run of its own; `false` if its layout does not fit.
    #[inline(never)]
    fn free_block(&mut self, address: usize, head: LineRef, layout: Layout) -> bool {
        let len = head.len();
        if M::CHECKED && !block::fits_run::<M>(layout, address, len) {
            return false;
        }
        self.freed_bytes = self.freed_bytes.wrapping_add(len as usize * GRANULE_BYTES);
        // SAFETY: the run is a block's, which has just ended.
        unsafe { self.runs.give_back(head, len) };
        true
    }

    /// Finds the live block at an address.
    ///
    /// In `Unchecked` mode an address that is no live block's gets an arbitrary answer.
    fn find(&mut self, address: usize, layout: Layout) -> Result<Place, FreeError> {
        let (view, offset) = self.regions.locate(address).ok_or(FreeError::Foreign { address })?;
        let (head, offset) = Self::line_over(&view, offset);
        let kind = head.kind();
        if !kind.is_segment() {
            return Self::find_run_block(address, offset, head, layout);
        }
        let class = SizeClass::at(head.class_index());
        let slot_bytes = class.slot_bytes();
        let slot = class.slot_over(offset);
        if !M::CHECKED {
            return Ok(Place::Slot { head, class, slot });
        }
        if slot >= head.slots().count() {
            return Err(FreeError::NotLive { address });
        }
        let slot_start = address - (offset - slot as usize * slot_bytes);
        if address != slot_start {
            return Err(FreeError::Interior { address, slot_start, slot_bytes });
        }
        let held = kind == Kind::Front && self.fronts[class].holds(slot);
        if held || !head.live().contains(slot) {
            return Err(FreeError::DoubleFree { address, slot_bytes });
        }
        if !block::fits_class::<M>(layout, address, class, head.slots().lent()) {
            return Err(wrong_layout(address, slot_bytes, layout));
        }
        Ok(Place::Slot { head, class, slot })
    }

    fn find_run_block(
        address: usize,
        offset: usize,
        head: LineRef,
        layout: Layout,
    ) -> Result<Place, FreeError> {
        let (kind, len) = (head.kind(), head.len());
        if kind != Kind::Block || offset != 0 {
            return Err(FreeError::NotLive { address });
        }
        if M::CHECKED && !block::fits_run::<M>(layout, address, len) {
            return Err(wrong_layout(address, len as usize * GRANULE_BYTES, layout));
        }
        Ok(Place::Run { head, len })
    }

    /// Takes a block back, or reports with all numbers what is wrong with the request.
    ///
    /// In [`Checked`] and [`Hardened`](slab_core::Hardened) mode the pointer may be anything: it is
    /// only compared, never read through, and a pointer that names no live block, or a layout that
    /// does not fit it, is refused. In [`Unchecked`](slab_core::Unchecked) mode only pointers outside
    /// every region, and those to no block in a large run, are.
    ///
    /// *O*(1) in the region used last, else *O*(log regions) expected.
    ///
    /// # Errors
    ///
    /// A [`FreeError`]; the heap is unchanged.
    ///
    /// # Safety
    ///
    /// If `block` is the address of a live block of this heap, nobody uses that block any more. In
    /// `Unchecked` mode it is such an address, and `layout` is the block's.
    #[inline]
    pub unsafe fn try_free(&mut self, block: NonNull<u8>, layout: Layout) -> Result<(), FreeError> {
        let address = block.addr().get();
        if !block::dressed::<M>() && self.free_fast(address, layout) {
            return Ok(());
        }
        // SAFETY: the caller's promise is the same.
        unsafe { self.free_slow(address, layout) }
    }

    /// Does all that [`try_free`](Self::try_free) says.
    ///
    /// # Safety
    ///
    /// As [`try_free`](Self::try_free).
    #[cold]
    #[inline(never)]
    unsafe fn free_slow(&mut self, address: usize, layout: Layout) -> Result<(), FreeError> {
        let place = self.find(address, layout)?;
        let usable_bytes = place.usable_bytes();
        if block::dressed::<M>() {
            let own = self.own_pointer(address);
            // SAFETY: `own` is the live block found, and it is dressed for a layout that fits it.
            unsafe { block::undress::<M>(own, layout.size(), usable_bytes) }?;
            // SAFETY: the caller has given up the block.
            unsafe { poison::retire::<M>(own, usable_bytes) };
        }
        self.freed_bytes = self.freed_bytes.wrapping_add(usable_bytes);
        match place {
            Place::Slot { head, slot, .. } => {
                let mut live = head.live();
                live.remove(slot);
                head.set_live(live);
                self.settle(head);
            }
            // SAFETY: the run is a block's, which has just ended.
            Place::Run { head, len } => unsafe { self.runs.give_back(head, len) },
        }
        Ok(())
    }

    /// Puts a segment, a slot of which was freed, where it belongs now.
    #[inline(never)]
    fn settle(&mut self, head: LineRef) {
        let kind = head.kind();
        let front = self.fronts.of_line(head.class_index());
        match (kind, head.live().is_empty()) {
            (Kind::Full, false) => {
                head.set_kind(Kind::Partial);
                front.partial.push(head);
            }
            (Kind::Full | Kind::Partial, true) => {
                if kind == Kind::Partial {
                    front.partial.remove(head);
                }
                if front.spare.is_none() {
                    head.set_kind(Kind::Spare);
                    front.spare = Some(head);
                    return;
                }
                front.segment_count -= 1;
                // SAFETY: no slot of the segment is live, and no list or front knows it any more.
                unsafe { self.runs.give_back(head, head.len()) };
            }
            _ => {}
        }
    }

    /// Returns every unused segment that a class has kept for its next allocation, and every run kept
    /// for the next of its length, to the free runs, where any class and any large block can have
    /// them, and returns how many bytes that were. *O*(classes).
    ///
    /// An allocation that finds no memory does this by itself before it gives up.
    pub fn reclaim(&mut self) -> usize {
        let mut reclaimed_bytes = 0;
        for front in self.fronts.iter_mut() {
            while let Some(head) = front.abandon_unused() {
                let len = head.len();
                // SAFETY: no slot of the segment is live, and the front has just forgotten it.
                unsafe { self.runs.release(head, len) };
                reclaimed_bytes += len as usize * GRANULE_BYTES;
            }
        }
        reclaimed_bytes += self.runs.kept().map(LineRef::len).sum::<u32>() as usize * GRANULE_BYTES;
        self.runs.flush();
        reclaimed_bytes
    }

    /// Returns the pointer to an address of ours that is derived from its region, whatever the
    /// provenance of the pointer that the user had.
    fn own_pointer(&mut self, address: usize) -> NonNull<u8> {
        let (view, offset) = self.regions.locate(address).expect("the block was found before");
        // SAFETY: the offset lies in a granule of this region.
        let granule = unsafe { view.granule_start((offset / GRANULE_BYTES) as u32) };
        // SAFETY: within that granule.
        unsafe { granule.add(offset % GRANULE_BYTES) }
    }

    /// Counts a free that was refused.
    #[cold]
    fn refused(&mut self, error: &FreeError) {
        self.refused_frees += 1;
        assert!(!(M::HARDENED || cfg!(debug_assertions)), "dealloc: {error}");
    }

    // Queries.

    /// Returns how many calls of `dealloc` were refused because they named no live block or the
    /// wrong layout.
    pub fn refused_frees(&self) -> usize {
        self.refused_frees
    }

    /// Returns the bytes of the largest block at an alignment to 16 that can be had without
    /// reclaiming anything; 0 if there is none. *O*(classes + free runs of the largest bin).
    pub fn largest_free(&self) -> usize {
        let longest = self.runs.longest() as usize * GRANULE_BYTES;
        let has_slot = |front: &&Front| {
            let own = front.segment.is_some_and(|segment| !segment.vacant().is_empty());
            own || !front.is_exhausted() || !front.partial.is_empty() || front.spare.is_some()
        };
        let slot = self.fronts.iter().filter(has_slot).last().map_or(0, Front::slot_bytes);
        longest.max(slot).saturating_sub(block::canary_bytes::<M>())
    }
}

impl<M: Mode, const PAGE: usize> Default for SlabByteAllocator<M, PAGE> {
    fn default() -> Self {
        Self::new()
    }
}

#[cold]
fn wrong_layout(address: usize, block_bytes: usize, layout: Layout) -> FreeError {
    let (size, align) = (layout.size(), layout.align());
    FreeError::WrongLayout { address, block_bytes, size, align }
}

impl<M: Mode, const PAGE: usize> BaseAllocator for SlabByteAllocator<M, PAGE> {
    /// Takes over a region. *O*(`size`): a 33rd of it is written, in `Hardened` mode all of it.
    unsafe fn add_region(&mut self, memory: NonNull<[u8]>) -> Result<(), RegionError> {
        let (start, size) = (memory.cast::<u8>().addr().get(), memory.len());
        if start.checked_add(size).is_none() {
            return Err(RegionError::AddressOverflow { start, size });
        }
        if let Some(other) = self.regions.overlapping(start, size) {
            let (other_start, other_size) = (other.start(), other.size());
            return Err(RegionError::Overlap { start, size, other_start, other_size });
        }
        // SAFETY: the caller's promise is the same.
        let region = unsafe { RegionRef::create(memory) }?;
        let view = region.view();
        let granule_count = view.granule_count();
        // SAFETY: a region has at least one granule.
        let first = unsafe { view.granule_start(0) };
        let usable_bytes = granule_count as usize * GRANULE_BYTES;
        // SAFETY: the granules are the region's, and nobody has been handed any of them.
        unsafe { poison::retire::<M>(first, usable_bytes) };
        self.regions.insert(region);
        // SAFETY: a region has at least one line.
        let head = unsafe { view.line(0) };
        // SAFETY: between the two edges lies one run that nobody uses.
        unsafe { self.runs.release(head, granule_count) };
        self.total_bytes += size;
        self.granule_total += granule_count as usize;
        let lead = first.addr().get().wrapping_neg() & (PAGE - 1);
        self.page_total += usable_bytes.saturating_sub(lead) / PAGE;
        Ok(())
    }
}

// SAFETY: a block is a slot of a segment or a run of granules, and both are handed out once: a slot
// leaves its segment's word and its front's word when it is taken (F1, H4), a run leaves the bins
// when it is carved (B1). Slots and runs keep the alignment they are chosen for, lie in granules of
// the regions (G2), and none moves.
unsafe impl<M: Mode, const PAGE: usize> ByteAllocator for SlabByteAllocator<M, PAGE> {
    /// Returns a block. *O*(1), except before `NoMemory` is returned.
    ///
    /// # Errors
    ///
    /// [`AllocError::NoMemory`] if nothing free fits, [`AllocError::InvalidParam`] for a layout that
    /// no region could hold.
    ///
    /// # Panics
    ///
    /// In `Hardened` mode, if the memory was written after it was freed.
    #[inline]
    fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        let (block, usable_bytes) = self.alloc_block(layout)?;
        if block::dressed::<M>() {
            // SAFETY: the block is retired, and ours until it is returned.
            unsafe { block::dress::<M>(block, layout.size(), usable_bytes) };
        }
        Ok(block)
    }

    /// Takes a block back; see [`try_free`](Self::try_free).
    ///
    /// # Panics
    ///
    /// In `Hardened` mode and in debug builds, if the request is refused. Else a refused free changes
    /// nothing but [`refused_frees`](Self::refused_frees).
    #[inline]
    unsafe fn dealloc(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller promises a live block and its layout.
        if let Err(error) = unsafe { self.try_free(block, layout) } {
            self.refused(&error);
        }
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
        self.total_bytes - self.granule_total * GRANULE_BYTES
    }

    /// Changes a block within its slot, or a large one by taking or leaving granules behind it.
    /// *O*(1).
    ///
    /// # Panics
    ///
    /// In `Hardened` mode, if the block was written past its end.
    unsafe fn resize_in_place(
        &mut self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> AllocResult {
        let address = block.addr().get();
        if !address.is_multiple_of(new.align()) {
            return Err(AllocError::NoMemory);
        }
        let (from, to) = (block::fitting::<M>(old), block::fitting::<M>(new));
        if from == to && !block::dressed::<M>() {
            return Ok(());
        }
        let (Fitting::Run { .. }, Fitting::Run { len: new_len, .. }) = (from, to) else {
            if from != to {
                return Err(AllocError::NoMemory);
            }
            let usable_bytes = self.find(address, old)?.usable_bytes();
            self.redress(address, old, new, usable_bytes, usable_bytes);
            return Ok(());
        };
        let Place::Run { head, len } = self.find(address, old)? else {
            return Err(AllocError::NoMemory);
        };
        // SAFETY: `head` is a block's, and `len` its length.
        unsafe { self.lengthen(head, len, new_len) }?;
        let bytes = |granules: u32| granules as usize * GRANULE_BYTES;
        self.redress(address, old, new, bytes(len), bytes(new_len));
        if new_len < len {
            // SAFETY: what lies behind the block's new end was its own and is retired.
            unsafe { self.shorten(head, len, new_len) };
        }
        Ok(())
    }

    unsafe fn usable_size(&self, block: NonNull<u8>, layout: Layout) -> usize {
        let _ = block;
        block::usable_bytes::<M>(layout)
    }

    /// Takes a block back or reports what is wrong; [`try_free`](Self::try_free) says it with
    /// numbers. The safety contract is the one of `try_free`.
    #[inline]
    unsafe fn try_dealloc(&mut self, block: NonNull<u8>, layout: Layout) -> AllocResult {
        // SAFETY: the caller's promise is the same.
        unsafe { self.try_free(block, layout) }.map_err(AllocError::from)
    }
}

impl<M: Mode, const PAGE: usize> SlabByteAllocator<M, PAGE> {
    /// In builds that dress blocks, dresses one for a new size and for the usable bytes it has now.
    ///
    /// # Panics
    ///
    /// In `Hardened` mode, if the block was written past its end.
    fn redress(
        &mut self,
        address: usize,
        old: Layout,
        new: Layout,
        old_bytes: usize,
        new_bytes: usize,
    ) {
        if !block::dressed::<M>() {
            return;
        }
        let own = self.own_pointer(address);
        // SAFETY: callers have found a live block of `old_bytes` there, dressed for `old`.
        if let Err(error) = unsafe { block::undress::<M>(own, old.size(), old_bytes) } {
            panic!("resize: {error}");
        }
        // SAFETY: the block was just undressed, and callers have given it `new_bytes`.
        unsafe { block::redress::<M>(own, new.size(), old_bytes, new_bytes) };
    }

    /// Makes room behind a block, if it is to be longer.
    ///
    /// # Safety
    ///
    /// `head` is the head of a block of `len` granules.
    unsafe fn lengthen(&mut self, head: LineRef, len: u32, new_len: u32) -> AllocResult {
        if new_len <= len {
            return Ok(());
        }
        let more = new_len - len;
        // SAFETY: at worst the closing edge.
        if unsafe { head.forward(len as usize) }.kind() == Kind::Kept {
            self.runs.flush();
        }
        // SAFETY: the caller vouches for the block.
        if !unsafe { self.runs.extend(head, len, more) } {
            return Err(AllocError::NoMemory);
        }
        head.edit(|line| line.len = new_len);
        self.allocated_bytes = self.allocated_bytes.wrapping_add(more as usize * GRANULE_BYTES);
        Ok(())
    }

    /// Frees the end of a run.
    ///
    /// # Safety
    ///
    /// `head` is the head of a run of `len` granules that is not free, `0 < new_len < len`, and what
    /// lies behind `new_len` granules is retired and in no use.
    unsafe fn shorten(&mut self, head: LineRef, len: u32, new_len: u32) {
        // SAFETY: within the run.
        let tail = unsafe { head.forward(new_len as usize) };
        head.edit(|line| line.len = new_len);
        self.freed_bytes = self.freed_bytes.wrapping_add((len - new_len) as usize * GRANULE_BYTES);
        // SAFETY: the end of a run whose head is now shorter, in no use.
        unsafe { self.runs.release(tail, len - new_len) };
    }
}
