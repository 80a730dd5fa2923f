//! The trait of everything that receives memory regions, and regions given by address.
#![expect(unsafe_code, reason = "an allocator takes over raw memory")]

use core::ptr::{self, NonNull};

use crate::{AllocError, AllocResult, RegionError};

/// Returns a pointer to the region at an address range.
///
/// The pointer has the provenance that was *exposed* for `start`: kernels and firmware, whose memory never
/// was a Rust object, have no other. If you have a pointer to the memory, pass it to
/// [`BaseAllocator::add_region`] instead, so that tools can check strict provenance.
///
/// # Errors
///
/// [`RegionError::Null`] if `start` is 0; [`RegionError::AddressOverflow`] if the range runs past the end of
/// the address space or is longer than `isize::MAX`.
///
/// # Examples
///
/// ```
/// use slab_traits::{RegionError, region_at};
///
/// assert_eq!(region_at(0, 64), Err(RegionError::Null { size: 64 }));
/// assert_eq!(
///     region_at(usize::MAX - 15, 64),
///     Err(RegionError::AddressOverflow { start: usize::MAX - 15, size: 64 }),
/// );
/// ```
pub fn region_at(start: usize, size: usize) -> Result<NonNull<[u8]>, RegionError> {
    let overflows = size > isize::MAX as usize || start.checked_add(size).is_none();
    match NonNull::new(ptr::with_exposed_provenance_mut::<u8>(start)) {
        None => Err(RegionError::Null { size }),
        Some(_) if overflows => Err(RegionError::AddressOverflow { start, size }),
        Some(first) => Ok(NonNull::slice_from_raw_parts(first, size)),
    }
}

/// An allocator that receives its memory from the user.
pub trait BaseAllocator {
    /// Takes over a memory region of any start and any size. Regions can be added at any time. Adjacent regions
    /// stay separate.
    ///
    /// # Errors
    ///
    /// A [`RegionError`] with the offending numbers. The allocator and the region are unchanged.
    ///
    /// # Safety
    ///
    /// Unless an error is returned: the region is readable and writable through `region`, and no other code
    /// reads or writes it for as long as the allocator or any block from it is used.
    unsafe fn add_region(&mut self, region: NonNull<[u8]>) -> Result<(), RegionError>;

    /// Takes over the first memory region, given by address. Alias of [`add_memory`](Self::add_memory), for
    /// kernels that call it once at start.
    ///
    /// # Errors
    ///
    /// Those of [`add_memory`](Self::add_memory).
    ///
    /// # Safety
    ///
    /// That of [`add_memory`](Self::add_memory).
    unsafe fn init(&mut self, start: usize, size: usize) -> AllocResult {
        // SAFETY: `add_memory` has the same preconditions.
        unsafe { self.add_memory(start, size) }
    }

    /// Takes over a memory region, given by address. It may be the first one.
    ///
    /// # Errors
    ///
    /// [`AllocError::MemoryOverlap`] if the region shares bytes with one already owned, and
    /// [`AllocError::InvalidParam`] for every other refusal; [`add_region`](Self::add_region) returns the
    /// numbers. The allocator and the region are unchanged.
    ///
    /// # Safety
    ///
    /// That of [`add_region`](Self::add_region), for a pointer with the provenance exposed for `start`.
    unsafe fn add_memory(&mut self, start: usize, size: usize) -> AllocResult {
        let region = region_at(start, size)?;
        // SAFETY: the caller guarantees what `add_region` requires of the range, and `region` is that range.
        unsafe { self.add_region(region) }.map_err(AllocError::from)
    }
}
