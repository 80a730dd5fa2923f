//! The system allocator, for orientation.

use std::alloc::{GlobalAlloc as _, Layout};
use std::ptr::NonNull;

use slab_traits::{AllocError, AllocResult, BaseAllocator, ByteAllocator, RegionError};

/// [`std::alloc::System`]: `malloc` of the platform.
///
/// It takes its memory from the operating system; regions are accepted and not touched, and all
/// statistics are zero. The wrapper makes a zero size one, as `GlobalAlloc` requires.
#[derive(Debug, Default)]
pub struct System;

/// Returns the layout for the system, which accepts no empty ones.
#[inline]
fn filled(layout: Layout) -> Layout {
    let size = layout.size().max(1);
    // SAFETY: the alignment is valid, and one byte, rounded up to it, cannot pass `isize::MAX`.
    unsafe { Layout::from_size_align_unchecked(size, layout.align()) }
}

impl BaseAllocator for System {
    unsafe fn add_region(&mut self, _region: NonNull<[u8]>) -> Result<(), RegionError> {
        Ok(())
    }
}

// SAFETY: the system's blocks are aligned, disjoint and never moved. They are in no given region,
// against the contract of the trait; no caller may rely on that for this reference.
unsafe impl ByteAllocator for System {
    #[inline]
    fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        // SAFETY: the size is not zero.
        let block = unsafe { std::alloc::System.alloc(filled(layout)) };
        NonNull::new(block).ok_or(AllocError::NoMemory)
    }

    #[inline]
    fn alloc_zeroed(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        // SAFETY: the size is not zero.
        let block = unsafe { std::alloc::System.alloc_zeroed(filled(layout)) };
        NonNull::new(block).ok_or(AllocError::NoMemory)
    }

    #[inline]
    unsafe fn dealloc(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller passes a live block and its layout, which was filled the same way.
        unsafe { std::alloc::System.dealloc(block.as_ptr(), filled(layout)) }
    }

    #[inline]
    unsafe fn realloc(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        new_size: usize,
    ) -> AllocResult<NonNull<u8>> {
        let new = Layout::from_size_align(new_size.max(1), layout.align())
            .map_err(|_| AllocError::InvalidParam)?;
        // SAFETY: the caller passes a live block and its layout; the new size is valid, not zero.
        let block =
            unsafe { std::alloc::System.realloc(block.as_ptr(), filled(layout), new.size()) };
        NonNull::new(block).ok_or(AllocError::NoMemory)
    }

    fn total_bytes(&self) -> usize {
        0
    }

    fn used_bytes(&self) -> usize {
        0
    }
}
