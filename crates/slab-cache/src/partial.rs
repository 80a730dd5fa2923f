//! Lists of the slabs with values and free slots, by fullness. The cache allocates from the fullest slabs
//! first, so that the others can become empty.

use crate::slab::{Place, SlabRef};

/// Buckets: quarters of a slab's slots. A slab that becomes empty is relisted once per bucket.
const BUCKETS: usize = 4;

/// The slabs of each bucket. All operations are *O*(1).
#[derive(Debug)]
pub struct Partial {
    heads: [Option<SlabRef>; BUCKETS],
}

impl Partial {
    pub const fn new() -> Self {
        Self { heads: [None; BUCKETS] }
    }

    /// Returns the bucket of a slab that is not full, and the count of used slots at which the slab leaves
    /// that bucket.
    pub fn bucket(used: u32, slots: u32) -> (u8, u32) {
        let bucket = used * BUCKETS as u32 / slots;
        let lowest = (bucket * slots).div_ceil(BUCKETS as u32);
        (bucket as u8, lowest.max(1) - 1)
    }

    /// Adds a slab that is in no list.
    pub fn push(&mut self, slab: SlabRef, bucket: u8) {
        let next = self.heads[usize::from(bucket)].replace(slab);
        slab.set_place(Place::Partial(bucket));
        slab.set_next(next);
        slab.set_prev(None);
        if let Some(next) = next {
            next.set_prev(Some(slab));
        }
    }

    /// Removes a slab, if it is in one of the lists.
    pub fn remove(&mut self, slab: SlabRef) {
        let Place::Partial(bucket) = slab.place() else { return };
        match slab.prev() {
            Some(prev) => prev.set_next(slab.next()),
            None => self.heads[usize::from(bucket)] = slab.next(),
        }
        if let Some(next) = slab.next() {
            next.set_prev(slab.prev());
        }
    }

    /// Removes one of the fullest.
    pub fn pop_fullest(&mut self) -> Option<SlabRef> {
        let slab = self.heads.iter().rev().find_map(|head| *head)?;
        self.remove(slab);
        Some(slab)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "slow, and runs no unsafe code")]
    fn a_bucket_is_left_just_below_its_lowest_count() {
        for slots in 2..200 {
            for used in 1..slots {
                let (bucket, relist_at) = Partial::bucket(used, slots);
                assert!(relist_at < used && usize::from(bucket) < BUCKETS);
                let same = |used: u32| Partial::bucket(used, slots).0 == bucket;
                assert!(((relist_at + 1).max(1)..=used).all(same));
                assert!(relist_at == 0 || !same(relist_at));
            }
        }
    }
}
