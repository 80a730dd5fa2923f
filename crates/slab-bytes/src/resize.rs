//! Blocks that change their size where they lie.
#![expect(unsafe_code, reason = "walks lines of a run, and poisons raw memory")]

use core::alloc::Layout;
use core::ptr::NonNull;

use slab_core::{Mode, poison};
use slab_traits::{AllocError, AllocResult};

use crate::block::{self, Fitting};
use crate::class::{GRANULE_BYTES, SizeClass};
use crate::free::{Found, Place};
use crate::heap::SlabByteAllocator;
use crate::line::{Kind, LineRef};
use crate::slack::{self, Content};

/// Where a block may stay that gets another size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Where a block of the new size is allocated: a slot of its class, a run of its length.
    WhereItBelongs,
    /// Wherever it fits: in the larger slot or run that it has, which it borrows.
    WhereItFits,
}

impl<M: Mode, const PAGE: usize> SlabByteAllocator<M, PAGE> {
    /// Changes the live block at an address from layout `old` to `new` without moving it, and returns a
    /// pointer to it that is derived from the region.
    ///
    /// # Errors
    ///
    /// As [`resize_in_place`](slab_traits::ByteAllocator::resize_in_place); a fault is stored.
    ///
    /// # Safety
    ///
    /// As [`slab_traits::ByteAllocator::resize_in_place`].
    pub(crate) unsafe fn resize(
        &mut self,
        address: usize,
        old: Layout,
        new: Layout,
        keep: Keep,
    ) -> AllocResult<NonNull<u8>> {
        if keep == Keep::WhereItBelongs
            && let Some((block, stays)) = self.find_slot_fast(address, old, new)
        {
            return if stays { Ok(block) } else { Err(AllocError::NoMemory) };
        }
        let found = match self.find_intact(address, old) {
            Ok(found) => found,
            Err(fault) => return Err(self.store(fault).into()),
        };
        if !address.is_multiple_of(new.align()) {
            return Err(AllocError::NoMemory);
        }
        let (from, to) = (block::fitting::<M>(old), block::fitting::<M>(new));
        match found.place {
            Place::Slot { head, class, .. } => {
                if from != to && to != Fitting::Class(class) {
                    let fits = block::fits_class::<M>(new, address, class, true);
                    if keep == Keep::WhereItBelongs || !fits {
                        return Err(AllocError::NoMemory);
                    }
                    head.note_borrowed();
                }
            }
            Place::Run { head, len } => {
                let is_run = matches!(to, Fitting::Run { .. });
                if from != to && !is_run && keep == Keep::WhereItBelongs {
                    return Err(AllocError::NoMemory);
                }
                let new_len = block::run_granules::<M>(new).ok_or(AllocError::InvalidParam)?;
                // SAFETY: `head` is the head of a block of `len` granules.
                unsafe { self.lengthen(&found, head, len, new_len) }?;
                head.set_kind(if is_run { Kind::Block } else { Kind::Borrowed });
                // SAFETY: the block has `new_len` granules at least; its slack starts at `old.size()`.
                unsafe { self.rewrite_slack(&found, old, new, new_len as usize * GRANULE_BYTES) };
                if new_len < len {
                    // SAFETY: what lies behind the new end of the block was its own and is poisoned.
                    unsafe { self.shorten(head, len, new_len) };
                }
                return Ok(found.block);
            }
            Place::Units(_) => return self.resize_units(found, old, new),
        }
        // SAFETY: the block's slack starts at `old.size()`, and it keeps its slot.
        unsafe { self.rewrite_slack(&found, old, new, found.place.usable_bytes()) };
        Ok(found.block)
    }

    /// Finds the live slot of a layout at an address in the region used last, and returns whether a block of
    /// layout `new` belongs there. `None` says nothing.
    #[inline]
    fn find_slot_fast(
        &self,
        address: usize,
        old: Layout,
        new: Layout,
    ) -> Option<(NonNull<u8>, bool)> {
        if slack::is_watched::<M>() {
            return None;
        }
        let view = self.regions.hot();
        let offset = view.offset_of(address)?;
        let (head, in_segment) = Self::line_over(view, offset);
        if !head.kind().is_segment() {
            return None;
        }
        let state = &self.class_states[SizeClass::at(head.class_index())];
        let slot = state.slot_at(in_segment)?;
        if !head.live().contains(slot) || !state.takes(old.size(), old.align()) {
            return None;
        }
        // SAFETY: the offset lies in a granule of this region.
        let block = unsafe { view.pointer(offset) };
        Some((block, state.takes(new.size(), new.align())))
    }

