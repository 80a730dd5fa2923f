//! `dlmalloc`: Doug Lea's malloc, fed from given regions instead of from the system.

use std::alloc::Layout;
use std::cell::RefCell;
use std::ptr::{self, NonNull};

use slab_traits::{AllocError, AllocResult, BaseAllocator, ByteAllocator, RegionError};

use super::regions::Regions;

/// [`dlmalloc::Dlmalloc`] over given regions, granularity 16.
///
/// Used bytes are not counted and are reported as zero. After the first block its bins point into
/// itself, so it must not be moved: the type is private to this crate and always boxed.
pub(crate) struct Dlmalloc {
    inner: dlmalloc::Dlmalloc<Given>,
    regions: Regions,
}

impl Default for Dlmalloc {
    fn default() -> Self {
        let mut inner = dlmalloc::Dlmalloc::new_with_allocator(Given::default());
        // The least that it accepts, so that it never requests more than a small region has.
        let accepted = inner.set_granularity(GRANULE_BYTES);
        debug_assert!(accepted, "dlmalloc takes two words as granularity");
        Self { inner, regions: Regions::default() }
    }
}

/// `dlmalloc`'s unit, to which a region's ends are cut.
const GRANULE_BYTES: usize = 2 * size_of::<usize>();

/// The regions that `dlmalloc` has not taken yet; it sees them as the operating system.
#[derive(Default)]
struct Given {
    waiting: RefCell<Vec<NonNull<[u8]>>>,
}

// SAFETY: the pointers go only to the allocator that owns this source, and the caller of `add_region`
// gave the regions up.
unsafe impl Send for Given {}

// SAFETY: `alloc` hands out each region once and only if it is long enough; regions are marked as
// extern, so `dlmalloc` neither frees nor merges them, and every other request is refused.
unsafe impl dlmalloc::Allocator for Given {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        const EXTERN: u32 = 1;
        let mut waiting = self.waiting.borrow_mut();
        match waiting.iter().position(|region| region.len() >= size) {
            Some(index) => {
                let region = waiting.swap_remove(index);
                (region.cast().as_ptr(), region.len(), EXTERN)
            }
            None => (ptr::null_mut(), 0, 0),
        }
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        ptr::null_mut()
    }

    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }

    fn free(&self, _: *mut u8, _: usize) -> bool {
        false
    }

    fn can_release_part(&self, _: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        false
    }

    fn page_size(&self) -> usize {
        4096
    }
}

impl BaseAllocator for Dlmalloc {
    unsafe fn add_region(&mut self, region: NonNull<[u8]>) -> Result<(), RegionError> {
        let admitted = self.regions.admit(region, GRANULE_BYTES, 16 * GRANULE_BYTES)?;
        self.inner.allocator().waiting.borrow_mut().push(admitted);
        self.regions.add(region);
        Ok(())
    }
}

// SAFETY: blocks come from `dlmalloc`, which cuts them from the given regions, aligned and disjoint.
// The value is not moved: the type is private to this crate, and `Contender` boxes it before the
// first block.
unsafe impl ByteAllocator for Dlmalloc {
    #[inline]
    fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        // SAFETY: `malloc` has no precondition but a power of two as alignment.
        let block = unsafe { self.inner.malloc(layout.size(), layout.align()) };
        NonNull::new(block).ok_or(AllocError::NoMemory)
    }

    #[inline]
    unsafe fn dealloc(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller passes a live block and its layout.
        unsafe { self.inner.free(block.as_ptr(), layout.size(), layout.align()) }
    }

    #[inline]
    unsafe fn realloc(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        new_size: usize,
    ) -> AllocResult<NonNull<u8>> {
        // SAFETY: the caller passes a live block and its layout; a failed call leaves it as it was.
        let block =
            unsafe { self.inner.realloc(block.as_ptr(), layout.size(), layout.align(), new_size) };
        NonNull::new(block).ok_or(AllocError::NoMemory)
    }

    fn total_bytes(&self) -> usize {
        self.regions.total_bytes()
    }

    fn used_bytes(&self) -> usize {
        0
    }
}
