//! `talc`: one tag word after each block, log-linear bins.

use std::alloc::Layout;
use std::ptr::NonNull;

use slab_traits::{AllocError, AllocResult, BaseAllocator, ByteAllocator, RegionError};
use talc::base::{CHUNK_UNIT, Talc as Inner};
use talc::source::Manual;
use talc::{DefaultBinning, min_first_heap_size};

use super::regions::Regions;

/// [`talc::base::Talc`] with a manual source and default binning.
///
/// Used bytes are not counted (`talc`'s counters slow each operation down) and are reported as zero.
/// The wrapper makes a zero size one, as `talc` requires.
#[derive(Debug)]
pub struct Talc {
    inner: Inner<Manual, DefaultBinning>,
    regions: Regions,
}

impl Default for Talc {
    fn default() -> Self {
        Self { inner: Inner::new(Manual), regions: Regions::default() }
    }
}

/// Returns the layout for `talc`, which accepts no empty ones.
#[inline]
fn filled(layout: Layout) -> Layout {
    let size = layout.size().max(1);
    // SAFETY: the alignment is valid, and one byte, rounded up to it, cannot pass `isize::MAX`.
    unsafe { Layout::from_size_align_unchecked(size, layout.align()) }
}

impl BaseAllocator for Talc {
    unsafe fn add_region(&mut self, region: NonNull<[u8]>) -> Result<(), RegionError> {
        let first = !self.inner.is_metadata_established();
        let required = if first { min_first_heap_size::<DefaultBinning>() } else { 4 * CHUNK_UNIT };
        let admitted = self.regions.admit(region, 1, required)?;
        // SAFETY: the caller gives the region up for as long as this allocator is used, and it
        // overlaps none of the earlier ones.
        let end = unsafe { self.inner.claim(admitted.cast().as_ptr(), admitted.len()) };
        if end.is_none() {
            let (start, size) = (region.addr().get(), region.len());
            return Err(RegionError::TooSmall { start, size, required: size + required });
        }
        self.regions.add(region);
        Ok(())
    }
}

// SAFETY: blocks come from `talc`, which cuts them from the claimed regions, aligned and disjoint;
// its bookkeeping lies in the first region, so the allocator may be moved.
unsafe impl ByteAllocator for Talc {
    #[inline]
    fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        // SAFETY: the size is not zero.
        unsafe { self.inner.allocate(filled(layout)) }.ok_or(AllocError::NoMemory)
    }

    #[inline]
    unsafe fn dealloc(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller passes a live block and its layout, which was filled the same way.
        unsafe { self.inner.deallocate(block.as_ptr(), filled(layout)) }
    }

    #[inline]
    unsafe fn resize_in_place(
        &mut self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> AllocResult<NonNull<u8>> {
        // `talc` never reads the alignment again, so only the block's address must be aligned.
        if !block.addr().get().is_multiple_of(new.align()) {
            return Err(AllocError::NoMemory);
        }
        let new_size = new.size().max(1);
        // SAFETY: the caller passes a live block and its layout; the new size is not zero.
        let resized =
            unsafe { self.inner.try_realloc_in_place(block.as_ptr(), filled(old), new_size) };
        if resized { Ok(block) } else { Err(AllocError::NoMemory) }
    }

    fn total_bytes(&self) -> usize {
        self.regions.total_bytes()
    }

    fn used_bytes(&self) -> usize {
        0
    }
}
