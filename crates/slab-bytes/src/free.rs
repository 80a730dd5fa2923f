//! Frees: from an address to the slot or run of a block, and from there to the list where it belongs now.
//! `fault` says what is wrong with a free that is refused.
#![expect(unsafe_code, reason = "walks lines from an address, and poisons raw memory")]

use core::alloc::Layout;
use core::ptr::NonNull;

use slab_core::{LiveWord, Mode};
use slab_traits::{AllocError, AllocResult, Fault};

use crate::block;
use crate::class::{GRANULE_BYTES, SizeClass};
use crate::heap::SlabByteAllocator;
use crate::line::{Kind, LineRef};
use crate::region::View;
use crate::slack;
use crate::small::{UnitPlace, Units};

/// A live block that was found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    /// The block, by a pointer derived from its region, whatever the provenance of the user's.
    pub(crate) block: NonNull<u8>,
    pub(crate) place: Place,
}

/// Where a live block lies.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// A slot of the segment with this head.
    Slot { head: LineRef, class: SizeClass, slot: u32 },
    /// A run.
    Run { head: LineRef, len: u32 },
    /// Units of a small region.
    Units(Units),
}

/// The work that the fast path of a free leaves.
enum Left {
    Nothing,
    /// The slot is freed; the segment with this head belongs to another list now.
    Relist(LineRef),
    /// Everything: the block is a run with this head, so many bytes behind which the address lies, or refused.
    Run(LineRef, usize),
    /// Everything: the block lies in another region, or is refused.
    Elsewhere,
    /// Everything: the block is refused, or a larger slot than its layout needs.
    All,
}

impl Place {
    pub(crate) fn usable_bytes(&self) -> usize {
        match *self {
            Self::Slot { class, .. } => class.slot_bytes(),
            Self::Run { len, .. } => len as usize * GRANULE_BYTES,
            Self::Units(units) => units.bytes(),
        }
    }
}

impl<M: Mode, const PAGE: usize> SlabByteAllocator<M, PAGE> {
    /// Returns the line of the run that covers an offset of a region, and how far behind the run's
    /// start the offset lies. The line is a head, or else the offset lies in no segment.
    #[inline]
    pub(crate) fn line_over(view: &View, offset: usize) -> (LineRef, usize) {
        // SAFETY: the offset lies in a granule of this region.
        let line = unsafe { view.line(offset / GRANULE_BYTES) };
        let back = line.back();
        // SAFETY: by H3, for a line in a segment; any other points no further back than it could.
        let head = unsafe { line.backward(back) };
        (head, offset % GRANULE_BYTES + back as usize * GRANULE_BYTES)
    }

    /// Returns the bytes of the slot or run at an address of a live block.
    pub(crate) fn usable_bytes_at(&self, address: usize) -> Option<usize> {
        let Some((view, offset)) = self.regions.look_up(address) else {
            return match self.small.locate(address)? {
                UnitPlace::Start(units) => Some(units.bytes()),
                _ => None,
            };
        };
        let (head, _) = Self::line_over(&view, offset);
        Some(if head.kind().is_segment() {
            SizeClass::at(head.class_index()).slot_bytes()
        } else {
            head.len() as usize * GRANULE_BYTES
        })
    }

    /// Frees a block if it is a slot in the region used last and needs no slow path. Returns the work that
    /// remains.
    ///
    /// Callers do that work in a tail call, so that the fast path needs no stack frame.
    #[inline(always)]
    fn free_fast(&mut self, address: usize, layout: Layout) -> Left {
        if slack::is_watched::<M>() {
            return Left::All;
        }
        let Some(offset) = self.regions.hot().offset_of(address) else { return Left::Elsewhere };
        let (head, offset) = Self::line_over(self.regions.hot(), offset);
        let kind = head.kind();
        if !kind.is_segment() {
            return Left::Run(head, offset);
        }
        let state = self.class_states.of_line(head.class_index());
        if M::CHECKED && !state.takes(layout.size(), layout.align()) {
            return Left::All;
        }
        // A slot beyond the segment's last is not live (H4): the slot count is not needed.
        let Some(slot) = state.slot_at(offset) else { return Left::All };
        let mut live = head.live();
        if !live.remove(slot) {
            return Left::All;
        }
        head.set_live(live);
        self.freed_bytes = self.freed_bytes.wrapping_add(state.slot_bytes());
        // A class keeps its active segment although it is unused.
        if kind != Kind::Active && (kind == Kind::Full || live.is_empty()) {
            return Left::Relist(head);
        }
        Left::Nothing
    }

