//! `rlsf`: two-level segregated fit, which never searches a list.

use std::alloc::Layout;
use std::ptr::NonNull;

use slab_traits::{AllocError, AllocResult, BaseAllocator, ByteAllocator, RegionError};

use super::regions::Regions;

/// First levels: blocks of up to 4 GiB.
const FIRST_LEVELS: usize = 28;
/// Lists per first level: a free block is found with at most 1/32 of waste.
const SECOND_LEVELS: usize = 32;

/// [`rlsf::Tlsf`] for blocks of up to 4 GiB, 32 lists per power of two.
///
/// Its lists are in the allocator's value (7 KiB), not in the region. Used bytes are not counted
/// and are reported as zero.
#[derive(Debug, Default)]
pub struct Rlsf {
    inner: rlsf::Tlsf<'static, u32, u32, FIRST_LEVELS, SECOND_LEVELS>,
    regions: Regions,
}

impl BaseAllocator for Rlsf {
    unsafe fn add_region(&mut self, region: NonNull<[u8]>) -> Result<(), RegionError> {
        let admitted = self.regions.admit(region, rlsf::GRANULARITY, 2 * rlsf::GRANULARITY)?;
        // SAFETY: the caller gives the region up for as long as this allocator or a block of it is
        // used, and it overlaps none of the earlier ones.
        let used = unsafe { self.inner.insert_free_block_ptr(admitted) };
        debug_assert!(used.is_some(), "two granules hold a block and the sentinel");
        self.regions.add(region);
        Ok(())
    }
}

// SAFETY: blocks come from `rlsf`, which cuts them from the inserted regions, aligned and disjoint;
// free blocks point at each other and never back at the allocator, so it may be moved.
unsafe impl ByteAllocator for Rlsf {
    #[inline]
    fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        self.inner.allocate(layout).ok_or(AllocError::NoMemory)
    }

    #[inline]
    unsafe fn dealloc(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller passes a live block and the layout it was allocated with.
        unsafe { self.inner.deallocate(block, layout.align()) }
    }

    #[inline]
    unsafe fn realloc(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        new_size: usize,
    ) -> AllocResult<NonNull<u8>> {
        let new = Layout::from_size_align(new_size, layout.align())
            .map_err(|_| AllocError::InvalidParam)?;
        // SAFETY: the caller passes a live block; its alignment is unchanged.
        unsafe { self.inner.reallocate(block, new) }.ok_or(AllocError::NoMemory)
    }

    fn total_bytes(&self) -> usize {
        self.regions.total_bytes()
    }

    fn used_bytes(&self) -> usize {
        0
    }
}
