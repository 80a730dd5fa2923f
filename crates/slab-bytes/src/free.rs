//! The way of a block back: from its address to its slot or run, and to where that belongs now.
#![expect(unsafe_code, reason = "walks lines from an address, and retires raw memory")]

use core::alloc::Layout;
use core::ptr::NonNull;

use slab_core::{Mode, poison};

use crate::block;
use crate::class::{BLOCK_ALIGN, GRANULE_BYTES, SizeClass};
use crate::error::FreeError;
use crate::heap::SlabByteAllocator;
use crate::line::{Kind, LineRef};
use crate::region::View;

/// Where a live block lies.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// A slot of the segment with this head.
    Slot { head: LineRef, class: SizeClass, slot: u32 },
    /// A run of its own.
    Run { head: LineRef, len: u32 },
}

impl Place {
    pub(crate) fn usable_bytes(&self) -> usize {
        match *self {
            Self::Slot { class, .. } => class.slot_bytes(),
            Self::Run { len, .. } => len as usize * GRANULE_BYTES,
        }
    }
}

impl<M: Mode, const PAGE: usize> SlabByteAllocator<M, PAGE> {
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

    /// Returns the bytes of the slot or run at an address of a live block.
    pub(crate) fn usable_bytes_at(&self, address: usize) -> Option<usize> {
        let (view, offset) = self.regions.look_up(address)?;
        let (head, _) = Self::line_over(&view, offset);
        Some(if head.kind().is_segment() {
            SizeClass::at(head.class_index()).slot_bytes()
        } else {
            head.len() as usize * GRANULE_BYTES
        })
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
    pub(crate) fn find(&mut self, address: usize, layout: Layout) -> Result<Place, FreeError> {
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
    /// In [`Checked`](slab_core::Checked) and [`Hardened`](slab_core::Hardened) mode the pointer may be anything: it is
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

    /// Returns the pointer to an address of ours that is derived from its region, whatever the
    /// provenance of the pointer that the user had.
    pub(crate) fn own_pointer(&mut self, address: usize) -> NonNull<u8> {
        let (view, offset) = self.regions.locate(address).expect("the block was found before");
        // SAFETY: the offset lies in a granule of this region.
        let granule = unsafe { view.granule_start((offset / GRANULE_BYTES) as u32) };
        // SAFETY: within that granule.
        unsafe { granule.add(offset % GRANULE_BYTES) }
    }

    /// Counts a free that was refused.
    #[cold]
    pub(crate) fn refused(&mut self, error: &FreeError) {
        self.refused_frees += 1;
        assert!(!(M::HARDENED || cfg!(debug_assertions)), "dealloc: {error}");
    }
}

#[cold]
fn wrong_layout(address: usize, block_bytes: usize, layout: Layout) -> FreeError {
    let (size, align) = (layout.size(), layout.align());
    FreeError::WrongLayout { address, block_bytes, size, align }
}
