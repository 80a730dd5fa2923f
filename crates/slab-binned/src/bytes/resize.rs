//! Changing a block where it lies.

use core::alloc::Layout;
use core::ptr::NonNull;

use slab_traits::{AllocError, AllocResult};

use super::free::Block;
use super::heap::BinnedByteAllocator;
use crate::classes::{PAGE_BYTES, PAGE_GRANULES};

impl BinnedByteAllocator {
    /// Changes a live block, if it can stay where it is, and returns the pointer to it that the region
    /// has: the caller's may be one for the old length only. A block of a class stays if it holds the new
    /// size and is not four times as large; a run of pages gives pages back, or takes those behind it.
    pub(super) fn resize(
        &mut self,
        block: &Block,
        address: usize,
        new: Layout,
    ) -> AllocResult<NonNull<u8>> {
        let Block { granule, pad, class, bytes, usable_bytes } = *block;
        if !address.is_multiple_of(new.align()) {
            return Err(AllocError::NoMemory);
        }
        if class.is_some() {
            if new.size() > usable_bytes || new.size() <= usable_bytes / 4 {
                return Err(AllocError::NoMemory);
            }
        } else {
            self.resize_run(granule, bytes, new.size())?;
        }
        self.regions.start_of(granule + pad).ok_or(AllocError::NoMemory)
    }

    fn resize_run(&mut self, granule: u32, bytes: usize, new_size: usize) -> AllocResult {
        let (page, pages) = (granule / PAGE_GRANULES, (bytes / PAGE_BYTES) as u32);
        let new_pages = u32::try_from(new_size.max(1).div_ceil(PAGE_BYTES));
        let new_pages = new_pages.map_err(|_| AllocError::NoMemory)?;
        let new_bytes = new_pages as usize * PAGE_BYTES;
        if new_pages < pages {
            self.retire(granule + new_pages * PAGE_GRANULES, bytes - new_bytes);
            self.runs.shorten(&mut self.regions, page, pages, new_pages);
            self.freed_bytes += (bytes - new_bytes) as u64;
        } else if new_pages > pages {
            if !self.runs.lengthen(&mut self.regions, page, pages, new_pages) {
                return Err(AllocError::NoMemory);
            }
            self.revive(granule + pages * PAGE_GRANULES, new_bytes - bytes);
            self.allocated_bytes += (new_bytes - bytes) as u64;
        }
        Ok(())
    }
}