    /// Takes a block back and counts a refusal; [`ByteAllocator::dealloc`](slab_traits::ByteAllocator::dealloc).
    ///
    /// # Safety
    ///
    /// As [`try_free`](Self::try_free).
    #[inline(always)]
    pub(crate) unsafe fn free_or_count(&mut self, address: usize, layout: Layout) {
        if slack::is_sampled::<M>() {
            // SAFETY: the caller guarantees the contract of `try_free`, which is the callee's too.
            return unsafe { self.free_sampled_or_count(address, layout) };
        }
        match self.free_fast(address, layout) {
            Left::Nothing => {}
            Left::Relist(head) => self.relist(head),
            // SAFETY: the caller guarantees the contract of `try_free`, which is the callee's too.
            Left::Run(head, offset) => unsafe {
                self.free_run_or_count(address, layout, head, offset)
            },
            // SAFETY: the caller guarantees the contract of `try_free`, which is the callee's too.
            Left::Elsewhere => unsafe { self.free_elsewhere_or_count(address, layout) },
            // SAFETY: the caller guarantees the contract of `try_free`, which is the callee's too.
            Left::All => unsafe { self.free_slow_or_count(address, layout) },
        }
    }

    /// Takes a block back that lies in another region than the one used last, and counts a refusal.
    ///
    /// # Safety
    ///
    /// As [`try_free`](Self::try_free).
    #[inline(never)]
    unsafe fn free_elsewhere_or_count(&mut self, address: usize, layout: Layout) {
        if self.regions.locate(address).is_some() {
            // The region of the address is the one used last now, so this does not come back here.
            // SAFETY: the caller guarantees the contract of `try_free`, which is the callee's too.
            return unsafe { self.free_or_count(address, layout) };
        }
        // SAFETY: the caller guarantees the contract of `try_free`, which is the callee's too.
        unsafe { self.free_slow_or_count(address, layout) };
    }

    /// Takes a block back that is a run in the region used last, and counts a refusal.
    ///
    /// # Safety
    ///
    /// As [`try_free`](Self::try_free).
    #[inline(never)]
    unsafe fn free_run_or_count(
        &mut self,
        address: usize,
        layout: Layout,
        head: LineRef,
        offset: usize,
    ) {
        let len = head.len();
        let whole = head.kind() == Kind::Block && offset == 0;
        if whole && (!M::CHECKED || block::fits_run::<M>(layout, address, len)) {
            self.freed_bytes = self.freed_bytes.wrapping_add(len as usize * GRANULE_BYTES);
            // SAFETY: the run is a block's, which has just ended.
            return unsafe { self.runs.give_back(head, len) };
        }
        // SAFETY: the caller guarantees the contract of `try_free`, which is the callee's too.
        unsafe { self.free_slow_or_count(address, layout) };
    }

    /// Takes a block back and counts a refusal, without the fast path.
    ///
    /// # Safety
    ///
    /// As [`try_free`](Self::try_free).
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn free_slow_or_count(&mut self, address: usize, layout: Layout) {
        // SAFETY: the caller guarantees the contract of `try_free`, which is the callee's too. A refusal is counted and its fault stored.
        let _ = unsafe { self.free_slow(address, layout) };
    }