    /// Changes a block of a small region to a layout of a class.
    ///
    /// # Errors
    ///
    /// As [`resize`](Self::resize).
    #[cold]
    #[inline(never)]
    fn resize_units(&mut self, found: Found, old: Layout, new: Layout) -> AllocResult<NonNull<u8>> {
        let (Place::Units(units), Fitting::Class(class)) = (found.place, block::fitting::<M>(new))
        else {
            return Err(AllocError::NoMemory);
        };
        let (old_bytes, bytes) = (units.bytes(), class.slot_bytes());
        // A block that moves is inspected like any other.
        if M::EXHAUSTIVE && bytes > old_bytes {
            return Err(AllocError::NoMemory);
        }
        self.small.resize(units, bytes).ok_or(AllocError::NoMemory)?;
        if bytes > old_bytes && slack::is_watched::<M>() {
            // SAFETY: the units gained follow those of the block.
            let gained = unsafe { found.block.add(old_bytes) };
            // SAFETY: the units were free.
            unsafe { poison::allow_access(gained, bytes - old_bytes) };
        }
        self.allocated_bytes = self.allocated_bytes.wrapping_add(bytes).wrapping_sub(old_bytes);
        // SAFETY: the block's slack starts at `old.size()`, and it has as many bytes now.
        unsafe { self.rewrite_slack(&found, old, new, bytes) };
        Ok(found.block)
    }

    /// In builds that watch the slack, rewrites that of a block for a new size and the usable bytes it has now.
    ///
    /// # Safety
    ///
    /// The block is live and its slack starts at `old.size()`; it has `new_bytes` usable bytes now, of which those beyond
    /// its former ones are usable already, and `new` fits them.
    unsafe fn rewrite_slack(&mut self, found: &Found, old: Layout, new: Layout, new_bytes: usize) {
        if !slack::is_watched::<M>() {
            return;
        }
        let old_bytes = found.place.usable_bytes();
        // SAFETY: the block's slack starts at `old.size()`.
        unsafe { slack::unpoison_slack(found.block, old.size(), old_bytes) };
        let (secret, size) = (self.secret(), new.size());
        // SAFETY: the block's slack was just unpoisoned, and has `new_bytes`.
        unsafe { slack::rewrite_slack::<M>(secret, found.block, size, old_bytes, new_bytes) };
    }

    /// Gives a block the granules behind it, if it is to be longer.
    ///
    /// # Errors
    ///
    /// [`AllocError::NoMemory`] if they are not free, [`AllocError::Damaged`] if they were written after they
    /// were freed; they are never handed out then. The block is unchanged.
    ///
    /// # Safety
    ///
    /// `head` is the head of a block of `len` granules, which is `found`.
    unsafe fn lengthen(
        &mut self,
        found: &Found,
        head: LineRef,
        len: u32,
        new_len: u32,
    ) -> AllocResult {
        if new_len <= len {
            return Ok(());
        }
        let more = new_len - len;
        // SAFETY: at worst the closing edge.
        let behind = unsafe { head.forward(len as usize) };
        if behind.kind() == Kind::Cached {
            self.runs.flush();
        }
        self.advance_behind(head, len, more);
        // SAFETY: the caller promises a block.
        if !unsafe { self.runs.extend(head, len, more) } {
            return Err(AllocError::NoMemory);
        }
        if slack::is_watched::<M>() {
            let bytes = more as usize * GRANULE_BYTES;
            // SAFETY: the granules gained follow those of the block.
            let gained = unsafe { found.block.add(len as usize * GRANULE_BYTES) };
            // SAFETY: they were free, hence poisoned.
            let outcome = unsafe { slack::make_accessible::<M>(gained, bytes, Content::Unknown) };
            if let Err(offset) = outcome {
                self.occupy(behind, more, Kind::Block);
                return Err(self.withhold(gained, bytes, offset));
            }
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
    /// lies behind `new_len` granules is poisoned and in no use.
    unsafe fn shorten(&mut self, head: LineRef, len: u32, new_len: u32) {
        // SAFETY: within the run.
        let tail = unsafe { head.forward(new_len as usize) };
        head.edit(|line| line.len = new_len);
        self.freed_bytes = self.freed_bytes.wrapping_add((len - new_len) as usize * GRANULE_BYTES);
        self.runs.forget_alone();
        // SAFETY: the end of a run whose head is now shorter, in no use.
        unsafe { self.runs.release(tail, len - new_len) };
    }
}
