//! Regions that come and leave.
#![expect(unsafe_code, reason = "takes over raw memory")]

use core::ptr::NonNull;

use slab_core::poison;
use slab_traits::{BaseAllocator, RegionError};

use super::heap::UnitByteAllocator;
use super::map::{Run, State};
use super::policy::Policy;
use super::region::RegionRef;
use crate::region_index::Indexed;
use crate::small::UNIT_BYTES;

impl<P: Policy> UnitByteAllocator<P> {
    /// Takes a region back that has no live block and returns its memory. `start` is the address of its first byte.
    /// *O*(log regions) expected.
    ///
    /// Returns `None`, and nothing is changed but that [`reclaim`](Self::reclaim) was called, if no region starts there
    /// or if it has a live block.
    pub fn remove_region(&mut self, start: usize) -> Option<NonNull<[u8]>> {
        self.reclaim();
        let region = self.regions.find(start).filter(|region| region.start() == start)?;
        let is_fresh = self.fresh == Some(region) && region.frontier() < region.count();
        if is_fresh {
            if region.frontier() > 0 {
                return None;
            }
        } else {
            // SAFETY: a region without fresh units has a run at its first unit.
            let len = unsafe { region.len_at(0) };
            // SAFETY: a start lies before the frontier.
            let is_free = unsafe { region.state(0) } == State::Free;
            if !is_free || len < region.count() {
                return None;
            }
            self.remove(region, 0, len).ok()?;
        }
        self.fresh = self.fresh.filter(|&fresh| fresh != region);
        self.regions.remove(region);
        self.hot = None;
        self.total_bytes -= region.size();
        self.unit_bytes -= region.count() as usize * UNIT_BYTES;
        let memory = region.memory();
        // SAFETY: the memory is no longer the heap's.
        unsafe { poison::allow_access(memory.cast(), memory.len()) };
        Some(memory)
    }
}

impl<P: Policy> BaseAllocator for UnitByteAllocator<P> {
    /// Takes over a region. *O*(log regions) expected, and *O*(size) to initialise maps. The fresh units of the region added
    /// before becomes a free run.
    unsafe fn add_region(&mut self, memory: NonNull<[u8]>) -> Result<(), RegionError> {
        let (start, size) = (memory.cast::<u8>().addr().get(), memory.len());
        if size > isize::MAX as usize || start.checked_add(size).is_none() {
            return Err(RegionError::AddressOverflow { start, size });
        }
        if let Some(other) = self.regions.overlapping(start, size) {
            let (other_start, other_size) = (other.start(), other.size());
            return Err(RegionError::Overlap { start, size, other_start, other_size });
        }
        // SAFETY: the caller guarantees the contract of `add_region`, which is that of `create`.
        let region = unsafe { RegionRef::create(memory, Self::PARKS) }?;
        if let Some(old) = self.fresh
            && old.frontier() < old.count()
        {
            let first = old.frontier();
            // SAFETY: the units are fresh.
            unsafe { self.move_frontier(old, old.count()) };
            // SAFETY: the units were fresh until now.
            unsafe { self.insert(old, first, old.count() - first) };
        }
        region.set_frontier(0, Self::PARKS);
        // SAFETY: the first unit, which is fresh; there was no frontier.
        unsafe { Run { region, first: 0, len: 1 }.begin(false) };
        let bytes = region.count() as usize * UNIT_BYTES;
        // SAFETY: there is a first unit.
        let first = unsafe { region.pointer(0) };
        // SAFETY: the units are the region's, and in no use.
        unsafe { poison::deny_access(first, bytes) };
        self.regions.insert(region);
        self.fresh = Some(region);
        self.hot = Some(region);
        self.total_bytes += size;
        self.unit_bytes += bytes;
        Ok(())
    }
}
