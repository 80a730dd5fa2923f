//! The way of a block back: from its address to its slot or run, and to where that belongs now. What is
//! wrong with a free that is refused is said in `fault`.
#![expect(unsafe_code, reason = "walks lines from an address, and retires raw memory")]

use core::alloc::Layout;
use core::ptr::NonNull;

use slab_core::{Mode, poison};
use slab_traits::{AllocError, AllocResult, Fault};

use crate::block;
use crate::class::{GRANULE_BYTES, SizeClass};
use crate::heap::SlabByteAllocator;
use crate::line::{Kind, LineRef};
use crate::region::View;

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
    /// A run of its own.
    Run { head: LineRef, len: u32 },
}

/// What became of a slot that was to be freed.
enum Slot {
    Freed,
    /// Freed, and its segment does not belong any more where it is.
    Unsettled,
    /// Untouched.
    Unusual,
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
        let (view, offset) = self.regions.look_up(address)?;
        let (head, _) = Self::line_over(&view, offset);
        Some(if head.kind().is_segment() {
            SizeClass::at(head.class_index()).slot_bytes()
        } else {
            head.len() as usize * GRANULE_BYTES
        })
    }

    /// Takes a block back and returns `done`, or whatever `rest` returns, which does all that
    /// [`try_free`](Self::try_free) says and is asked whenever anything is unusual: a region that is
    /// not the one used last, or something to refuse.
    ///
    /// Calls are last calls, so that the usual way needs no stack frame.
    ///
    /// # Safety
    ///
    /// As [`try_free`](Self::try_free).
    #[inline(always)]
    pub(crate) unsafe fn free_as<R>(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        done: R,
        rest: unsafe fn(&mut Self, usize, Layout) -> R,
    ) -> R {
        let address = block.addr().get();
        if block::dressed::<M>() {
            // SAFETY: the caller's promise is the same.
            return unsafe { rest(self, address, layout) };
        }
        let Some(offset) = self.regions.hot().offset_of(address) else {
            // SAFETY: as above.
            return unsafe { rest(self, address, layout) };
        };
        let (head, offset) = Self::line_over(self.regions.hot(), offset);
        let kind = head.kind();
        if !kind.is_segment() {
            // SAFETY: as above.
            return unsafe { self.free_run(address, layout, done, rest) };
        }
        match self.free_slot(head, kind, offset, layout) {
            Slot::Freed => done,
            Slot::Unsettled => {
                self.settle(head);
                done
            }
            // SAFETY: as above.
            Slot::Unusual => unsafe { rest(self, address, layout) },
        }
    }

    /// Makes the slot at an offset of a segment vacant, if it is live and the layout fits its class.
    #[inline(always)]
    fn free_slot(&mut self, head: LineRef, kind: Kind, offset: usize, layout: Layout) -> Slot {
        let front = self.fronts.of_line(head.class_index());
        if M::CHECKED && !front.takes(layout.size(), layout.align()) {
            return Slot::Unusual;
        }
        // A slot beyond the segment's last is not live, by H4: the count needs no look.
        let Some(slot) = front.slot_at(offset) else { return Slot::Unusual };
        let mut live = head.live();
        if kind == Kind::Front {
            if M::CHECKED && front.holds(slot) || !live.remove(slot) {
                return Slot::Unusual;
            }
            // The front finds the slot when it runs out, and keeps its segment if it is unused.
            head.set_live(live);
            self.freed_bytes = self.freed_bytes.wrapping_add(front.slot_bytes());
            return Slot::Freed;
        }
        if !live.remove(slot) {
            return Slot::Unusual;
        }
        head.set_live(live);
        self.freed_bytes = self.freed_bytes.wrapping_add(front.slot_bytes());
        if kind == Kind::Full || live.is_empty() { Slot::Unsettled } else { Slot::Freed }
    }

    /// Takes a block back that is a run of its own, in the region used last.
    ///
    /// # Safety
    ///
    /// As [`try_free`](Self::try_free).
    #[inline(never)]
    unsafe fn free_run<R>(
        &mut self,
        address: usize,
        layout: Layout,
        done: R,
        rest: unsafe fn(&mut Self, usize, Layout) -> R,
    ) -> R {
        let Some(offset) = self.regions.hot().offset_of(address) else {
            // SAFETY: the caller's promise is the same.
            return unsafe { rest(self, address, layout) };
        };
        let (head, offset) = Self::line_over(self.regions.hot(), offset);
        let len = head.len();
        let whole = head.kind() == Kind::Block && offset == 0;
        if !whole || M::CHECKED && !block::fits_run::<M>(layout, address, len) {
            // SAFETY: as above.
            return unsafe { rest(self, address, layout) };
        }
        self.freed_bytes = self.freed_bytes.wrapping_add(len as usize * GRANULE_BYTES);
        // SAFETY: the run is a block's, which has just ended.
        unsafe { self.runs.give_back(head, len) };
        done
    }

    /// As [`try_free`](Self::try_free), without an answer.
    ///
    /// # Safety
    ///
    /// As [`try_free`](Self::try_free).
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn free_or_count(&mut self, address: usize, layout: Layout) {
        // SAFETY: the caller's promise is the same. A refusal is counted and its fault stored.
        let _ = unsafe { self.free_slow(address, layout) };
    }

    /// As [`try_free`](Self::try_free), without the numbers.
    ///
    /// # Safety
    ///
    /// As [`try_free`](Self::try_free).
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn free_or_refuse(&mut self, address: usize, layout: Layout) -> AllocResult {
        // SAFETY: the caller's promise is the same.
        unsafe { self.free_slow(address, layout) }.map_err(AllocError::from)
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
                let held = kind == Kind::Front && self.fronts[class].holds(slot);
                let borrowed = head.slots().borrowed();
                let fits = block::fits_class::<M>(layout, address, class, borrowed);
                if !(starts && exists && !held && fits) {
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
    /// If `block` is the address of a live block of this heap, nobody uses that block any more. In
    /// `Unchecked` mode it is such an address, and `layout` is the block's.
    #[inline]
    pub unsafe fn try_free(&mut self, block: NonNull<u8>, layout: Layout) -> Result<(), Fault> {
        // SAFETY: the caller's promise is the same.
        unsafe { self.free_as(block, layout, Ok(()), Self::free_slow) }
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
        if block::dressed::<M>() {
            // SAFETY: the live block found, dressed for this layout, whose slack is as it was left.
            unsafe { block::undress(block, layout.size(), usable_bytes) };
            // SAFETY: the caller has given up the block.
            unsafe { poison::retire::<M>(block, usable_bytes) };
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
                    // Every slot is vacant, so that none is borrowed any more.
                    head.edit(|line| line.slots = line.slots.without_borrowed());
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
}