    /// Finds the live block of a layout at an address; [`fault_of`](Self::fault_of) says why there is none.
    ///
    /// In `Unchecked` mode an address that is no live block's gets an arbitrary answer.
    pub(crate) fn find(&mut self, address: usize, layout: Layout) -> Option<Found> {
        let (view, offset) = self.regions.locate(address)?;
        let (head, in_run) = Self::line_over(&view, offset);
        let kind = head.kind();
        let place = if kind.is_segment() {
            let class = SizeClass::at(head.class_index());
            let slot = class.slot_over(in_run);
            if M::CHECKED {
                let starts = slot as usize * class.slot_bytes() == in_run;
                let exists = slot < head.slots().count() && head.live().contains(slot);
                let borrowed = head.slots().borrowed();
                let fits = block::fits_class::<M>(layout, address, class, borrowed);
                if !(starts && exists && fits) {
                    return None;
                }
            }
            Place::Slot { head, class, slot }
        } else {
            let len = head.len();
            let fits = match kind {
                Kind::Block => !M::CHECKED || block::fits_run::<M>(layout, address, len),
                Kind::Borrowed => {
                    !M::CHECKED || block::fits_borrowed_run::<M>(layout, address, len)
                }
                _ => false,
            };
            if in_run != 0 || !fits {
                return None;
            }
            Place::Run { head, len }
        };
        // SAFETY: the offset lies in a granule of this region.
        Some(Found { block: unsafe { view.pointer(offset) }, place })
    }

    /// Takes a block of a class from the small regions.
    #[cold]
    pub(crate) fn alloc_units(
        &mut self,
        class: SizeClass,
        align: usize,
    ) -> AllocResult<NonNull<u8>> {
        let units = self.small.take(class.slot_bytes(), align).ok_or(AllocError::NoMemory)?;
        self.allocated_bytes = self.allocated_bytes.wrapping_add(units.bytes());
        Ok(units.block())
    }

    /// Finds the live block of a layout at an address of a small region, where [`find`](Self::find) looks at none.
    #[cold]
    pub(crate) fn find_units(&self, address: usize, layout: Layout) -> Option<Found> {
        let Some(UnitPlace::Start(units)) = self.small.locate(address) else { return None };
        let fits = block::fits_units::<M>(layout, address, units.bytes());
        (!M::CHECKED || fits).then_some(Found { block: units.block(), place: Place::Units(units) })
    }

    /// Takes a block back, or reports with all numbers what is wrong with the request.
    ///
    /// In [`Checked`](slab_core::Checked) and [`Hardened`](slab_core::Hardened) mode the pointer may be anything: it is
    /// only compared, never read through, and a pointer that names no live block, or a layout that
    /// does not fit it, is refused. In [`Unchecked`](slab_core::Unchecked) mode only pointers outside
    /// every region, and those to no block in a large run, are.
    ///
    /// *O*(1) in the region used last, else *O*(log regions) expected. A refusal looks at 1024 lines at
    /// most.
    ///
    /// # Errors
    ///
    /// A [`Fault`], which [`take_fault`](slab_traits::ByteAllocator::take_fault) returns too; the heap is unchanged
    /// but for [`refused_frees`](Self::refused_frees).
    ///
    /// * [`DoubleFree`](Fault::DoubleFree): the slot is free, or was never handed out; or a free run starts
    ///   there, as after the free of a large block, unless it was merged with free memory before it.
    /// * [`Interior`](Fault::Interior): into a live slot, or into the first mebibyte of a live run.
    /// * [`Foreign`](Fault::Foreign): outside every region, or in the bookkeeping of one.
    /// * [`WrongLayout`](Fault::WrongLayout): the block is live, and a layout of another class or another run
    ///   length. `size_min` and `size_max` are those of the class at the alignment passed; in `Hardened`
    ///   mode both are the block's own size, and any other is refused.
    /// * [`WrittenPastEnd`](Fault::WrittenPastEnd): in `Hardened` mode. The block stays live.
    /// * [`NotLive`](Fault::NotLive): anything else in a region: pages, and memory that was freed and
    ///   merged or never handed out.
    ///
    /// # Safety
    ///
    /// If `block` is the address of a live block of this heap, that block is not used any more. In
    /// `Unchecked` mode it is such an address, and `layout` is the block's.
    #[inline]
    pub unsafe fn try_free(&mut self, block: NonNull<u8>, layout: Layout) -> Result<(), Fault> {
        let address = block.addr().get();
        // SAFETY: the caller guarantees the contract of `try_free`, which is the callee's too.
        if slack::is_sampled::<M>() && unsafe { self.free_sampled(address, layout) } {
            return Ok(());
        }
        match self.free_fast(address, layout) {
            Left::Nothing => Ok(()),
            Left::Relist(head) => {
                self.relist(head);
                Ok(())
            }
            // SAFETY: the caller guarantees the contract of `try_free`, which is the callee's too.
            Left::Run(..) | Left::Elsewhere | Left::All => unsafe {
                self.free_slow(address, layout)
            },
        }
    }

