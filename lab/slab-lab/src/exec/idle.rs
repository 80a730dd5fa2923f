//! The allocator that does nothing: what a replay costs without one.

use std::alloc::Layout;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::ptr::NonNull;

use slab_traits::{AllocError, AllocResult, BaseAllocator, ByteAllocator, RegionError};

use super::Region;
use crate::trace::{Op, Trace};

/// The addresses of all blocks of a trace, computed in advance.
///
/// They are those of an ideal allocator: packed without headers, and of the free blocks of one size
/// the one freed last is reused first. The byte that the replay writes into each block therefore
/// costs no more than it must, and the rest is the contender's cost.
#[derive(Debug)]
pub struct Idle<'r> {
    places: Vec<NonNull<u8>>,
    region: PhantomData<&'r mut Region>,
}

impl<'r> Idle<'r> {
    /// Computes the places of a trace's blocks in a region.
    pub fn new(trace: &Trace, region: &'r mut Region) -> Self {
        let memory = region.first(usize::MAX);
        let mut cut_bytes = 0;
        let mut free: HashMap<usize, Vec<NonNull<u8>>> = HashMap::new();
        let mut blocks = vec![memory.cast::<u8>(); trace.slots()];
        let mut places = Vec::new();
        for op in trace.ops() {
            let (slot, freed, wanted) = match *op {
                Op::Alloc { slot, layout } | Op::AllocZeroed { slot, layout } => {
                    (slot as usize, None, Some(layout.size()))
                }
                Op::Free { slot, layout } => (slot as usize, Some(layout.size()), None),
                Op::Realloc { slot, layout, new_size } => {
                    (slot as usize, Some(layout.size()), Some(new_size))
                }
            };
            if let Some(size) = freed {
                free.entry(class(size)).or_default().push(blocks[slot]);
            }
            if let Some(size) = wanted {
                let class = class(size);
                let place = free.entry(class).or_default().pop().unwrap_or_else(|| {
                    // Places may overlap: if the region is full, they start again at its beginning.
                    if cut_bytes + class > memory.len() {
                        cut_bytes = 0;
                    }
                    cut_bytes += class;
                    // SAFETY: the offset is below `memory.len()`.
                    unsafe { memory.cast::<u8>().add((cut_bytes - class).min(memory.len() - 1)) }
                });
                blocks[slot] = place;
                places.push(place);
            }
        }
        Self { places, region: PhantomData }
    }

    /// Returns an allocator that hands the places out.
    pub(super) fn allocator(&self) -> IdleAllocator<'_> {
        IdleAllocator { places: &self.places, next: 0 }
    }
}

/// Rounds a size up to its class, in steps of 16 bytes, or of an eighth for large blocks.
fn class(size: usize) -> usize {
    let step = (size.next_power_of_two() / 8).max(16);
    size.max(1).next_multiple_of(step)
}

/// Returns one place after the other; a free does nothing.
pub(super) struct IdleAllocator<'i> {
    places: &'i [NonNull<u8>],
    next: usize,
}

impl BaseAllocator for IdleAllocator<'_> {
    unsafe fn add_region(&mut self, _region: NonNull<[u8]>) -> Result<(), RegionError> {
        Ok(())
    }
}

// SAFETY: the blocks may overlap, against the contract of the trait. The timed replay, the only code
// that can reach this type, writes one byte into each and reads none; each place is a byte of the
// region.
unsafe impl ByteAllocator for IdleAllocator<'_> {
    #[inline]
    fn alloc(&mut self, _layout: Layout) -> AllocResult<NonNull<u8>> {
        let place = self.places.get(self.next).copied().ok_or(AllocError::NoMemory);
        self.next += 1;
        place
    }

    #[inline]
    fn alloc_zeroed(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        self.alloc(layout)
    }

    #[inline]
    unsafe fn dealloc(&mut self, _block: NonNull<u8>, _layout: Layout) {}

    #[inline]
    unsafe fn realloc(
        &mut self,
        _block: NonNull<u8>,
        layout: Layout,
        _new_size: usize,
    ) -> AllocResult<NonNull<u8>> {
        self.alloc(layout)
    }

    fn total_bytes(&self) -> usize {
        0
    }

    fn used_bytes(&self) -> usize {
        0
    }
}
