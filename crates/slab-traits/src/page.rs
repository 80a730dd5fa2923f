//! The trait of page allocators.
#![expect(unsafe_code, reason = "the trait hands out raw memory")]

use core::ptr::NonNull;

use crate::{AllocError, AllocResult, BaseAllocator};

/// The numbers of pages of a [`PageAllocator`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageCounts {
    /// Pages that can be handed out.
    pub total: usize,
    /// Pages that are in use now, for pages or for blocks.
    pub used: usize,
}

/// An allocator of runs of whole pages.
///
/// # Safety
///
/// Every run that an implementation hands out has the requested number of pages and alignment, lies in the
/// regions that it was given, and overlaps no other live run or block. Runs stay valid until they are freed,
/// even if the allocator itself is moved.
pub unsafe trait PageAllocator: BaseAllocator {
    /// Returns the size of a page in bytes, a power of two.
    fn page_size(&self) -> usize;

    /// Returns a run of `count` pages that starts at a multiple of `align` bytes, or of the page size if `align`
    /// is smaller.
    ///
    /// # Errors
    ///
    /// [`AllocError::InvalidParam`] if `count` is zero or `align` is not a power of two;
    /// [`AllocError::NoMemory`] if no free run fits.
    fn alloc_pages(&mut self, count: usize, align: usize) -> AllocResult<NonNull<u8>>;

    /// Frees a run, or refuses a wrong request.
    ///
    /// # Errors
    ///
    /// [`AllocError::NotAllocated`] or [`AllocError::InvalidParam`] if the implementation checks; the
    /// allocator is then unchanged.
    ///
    /// # Safety
    ///
    /// `run` is a live run of this allocator with `count` pages, and is not used afterwards.
    unsafe fn dealloc_pages(&mut self, run: NonNull<u8>, count: usize) -> AllocResult;

    /// Returns how many pages there are and how many are in use.
    fn page_counts(&self) -> PageCounts;

    /// Returns the run of `count` pages at address `start`, which must be a multiple of `align` and of the page
    /// size. The provided method always returns [`AllocError::InvalidParam`].
    ///
    /// # Errors
    ///
    /// [`AllocError::InvalidParam`] if `start` is not such a multiple, `count` is zero, or the allocator cannot
    /// place runs; [`AllocError::NoMemory`] if one of the pages is in use or belongs to no region.
    fn alloc_pages_at(
        &mut self,
        start: usize,
        count: usize,
        align: usize,
    ) -> AllocResult<NonNull<u8>> {
        let _ = (start, count, align);
        Err(AllocError::InvalidParam)
    }

    /// Returns the number of pages that can be handed out.
    fn total_pages(&self) -> usize {
        self.page_counts().total
    }

    /// Returns the number of pages that are in use.
    fn used_pages(&self) -> usize {
        self.page_counts().used
    }

    /// Returns the number of pages that are free.
    fn available_pages(&self) -> usize {
        let counts = self.page_counts();
        counts.total - counts.used
    }
}
