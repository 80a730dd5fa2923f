//! `buddy_system_allocator`: powers of two, freeing searches the buddy in a list.

use std::alloc::Layout;
use std::fmt;
use std::ptr::NonNull;

use buddy_system_allocator::Heap;
use slab_traits::{AllocError, AllocResult, BaseAllocator, ByteAllocator, RegionError};

use super::regions::Regions;

/// [`buddy_system_allocator::Heap`] of order 33, for blocks of up to 4 GiB.
pub struct Buddy {
    inner: Heap<33>,
    regions: Regions,
}

impl Default for Buddy {
    fn default() -> Self {
        Self { inner: Heap::new(), regions: Regions::default() }
    }
}

impl BaseAllocator for Buddy {
    unsafe fn add_region(&mut self, region: NonNull<[u8]>) -> Result<(), RegionError> {
        const WORD: usize = size_of::<usize>();
        let admitted = self.regions.admit(region, WORD, WORD)?;
        // It works with addresses; all that it reads and writes is in this region.
        let start = admitted.cast::<u8>().as_ptr().expose_provenance();
        // SAFETY: the caller gives the region up for as long as this allocator is used, and it
        // overlaps none of the earlier ones.
        unsafe { self.inner.init(start, admitted.len()) };
        self.regions.add(region);
        Ok(())
    }
}

// SAFETY: blocks are powers of two at multiples of their size, cut from the regions and disjoint;
// free blocks point at each other and never back at the allocator, so it may be moved.
unsafe impl ByteAllocator for Buddy {
    #[inline]
    fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        self.inner.alloc(layout).map_err(|()| AllocError::NoMemory)
    }

    #[inline]
    unsafe fn dealloc(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller passes a live block and its layout.
        unsafe { self.inner.dealloc(block, layout) }
    }

    fn total_bytes(&self) -> usize {
        self.regions.total_bytes()
    }

    fn used_bytes(&self) -> usize {
        self.inner.stats_alloc_actual()
    }
}

impl fmt::Debug for Buddy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buddy").field("regions", &self.regions).finish_non_exhaustive()
    }
}