    /// Does all that [`try_free`](Self::try_free) says.
    ///
    /// # Safety
    ///
    /// As [`try_free`](Self::try_free).
    #[cold]
    #[inline(never)]
    unsafe fn free_slow(&mut self, address: usize, layout: Layout) -> Result<(), Fault> {
        let Found { block, place } = match self.find_intact(address, layout) {
            Ok(found) => found,
            Err(fault) => {
                self.refused_frees += 1;
                return Err(self.store(fault));
            }
        };
        let usable_bytes = place.usable_bytes();
        if slack::is_watched::<M>() {
            // SAFETY: the live block found, whose slack is intact and starts at this size.
            unsafe { slack::unpoison_slack(block, layout.size(), usable_bytes) };
            // SAFETY: the caller has given up the block.
            unsafe { slack::mark_dead::<M>(block, usable_bytes) };
        }
        self.freed_bytes = self.freed_bytes.wrapping_add(usable_bytes);
        if !self.quarantine(place) {
            // SAFETY: the caller has given up the block.
            unsafe { self.end_block(place) };
        }
        Ok(())
    }

    /// Frees the slot or the run of a block that has ended.
    ///
    /// # Safety
    ///
    /// The place is that of a live block, which nothing uses any more.
    pub(crate) unsafe fn end_block(&mut self, place: Place) {
        match place {
            Place::Slot { head, slot, .. } => {
                let mut live = head.live();
                live.remove(slot);
                head.set_live(live);
                if Self::is_relist_due(head.kind(), live) {
                    self.relist(head);
                }
            }
            // SAFETY: the run is a block's, which has just ended.
            Place::Run { head, len } => unsafe { self.runs.give_back(head, len) },
            Place::Units(units) => self.small.free(units),
        }
    }

    /// Returns whether a segment of this kind, a slot of which was freed, belongs to another list now.
    #[inline]
    pub(crate) fn is_relist_due(kind: Kind, live: LiveWord) -> bool {
        kind != Kind::Active && (kind == Kind::Full || live.is_empty())
    }

    /// Puts a segment, a slot of which was freed, where it belongs now.
    #[inline(never)]
    pub(crate) fn relist(&mut self, head: LineRef) {
        let kind = head.kind();
        let state = self.class_states.of_line(head.class_index());
        match (kind, head.live().is_empty()) {
            (Kind::Full, false) => {
                head.set_kind(Kind::Partial);
                state.partial.push(head);
            }
            (Kind::Full | Kind::Partial, true) => {
                if kind == Kind::Partial {
                    state.partial.remove(head);
                }
                if state.spare.is_none() {
                    head.set_kind(Kind::Spare);
                    // Every slot is vacant, so that none is borrowed any more.
                    head.edit(|line| line.slots = line.slots.without_borrowed());
                    state.spare = Some(head);
                    self.spare_granules += head.len() as usize;
                    return;
                }
                state.segment_count -= 1;
                if slack::is_sampled::<M>() {
                    self.fill_run(head);
                }
                // SAFETY: no slot of the segment is live, and no list or class refers to it any more.
                unsafe { self.runs.give_back(head, head.len()) };
            }
            _ => {}
        }
    }
}
