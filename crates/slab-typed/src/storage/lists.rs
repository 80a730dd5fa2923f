//! Which slot is filled next: the newest vacant one, then slots never filled, lowest first.
//!
//! One list runs through the vacant slots of all chunks, newest first, so that a slot is filled
//! while it is still in the cache. A list per chunk cost 0.7 to 1.2 ns more a removal, and linking a
//! fresh chunk beforehand made insertion 2.4 times slower.
#![expect(unsafe_code, reason = "links lie in dead slots")]

use allocator_api2::alloc::Allocator;

use crate::error::SlabError;
use crate::geometry::first_index;

use super::directory::{Record, State};
use super::fill::Untouched;
use super::slot::{Link, retire_bytes};
use super::{NONE, RETIRED, Storage};

impl<T, A: Allocator> Storage<T, A> {
    /// Makes sure that there is a vacant slot, and acquires a slab if it has to. If that is refused
    /// nothing changes.
    #[cold]
    #[inline(never)]
    pub fn prepare(&mut self) -> Result<(), SlabError> {
        if self.next_handle().is_some() || self.carve_next() {
            return Ok(());
        }
        self.grow()?;
        let carved = self.carve_next();
        debug_assert!(carved, "a new slab has fresh chunks");
        Ok(())
    }

    /// Makes the slots of the next fresh chunk the untouched ones, if there is such a chunk.
    fn carve_next(&mut self) -> bool {
        let chunk = self.fresh;
        if chunk == NONE {
            return false;
        }
        self.fresh = self.record(chunk).link;
        self.carve(chunk);
        // SAFETY: the chunk was fresh: held, dead all through, of one generation, and on no list since
        // the line before the last. `prepare` calls this when nothing is untouched.
        unsafe { self.set_untouched(chunk) };
        true
    }

    /// Makes a fresh chunk a carved one.
    pub(super) fn carve(&mut self, chunk: u32) {
        let record = *self.record(chunk);
        if record.state == State::Fresh {
            self.directory.set_record(chunk, Record { link: NONE, state: State::Carved, ..record });
            self.carved += self.geometry.len_of(chunk) as usize;
        }
    }

    pub(super) fn push_fresh(&mut self, chunk: u32) {
        let record = *self.record(chunk);
        self.directory.set_record(chunk, Record { link: self.fresh, ..record });
        self.fresh = chunk;
    }

    /// Empties all lists: no slot can be filled but by name until [`relist`](Self::relist).
    pub fn drop_lists(&mut self) {
        self.settled = self.live_count() + self.retired;
        self.untouched = Untouched::NONE;
        (self.head, self.fresh, self.listed) = (Link::END, NONE, false);
    }

    /// Makes all lists anew, lowest slots first. *O*(chunks), and a pass over the generations of
    /// those chunks that were filled and have vacant slots.
    pub fn relist(&mut self) {
        self.drop_lists();
        let live = self.live_count();
        self.listed = true;
        self.vacant_from = 0;
        (0..self.directory.len()).rev().for_each(|chunk| self.relist_chunk(chunk));
        debug_assert_eq!(self.live_count(), live, "values were counted right in between");
    }

    fn relist_chunk(&mut self, chunk: u32) {
        let record = *self.record(chunk);
        let len = self.geometry.len_of(chunk);
        match record.state {
            State::Vacant => {}
            State::Fresh => self.push_fresh(chunk),
            State::Carved => {
                let first = first_index(chunk);
                (first..first + len).rev().for_each(|index| self.list_if_vacant(index));
            }
        }
    }

    /// Lists a slot of a held chunk, none of which is listed, if it can be filled.
    fn list_if_vacant(&mut self, index: u32) {
        // SAFETY: the chunk is held, and so below `directory.len`.
        let place = unsafe { self.place(index) };
        // SAFETY: readable and initialised by S2.
        let generation = unsafe { place.generation().read() };
        if generation % 2 == 0 && generation != RETIRED {
            // SAFETY: a slot of a held chunk.
            let slot = unsafe { self.slot(&place) };
            // SAFETY: the slot is dead by S1 and its bytes are the storage's own.
            unsafe { retire_bytes(slot) };
            // SAFETY: as above.
            unsafe { slot.cast::<Link>().write(self.head) };
            self.head = self.head.to(index);
        }
    }
}
