//! Which slot is filled next: the newest vacant one, then slots never filled or cleared, lowest first.
//!
//! One list runs through the vacant slots of all chunks, newest first, so that a slot is filled
//! while it is still in the cache. A list per chunk cost 0.7 to 1.2 ns more a removal, and linking a
//! fresh chunk beforehand made insertion 2.4 times slower.
#![expect(unsafe_code, reason = "links lie in dead slots")]

use core::ops::Range;

use allocator_api2::alloc::Allocator;

use crate::error::SlabError;
use crate::geometry::first_index;

use super::directory::{Record, State};
use super::fill::Untouched;
use super::slot::{Link, retire_bytes};
use super::{NONE, RETIRED, Storage, WORN};

/// Makes the lists anew when it is dropped: an operation that empties them may unwind.
pub(crate) struct Relisting<'a, T, A: Allocator>(pub &'a mut Storage<T, A>);

impl<T, A: Allocator> Drop for Relisting<'_, T, A> {
    fn drop(&mut self) {
        self.0.relist();
    }
}

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

    /// Makes the slots of the next fresh or cleared chunk the untouched ones, if there is such a chunk, or lists
    /// them.
    fn carve_next(&mut self) -> bool {
        let chunk = self.fresh;
        if chunk == NONE {
            return false;
        }
        let Record { link, state, .. } = *self.record(chunk);
        self.fresh = link;
        self.carve(chunk);
        if state == State::Fresh || self.level(chunk) {
            // SAFETY: the chunk was fresh or cleared: held, dead all through, and on no list since the line
            // before the last. All its slots are of one generation: it was fresh, or was just levelled.
            // `prepare` calls this when nothing is untouched.
            unsafe { self.set_untouched(chunk) };
        } else {
            self.list_vacant(chunk);
        }
        true
    }

    /// Raises all slots of a held chunk without live ones to its highest generation. Does nothing and returns
    /// `false` if that is worn.
    fn level(&mut self, chunk: u32) -> bool {
        let highest = self.highest_generation(chunk);
        if highest > WORN {
            return false;
        }
        for index in self.indices_of(chunk) {
            // SAFETY: a held chunk is below `directory.len`.
            let place = unsafe { self.place(index) };
            // SAFETY: the chunk is held, so its generations are owned; even, and so dead still.
            unsafe { place.generation().write(highest) };
        }
        true
    }

    /// Makes a fresh or cleared chunk a carved one.
    pub(super) fn carve(&mut self, chunk: u32) {
        let record = *self.record(chunk);
        if matches!(record.state, State::Fresh | State::Cleared) {
            self.directory.set_record(chunk, Record { link: NONE, state: State::Carved, ..record });
            self.carved += self.geometry.len_of(chunk) as usize;
        }
    }

    /// Makes the slots of a fresh or cleared chunk the next to be handed out, once none is untouched.
    fn push_fresh(&mut self, chunk: u32) {
        if self.fresh == NONE {
            self.fresh_last = chunk;
        }
        self.set_link(chunk, self.fresh);
        self.fresh = chunk;
    }

    /// Makes the slots of a fresh chunk the last to be handed out.
    pub(super) fn append_fresh(&mut self, chunk: u32) {
        self.set_link(chunk, NONE);
        if self.fresh == NONE {
            self.fresh = chunk;
        } else {
            self.set_link(self.fresh_last, chunk);
        }
        self.fresh_last = chunk;
    }

    fn set_link(&mut self, chunk: u32, link: u32) {
        let record = *self.record(chunk);
        self.directory.set_record(chunk, Record { link, ..record });
    }

    /// Empties all lists: no slot can be filled but by name until [`relist`](Self::relist).
    pub fn drop_lists(&mut self) {
        self.settled = self.live_count() + self.retired;
        self.untouched = Untouched::NONE;
        (self.head, self.fresh, self.listed) = (Link::END, NONE, false);
    }

    /// Makes all lists anew, lowest slots first. A pass over the generations of the chunks that were filled,
    /// and writes to the vacant slots of those that still have values.
    pub fn relist(&mut self) {
        self.drop_lists();
        let live = self.live_count();
        self.listed = true;
        self.vacant_from = 0;
        let mut end = self.directory.len();
        while let Some(chunk) = self.directory.held().last_below(end) {
            self.relist_chunk(chunk);
            end = chunk;
        }
        debug_assert_eq!(self.live_count(), live, "values were counted right in between");
    }

    fn relist_chunk(&mut self, chunk: u32) {
        let record = *self.record(chunk);
        if record.state == State::Carved {
            let used =
                self.chunk_live(chunk) > 0 || self.retired > 0 && self.chunk_retired(chunk) > 0;
            if used {
                self.list_vacant(chunk);
                return;
            }
            self.carved -= self.geometry.len_of(chunk) as usize;
            self.directory.set_record(chunk, Record { state: State::Cleared, ..record });
        }
        self.push_fresh(chunk);
    }

    /// Lists the vacant slots of a held chunk, none of which is listed, the lowest first.
    fn list_vacant(&mut self, chunk: u32) {
        self.indices_of(chunk).rev().for_each(|index| self.list_if_vacant(index));
    }

    fn indices_of(&self, chunk: u32) -> Range<u32> {
        let first = first_index(chunk);
        first..first + self.geometry.len_of(chunk)
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
