//! Blocks that change their size where they lie.
#![expect(unsafe_code, reason = "walks lines of a run, and dresses raw memory")]

use core::alloc::Layout;

use slab_core::Mode;
use slab_traits::{AllocError, AllocResult};

use crate::block::{self, Fitting};
use crate::class::GRANULE_BYTES;
use crate::free::Place;
use crate::heap::SlabByteAllocator;
use crate::line::{Kind, LineRef};

impl<M: Mode, const PAGE: usize> SlabByteAllocator<M, PAGE> {
    /// Changes the live block at an address from layout `old` to `new` without moving it.
    ///
    /// # Safety
    ///
    /// A block lies there, last allocated or resized with `old`.
    pub(crate) unsafe fn resize(
        &mut self,
        address: usize,
        old: Layout,
        new: Layout,
    ) -> AllocResult {
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
        self.runs.forget_alone();
        // SAFETY: the end of a run whose head is now shorter, in no use.
        unsafe { self.runs.release(tail, len - new_len) };
    }
}
