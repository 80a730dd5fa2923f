//! Which slot is filled next: the newest vacant one, then slots never filled, lowest first.
//!
//! One list runs through the vacant slots of all chunks, newest first, so that a slot is filled
//! while it is still in the cache. A list per chunk cost 0.7 to 1.2 ns more a removal, and linking a
//! fresh chunk beforehand made insertion 2.4 times slower.
#![expect(unsafe_code, reason = "links lie in dead slots")]

use allocator_api2::alloc::Allocator;

use super::directory::{Record, State};
use super::{NONE, RETIRED, Storage, retire_bytes};

impl<T, A: Allocator> Storage<T, A> {
    /// Returns the slot that `bump` stands at.
    #[inline]
    pub(super) fn next_untouched(&mut self) -> Option<u32> {
        if self.bump == self.bump_end {
            self.carve_next()?;
        }
        Some(self.bump)
    }

    /// Moves `bump` to the next fresh chunk.
    #[cold]
    #[inline(never)]
    fn carve_next(&mut self) -> Option<()> {
        let chunk = self.fresh;
        if chunk == NONE {
            return None;
        }
        let record = *self.record(chunk);
        self.fresh = record.next;
        self.directory.set_record(chunk, Record { next: NONE, state: State::Carved, ..record });
        self.bump = chunk << self.shift;
        self.bump_end = self.bump + self.geometry.len_of(chunk);
        Some(())
    }

    pub(super) fn push_fresh(&mut self, chunk: u32) {
        let record = *self.record(chunk);
        self.directory.set_record(chunk, Record { next: self.fresh, ..record });
        self.fresh = chunk;
    }

    /// Empties all lists: no slot can be filled but by name until [`relist`](Self::relist).
    pub(super) fn drop_lists(&mut self) {
        (self.head, self.bump, self.bump_end) = (NONE, 0, 0);
        (self.fresh, self.vacant_slab) = (NONE, NONE);
    }

    /// Makes all lists anew, lowest slots first. *O*(chunks), and a pass over the generations of
    /// those chunks that have vacant slots besides live or retired ones.
    pub fn relist(&mut self) {
        self.drop_lists();
        for slab in (0..self.slab_ids()).rev() {
            let chunks = self.chunks_of(slab);
            if self.is_held(slab) {
                chunks.rev().for_each(|chunk| self.relist_chunk(chunk));
            } else if !self.is_exhausted(slab) {
                let record = *self.record(chunks.start);
                self.directory
                    .set_record(chunks.start, Record { next: self.vacant_slab, ..record });
                self.vacant_slab = slab;
            }
        }
    }

    fn relist_chunk(&mut self, chunk: u32) {
        let record = *self.record(chunk);
        let len = self.geometry.len_of(chunk);
        if record.state == State::Fresh {
            self.push_fresh(chunk);
        } else if record.live + u32::from(record.retired) < len {
            let first = chunk << self.shift;
            (first..first + len).rev().for_each(|index| self.list_if_vacant(index));
        }
    }

    /// Lists a slot of a held chunk, none of which is listed, if it can be filled.
    fn list_if_vacant(&mut self, index: u32) {
        // SAFETY: the chunk is held, and so below `directory.len`.
        let place = unsafe { self.place(index) };
        // SAFETY: readable and initialised by S2.
        let generation = unsafe { place.generation.read() };
        if generation % 2 == 0 && generation != RETIRED {
            // SAFETY: the slot is dead by S1 and its bytes are the storage's own.
            unsafe { retire_bytes(place.slot) };
            // SAFETY: as above.
            unsafe { place.slot.cast::<u32>().write(self.head) };
            self.head = index;
        }
    }
}
