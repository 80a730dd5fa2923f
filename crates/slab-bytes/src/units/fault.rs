//! Says what is wrong with a request for which no live block was found, in bounded time.
#![expect(unsafe_code, reason = "reads the map")]

use core::alloc::Layout;

use slab_traits::Fault;

use super::heap::{UnitByteAllocator, units_for};
use super::map::State;
use super::parked::Parked;
use super::policy::Policy;
use super::region::{GROUP_UNITS, RegionRef};
use crate::small::UNIT_BYTES;

/// Words of the map that are looked at, at most, to find the start of a block: those of one mebibyte.
const WALK_MAX: u32 = 2048;

impl<P: Policy> UnitByteAllocator<P> {
    /// Says why no live block of a layout was found at an address.
    #[cold]
    pub(super) fn fault_of(&self, address: usize, layout: Layout) -> Fault {
        let found = self.regions.find(address);
        let Some((region, offset)) =
            found.and_then(|found| Some((found, found.offset_of(address)?)))
        else {
            return Fault::Foreign { address };
        };
        let unit = (offset / UNIT_BYTES) as u32;
        let not_live = Fault::NotLive { address };
        if unit >= region.frontier() {
            return not_live;
        }
        let Some(first) = start_before(region, unit) else { return not_live };
        let block_address = region.address_of(first);
        // SAFETY: a block or a free run starts there.
        let block_bytes = unsafe { region.len_at(first) } as usize * UNIT_BYTES;
        // SAFETY: a start lies before the frontier.
        let is_free = unsafe { region.state(first) } == State::Free
            // SAFETY: a start lies before the frontier, and the region has the bits if blocks are parked.
            || Self::PARKS && unsafe { Parked::contains(region, first) };
        match (is_free, address == block_address) {
            (true, true) => {
                // A free run may be longer than the block that was freed there.
                let own = units_for(layout).map_or(usize::MAX, |len| len as usize * UNIT_BYTES);
                Fault::DoubleFree { address, block_bytes: block_bytes.min(own) }
            }
            (true, false) => not_live,
            (false, true) => Fault::WrongLayout {
                address,
                size: layout.size(),
                align: layout.align(),
                size_min: if block_bytes == UNIT_BYTES { 0 } else { block_bytes - UNIT_BYTES + 1 },
                size_max: block_bytes,
            },
            (false, false) => Fault::Interior { address, block_address, block_bytes },
        }
    }
}

/// Returns the nearest start of a block or a free run at a unit before the frontier, or before it.
fn start_before(region: RegionRef, unit: u32) -> Option<u32> {
    let mut at = unit;
    for _ in 0..WALK_MAX {
        // SAFETY: before the frontier, as the unit is.
        let starts = unsafe { region.group(at) }.starts.get();
        let before = starts & (u32::MAX >> (GROUP_UNITS - 1 - at % GROUP_UNITS));
        let base = at - at % GROUP_UNITS;
        if before != 0 {
            return Some(base + before.ilog2());
        }
        at = base.checked_sub(1)?;
    }
    None
}
