//! `axallocator`'s slab: seven size classes over a buddy system, no checks.

use std::alloc::Layout;
use std::fmt;
use std::ptr::NonNull;

use axallocator::{BaseAllocator as _, ByteAllocator as _};
use slab_traits::{AllocError, AllocResult, BaseAllocator, ByteAllocator, RegionError};

use super::regions::Regions;

/// [`axallocator::SlabByteAllocator`].
///
/// It panics on a region that is not a multiple of a page, and on a first one that is not a multiple
/// of 32 KiB; the wrapper cuts regions to that. It counts memory twice that moved from the buddy
/// system to a slab, so the wrapper reports the bytes of the regions instead.
///
/// It returns misaligned blocks for small sizes with alignments above a page; the wrapper leaves that,
/// so that a comparison can show it.
#[derive(Default)]
pub struct AxSlab {
    /// `None` before the first region: the rival would panic.
    inner: Option<axallocator::SlabByteAllocator>,
    regions: Regions,
}

const PAGE_BYTES: usize = 4096;
const FIRST_BYTES: usize = 0x8000;

impl BaseAllocator for AxSlab {
    unsafe fn add_region(&mut self, region: NonNull<[u8]>) -> Result<(), RegionError> {
        match &mut self.inner {
            None => {
                let admitted = self.regions.admit(region, PAGE_BYTES, FIRST_BYTES)?;
                let size = admitted.len() / FIRST_BYTES * FIRST_BYTES;
                let mut inner = axallocator::SlabByteAllocator::new();
                inner.init(admitted.cast::<u8>().as_ptr().expose_provenance(), size);
                self.inner = Some(inner);
            }
            Some(inner) => {
                let admitted = self.regions.admit(region, PAGE_BYTES, PAGE_BYTES)?;
                let start = admitted.cast::<u8>().as_ptr().expose_provenance();
                let added = inner.add_memory(start, admitted.len());
                debug_assert!(added.is_ok(), "the rival refuses nothing that it does not panic on");
            }
        }
        self.regions.add(region);
        Ok(())
    }
}

// SAFETY: blocks come from slabs or the buddy system beneath, both cut from the regions and
// disjoint. They are aligned for every size of at most a page and alignment of at most a page; for
// the rest see the type's documentation. Free blocks never point back at the allocator, so it may
// be moved.
unsafe impl ByteAllocator for AxSlab {
    #[inline]
    fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        let inner = self.inner.as_mut().ok_or(AllocError::NoMemory)?;
        inner.alloc(layout).map_err(|_| AllocError::NoMemory)
    }

    #[inline]
    unsafe fn dealloc(&mut self, block: NonNull<u8>, layout: Layout) {
        if let Some(inner) = &mut self.inner {
            inner.dealloc(block, layout);
        }
    }

    fn total_bytes(&self) -> usize {
        self.regions.total_bytes()
    }

    fn used_bytes(&self) -> usize {
        self.inner.as_ref().map_or(0, |inner| inner.used_bytes())
    }
}

impl fmt::Debug for AxSlab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AxSlab").field("regions", &self.regions).finish_non_exhaustive()
    }
}
