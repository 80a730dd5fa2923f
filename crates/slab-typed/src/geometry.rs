//! The division of slabs into chunks, and of an index into chunk and slot. No pointers.

use core::alloc::Layout;

use slab_core::layout::align_up;

/// The slots of a chunk, at most. A chunk of `u64` takes 12 KiB: large enough that its share of the directory is
/// negligible, small enough to be released often and to stay below the size at which general allocators map pages.
pub(crate) const CHUNK_SLOTS_MAX: usize = 1 << SLOT_BITS;

/// The bits of an index that name the slot within the chunk; the others name the chunk. Constant, because a shift by a
/// number loaded from memory made removal and insertion 20 % slower.
pub(crate) const SLOT_BITS: u32 = 10;

/// The index of a chunk's first slot.
pub(crate) const fn first_index(chunk: u32) -> u32 {
    chunk << SLOT_BITS
}

/// The chunk of an index.
pub(crate) const fn chunk_of(index: u32) -> u32 {
    index >> SLOT_BITS
}

/// The slot of an index within its chunk, whether or not the chunk has it.
pub(crate) const fn slot_of(index: u32) -> u32 {
    index & (CHUNK_SLOTS_MAX as u32 - 1)
}

/// The number of chunks that indices can name.
pub(crate) const CHUNK_COUNT_MAX: u32 = chunk_of(u32::MAX);

/// The division of an allocator's slots.
///
/// A slab consists of `chunks_per_slab` chunks. Each has `chunk_len` slots, except for the last one of a slab, which has
/// `last_len`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub slab_capacity: usize,
    /// Saturated: if it does not fit, no slab can be acquired.
    pub chunks_per_slab: u32,
    pub chunk_len: u32,
    pub last_len: u32,
}

impl Geometry {
    pub const fn new(slab_capacity: usize) -> Self {
        let slab_capacity = if slab_capacity == 0 { 1 } else { slab_capacity };
        let chunk_len =
            if slab_capacity < CHUNK_SLOTS_MAX { slab_capacity } else { CHUNK_SLOTS_MAX };
        let chunks = slab_capacity.div_ceil(chunk_len);
        let chunks_per_slab = if chunks < u32::MAX as usize { chunks as u32 } else { u32::MAX };
        Self {
            slab_capacity,
            chunks_per_slab,
            chunk_len: chunk_len as u32,
            last_len: (slab_capacity - (chunks - 1) * chunk_len) as u32,
        }
    }

    /// The slots of a chunk.
    pub const fn len_of(&self, chunk: u32) -> u32 {
        if chunk % self.chunks_per_slab == self.chunks_per_slab - 1 {
            self.last_len
        } else {
            self.chunk_len
        }
    }

    /// The offset of the first slot, which follows the generations of a chunk.
    pub const fn slots_offset(&self, slot: Layout) -> usize {
        let generations = self.chunk_len as usize * size_of::<u32>();
        match align_up(generations, slot.align()) {
            Some(offset) => offset,
            // There are at most 4 KiB of generations, and no alignment reaches the end of the address space.
            None => unreachable!(),
        }
    }

    /// The layout of a chunk, or `None` if the address space cannot hold it.
    pub fn chunk_layout(&self, chunk: u32, slot: Layout) -> Option<Layout> {
        let slots_bytes = slot.size().checked_mul(self.len_of(chunk) as usize)?;
        let bytes = self.slots_offset(slot).checked_add(slots_bytes)?;
        Layout::from_size_align(bytes, slot.align().max(align_of::<u32>())).ok()
    }

    /// The index of a slot of a slab.
    pub fn index(&self, slab: u32, slot: usize) -> u32 {
        let chunk = slab * self.chunks_per_slab + slot as u32 / self.chunk_len;
        first_index(chunk) + slot as u32 % self.chunk_len
    }

    /// The slab of an index, and the slot within that slab. The slot may lie beyond the slab's end, because some indices
    /// name no slot.
    pub fn locate(&self, index: u32) -> (u32, usize) {
        let (chunk, slot) = (chunk_of(index), slot_of(index));
        let before = (chunk % self.chunks_per_slab) as usize * self.chunk_len as usize;
        (chunk / self.chunks_per_slab, before + slot as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slot_has_a_distinct_index() {
        for slab_capacity in [1, 5, 1023, 1024, 1025, 3000] {
            let geometry = Geometry::new(slab_capacity);
            let chunks = 0..geometry.chunks_per_slab;
            let slots = chunks.map(|chunk| geometry.len_of(chunk) as usize).sum::<usize>();
            assert_eq!(slots, slab_capacity);
            let mut previous = None;
            for slab in 0..3 {
                let slots = (0..slab_capacity).step_by(if cfg!(miri) { 97 } else { 1 });
                for slot in slots {
                    let index = geometry.index(slab, slot);
                    assert!(previous < Some(index), "slot {slot} of slab {slab}");
                    assert_eq!(geometry.locate(index), (slab, slot));
                    assert!(slot_of(index) < geometry.len_of(chunk_of(index)));
                    previous = Some(index);
                }
            }
        }
    }

    #[test]
    fn the_index_after_a_slab_names_none_of_its_slots() {
        for slab_capacity in [1, 5, 1023, 1025, 3000] {
            let geometry = Geometry::new(slab_capacity);
            let last = geometry.index(1, slab_capacity - 1);
            let (slab, slot) = geometry.locate(last + 1);
            assert!(slab == 1 && slot >= slab_capacity, "slot {slot} of slab {slab}");
        }
    }
}
