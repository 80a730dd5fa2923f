//! How large a region is in which no request is ever refused.

use super::bins::Bins;
use super::heap::UnitByteAllocator;
use super::policy::Policy;
use super::region::bytes_for;
use crate::small::UNIT_BYTES;

impl<P: Policy> UnitByteAllocator<P> {
    /// Returns the bytes of a region in which no request is refused, at any start address, as long as the live blocks
    /// have at most `live_bytes` together, there are at most `blocks` of them, none is larger than `block_bytes`, and
    /// none is aligned beyond `align`. `None` if that is more than a region can have, for blocks above 896 MiB, and if
    /// `align` is not a power of two.
    ///
    /// The bound holds for every order of requests. A `realloc` that moves a block counts as a further block with its bytes, until it
    /// returns. Most programs need far less: the bound is that of the worst program.
    ///
    /// # Proof
    ///
    /// Let *n* be the units of the largest block with its alignment, rounded up to the next length that a bin begins
    /// with. A request is refused only if no bin from that of *n* on has a run, so that each free run, and the fresh
    /// units, are shorter than *n*. No two free runs touch, because neighbours are merged: so there is
    /// a block between any two, and with at most `blocks - 1` blocks live before the request there are
    /// at most `blocks` runs. All units are then in blocks or in these runs: there are fewer than
    /// *live* + `blocks` × (*n* - 1) + 1. The region has that many. Parked blocks are merged before a request is refused, and the
    /// run that was cut last, which is in no bin, is tried too.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_bytes::{Bounded, UnitByteAllocator};
    ///
    /// type Heap = UnitByteAllocator<Bounded>;
    /// // 64 KiB in at most 64 blocks, none larger than 4 KiB.
    /// let bytes = Heap::region_for(64 << 10, 64, 4 << 10, 16).unwrap();
    /// assert!(bytes < 6 * (64 << 10));
    /// assert_eq!(Heap::region_for(1, 1, 1, 3), None);
    /// ```
    pub const fn region_for(
        live_bytes: usize,
        blocks: usize,
        block_bytes: usize,
        align: usize,
    ) -> Option<usize> {
        if !align.is_power_of_two() {
            return None;
        }
        let blocks = if blocks == 0 { 1 } else { blocks };
        let align_units = align.div_ceil(UNIT_BYTES);
        let one = if block_bytes == 0 { 1 } else { block_bytes.div_ceil(UNIT_BYTES) };
        let wished = match one.checked_add(align_units - 1) {
            Some(wished) if wished <= u32::MAX as usize => wished as u32,
            _ => return None,
        };
        let Some(sure) = Bins::sure_len(wished) else { return None };
        let Some(gaps) = blocks.checked_mul(sure as usize - 1) else { return None };
        // Each block may end with a unit that it uses one byte of.
        let Some(live) = (live_bytes / UNIT_BYTES).checked_add(blocks) else { return None };
        match live.checked_add(gaps) {
            Some(units) if units < u32::MAX as usize / 2 => bytes_for(units + 1, Self::PARKS),
            _ => None,
        }
    }
}
