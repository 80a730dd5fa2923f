//! The regions of a rival: most rivals neither remember them nor refuse an overlap.

use std::ptr::NonNull;

use slab_traits::RegionError;

/// The regions that an allocator owns; used when a region is added, never on the hot path.
#[derive(Debug, Default)]
pub(super) struct Regions {
    /// First address and length of each.
    owned: Vec<(usize, usize)>,
}

impl Regions {
    /// Checks that `region` may be added, and returns it cut to multiples of `align` at both ends. At
    /// least `required` bytes must be left.
    pub(super) fn admit(
        &self,
        region: NonNull<[u8]>,
        align: usize,
        required: usize,
    ) -> Result<NonNull<[u8]>, RegionError> {
        let (start, size) = (region.addr().get(), region.len());
        let Some(end) = start.checked_add(size).filter(|_| size <= isize::MAX as usize) else {
            return Err(RegionError::AddressOverflow { start, size });
        };
        for &(other_start, other_size) in &self.owned {
            if start < other_start + other_size && other_start < end {
                return Err(RegionError::Overlap { start, size, other_start, other_size });
            }
        }
        let pad = start.wrapping_neg() % align;
        let usable = size.saturating_sub(pad) / align * align;
        if usable < required {
            return Err(RegionError::TooSmall {
                start,
                size,
                required: pad + required.next_multiple_of(align),
            });
        }
        // `pad < size` if anything is usable, so the pointer stays in the region.
        let first = region.cast::<u8>().map_addr(|first| first.saturating_add(pad));
        Ok(NonNull::slice_from_raw_parts(first, usable))
    }

    /// Records a region that was added.
    pub(super) fn add(&mut self, region: NonNull<[u8]>) {
        self.owned.push((region.addr().get(), region.len()));
    }

    /// Returns the bytes of all regions.
    pub(super) fn total_bytes(&self) -> usize {
        self.owned.iter().map(|&(_, size)| size).sum()
    }

    /// Returns the number of regions.
    #[cfg(feature = "linked-list")]
    pub(super) fn count(&self) -> usize {
        self.owned.len()
    }
}
