//! Changing a block where it lies.

use slab_traits::{AllocError, AllocResult};

use super::free::Block;
use super::heap::BinnedByteAllocator;
use crate::classes::{PAGE_BYTES, PAGE_GRANULES};

impl BinnedByteAllocator {
    /// Changes the size of a live block, if it can stay where it is. A block of a class stays if it
    /// holds the new size and is not four times as large; a run of pages gives pages back, or takes
    /// those behind it.
    pub(super) fn resize(&mut self, address: usize, old: usize, new: usize) -> AllocResult {
        let Block { granule, class, bytes, usable_bytes, .. } =
            self.find(address).map_err(AllocError::from)?;
        if old > usable_bytes {
            return Err(AllocError::InvalidParam);
        }
        if class.is_some() {
            let stays = new <= usable_bytes && (new >= old || new > usable_bytes / 4);
            return if stays { Ok(()) } else { Err(AllocError::NoMemory) };
        }
        let pages = (bytes / PAGE_BYTES) as u32;
        let new_pages = u32::try_from(new.max(1).div_ceil(PAGE_BYTES));
        let new_pages = new_pages.map_err(|_| AllocError::InvalidParam)?;
        let (page, new_bytes) = (granule / PAGE_GRANULES, new_pages as usize * PAGE_BYTES);
        if new_pages < pages {
            self.retire(granule + new_pages * PAGE_GRANULES, bytes - new_bytes);
            self.runs.shorten(&mut self.regions, page, pages, new_pages);
            self.freed_bytes = self.freed_bytes.wrapping_add(bytes - new_bytes);
        } else if new_pages > pages {
            if !self.runs.lengthen(&mut self.regions, page, pages, new_pages) {
                return Err(AllocError::NoMemory);
            }
            self.revive(granule + pages * PAGE_GRANULES, new_bytes - bytes);
            self.allocated_bytes = self.allocated_bytes.wrapping_add(new_bytes - bytes);
        }
        Ok(())
    }
}
