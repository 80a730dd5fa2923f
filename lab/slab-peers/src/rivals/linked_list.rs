//! `linked_list_allocator`: first fit in one sorted list of holes.

use std::alloc::Layout;
use std::fmt;
use std::ptr::NonNull;

use linked_list_allocator::Heap;
use slab_traits::{AllocError, AllocResult, BaseAllocator, ByteAllocator, RegionError};

use super::regions::Regions;

/// [`linked_list_allocator::Heap`]. It manages one region.
pub struct LinkedList {
    inner: Heap,
    regions: Regions,
}

impl Default for LinkedList {
    fn default() -> Self {
        Self { inner: Heap::empty(), regions: Regions::default() }
    }
}

impl BaseAllocator for LinkedList {
    unsafe fn add_region(&mut self, region: NonNull<[u8]>) -> Result<(), RegionError> {
        const WORD: usize = size_of::<usize>();
        if self.regions.count() == 1 {
            return Err(RegionError::TooManyRegions { limit: 1 });
        }
        let admitted = self.regions.admit(region, WORD, 2 * WORD)?;
        // SAFETY: the caller gives the region up for as long as this allocator is used; it is the
        // first one.
        unsafe { self.inner.init(admitted.cast().as_ptr(), admitted.len()) };
        self.regions.add(region);
        Ok(())
    }
}

// SAFETY: blocks are cut from holes of the region, aligned and disjoint; holes point at each other
// and never back at the allocator, so it may be moved.
unsafe impl ByteAllocator for LinkedList {
    #[inline]
    fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        self.inner.allocate_first_fit(layout).map_err(|()| AllocError::NoMemory)
    }

    #[inline]
    unsafe fn dealloc(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller passes a live block and its layout.
        unsafe { self.inner.deallocate(block, layout) }
    }

    fn total_bytes(&self) -> usize {
        self.regions.total_bytes()
    }

    fn used_bytes(&self) -> usize {
        self.inner.used()
    }
}

impl fmt::Debug for LinkedList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkedList").field("regions", &self.regions).finish_non_exhaustive()
    }
}
