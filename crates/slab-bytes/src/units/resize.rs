//! Blocks that change their length where they are.
#![expect(unsafe_code, reason = "cuts and merges rows of units")]

use core::ptr::NonNull;

use slab_core::poison;
use slab_traits::{AllocError, AllocResult};

use super::heap::UnitByteAllocator;
use super::map::{Run, State};
use super::policy::Policy;
use crate::small::UNIT_BYTES;

impl<P: Policy> UnitByteAllocator<P> {
    /// Changes how many units a live block has, if the units behind it permit.
    pub(super) fn resize(&mut self, block: Run, len: u32) -> AllocResult<NonNull<u8>> {
        let Run { region, first, len: old } = block;
        if len > old {
            self.lengthen(block, len)?;
        } else if len < old {
            // SAFETY: the map has the block.
            unsafe { block.end_run(true) };
            // SAFETY: the first units stay the block's.
            unsafe { Run { len, ..block }.begin(true) };
            // SAFETY: the caller has given up the other units.
            unsafe { self.release(region, first + len, old - len) };
        }
        self.used_bytes = self.used_bytes - old as usize * UNIT_BYTES + len as usize * UNIT_BYTES;
        // SAFETY: the units are the region's.
        let pointer = unsafe { region.pointer(first) };
        let bytes = len as usize * UNIT_BYTES;
        // SAFETY: they belong to the block.
        unsafe { poison::allow_access(pointer, bytes) };
        Ok(pointer)
    }

    /// Adds the units behind a block to it.
    fn lengthen(&mut self, block: Run, len: u32) -> AllocResult {
        let Run { region, first, .. } = block;
        let (next, more) = (block.end(), len - block.len);
        // SAFETY: behind a run there is another, the frontier or the end, all before the frontier or at it.
        if unsafe { region.state(next) } != State::Free {
            return Err(AllocError::NoMemory);
        }
        if next == region.frontier() {
            if more > region.count() - next {
                return Err(AllocError::NoMemory);
            }
            // SAFETY: the units behind are fresh.
            unsafe { self.move_frontier(region, next + more) };
        } else {
            // SAFETY: a free run starts there.
            let free = Run { region, first: next, len: unsafe { region.len_at(next) } };
            if free.len < more {
                return Err(AllocError::NoMemory);
            }
            self.remove(region, next, free.len)?;
            if free.len > more {
                // SAFETY: the units were free until now.
                unsafe { self.insert(region, next + more, free.len - more) };
            }
        }
        // SAFETY: the map has the block.
        unsafe { block.end_run(true) };
        // SAFETY: the block and the units behind it, which were free.
        unsafe { Run { region, first, len }.begin(true) };
        Ok(())
    }
}
