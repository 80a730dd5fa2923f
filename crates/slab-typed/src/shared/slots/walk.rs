//! From one stored slot to the next.

use allocator_api2::alloc::Allocator;

use super::chunk::slots_per_chunk;
use super::sync::Ordering;
use super::{Place, Slots};
use crate::geometry::{chunk_of, first_index, slot_of};

/// A position among the slots of the chunks that there were when the walk began. It reaches each slot once.
#[derive(Debug, Clone, Copy)]
pub struct Walk {
    /// The index of the next slot.
    next: u32,
    /// The number of chunks.
    end: u32,
}

impl<T, A: Allocator> Slots<T, A> {
    /// Returns a walk over all slots.
    pub fn walk(&self) -> Walk {
        Walk { next: 0, end: self.memory.count() }
    }

    /// Returns the next slot that is stored, as of some moment, and its generation.
    pub(super) fn next_stored(&self, walk: &mut Walk) -> Option<(Place<'_, T>, u32)> {
        loop {
            let (number, slot) = (chunk_of(walk.next), slot_of(walk.next) as usize);
            if number >= walk.end {
                return None;
            }
            let chunk = self.memory.chunk(number)?;
            if slot >= slots_per_chunk::<T>() || slot == 0 && !chunk.is_held() {
                walk.next = first_index(number + 1);
                continue;
            }
            walk.next += 1;
            let place = Place { chunk, number, slot };
            // Relaxed: a value that is stored throughout the walk was stored before it. The caller looks again before it
            // reads.
            let generation = place.generation().load(Ordering::Relaxed);
            if generation % 2 == 1 {
                return Some((place, generation));
            }
        }
    }
}
