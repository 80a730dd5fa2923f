//! The order in which slots are filled: the one vacated last, then slots never filled or cleared, lowest first.
//!
//! One list runs through the vacant slots of all chunks, newest first, so that a slot is filled while it is still in the
//! CPU cache. A list per chunk cost 0.7 to 1.2 ns more per removal, and linking the slots of a fresh chunk in advance made
//! insertion 2.4 times slower.
#![expect(unsafe_code, reason = "links lie in dead slots")]

use core::ops::Range;

use allocator_api2::alloc::Allocator;

use crate::error::SlabError;
use crate::geometry::first_index;

use super::directory::{Record, State};
use super::fill::Untouched;
use super::slot::{Link, retire_bytes};
use super::{NONE, RETIRED, Storage, WORN};

impl<T, A: Allocator> Storage<T, A> {
    /// Makes a slot vacant, and acquires a slab if necessary. If memory is refused nothing changes.
    #[cold]
    #[inline(never)]
    pub fn prepare(&mut self) -> Result<(), SlabError> {
        if self.has_vacant() || self.carve_next() {
            return Ok(());
        }
        self.grow()?;
        let carved = self.carve_next();
        debug_assert!(carved, "a new slab has fresh chunks");
        Ok(())
    }

    /// Makes the slots of the next fresh or cleared chunk the untouched ones, or lists them. Returns `false` if there is
    /// no such chunk.
    fn carve_next(&mut self) -> bool {
        let chunk = self.fresh;
        if chunk == NONE {
            return false;
        }
        let Record { link, state, .. } = *self.record(chunk);
        self.fresh = link;
        self.carve(chunk);
        if state == State::Fresh || self.level(chunk) {
            // SAFETY: the chunk is held and carved, and all its slots are dead, by S3. It was taken off its list above.
            // Its slots have one generation, because it was fresh or was just levelled. No slot is untouched: `prepare`
            // found none vacant.
            unsafe { self.set_untouched(chunk) };
        } else {
            self.list_vacant(chunk);
        }
        true
    }

    /// Raises all slots of a held chunk without live ones to its highest generation. If that is worn, returns `false`
    /// and changes nothing.
    fn level(&mut self, chunk: u32) -> bool {
        let highest = self.highest_generation(chunk);
        if highest > WORN {
            return false;
        }
        for index in self.indices_of(chunk) {
            // SAFETY: the chunk is held, so the storage owns its generations. `highest` is even, so the slots stay dead.
            unsafe { self.place(index).generation().write(highest) };
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

    /// Makes the slots of a fresh or cleared chunk the next to be filled, once none is untouched.
    fn push_fresh(&mut self, chunk: u32) {
        if self.fresh == NONE {
            self.fresh_last = chunk;
        }
        self.set_link(chunk, self.fresh);
        self.fresh = chunk;
    }

    /// Makes the slots of a fresh chunk the last to be filled.
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

    /// Empties all lists. Until [`relist`](Self::relist), slots can only be filled by handle.
    pub fn drop_lists(&mut self) {
        self.accounted = self.live_count() + self.retired;
        self.untouched = Untouched::NONE;
        (self.head, self.fresh, self.listed) = (Link::END, NONE, false);
    }

    /// Rebuilds all lists, lowest slots first. It reads the generations of all carved chunks, and writes to the vacant
    /// slots of those with values.
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
        debug_assert_eq!(self.live_count(), live, "the count was right while the lists were empty");
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

    /// Lists the vacant slots of a held chunk, none of which is listed. The lowest is filled first.
    fn list_vacant(&mut self, chunk: u32) {
        self.indices_of(chunk).rev().for_each(|index| self.list_if_vacant(index));
    }

    fn indices_of(&self, chunk: u32) -> Range<u32> {
        let first = first_index(chunk);
        first..first + self.geometry.len_of(chunk)
    }

    /// Lists a slot of a held chunk, none of which is listed, if it can be filled.
    fn list_if_vacant(&mut self, index: u32) {
        // SAFETY: the directory contains the chunk, because it is held, and its generations are initialised by S2.
        let (place, generation) = unsafe {
            let place = self.place(index);
            let generation = place.generation().read();
            (place, generation)
        };
        if generation % 2 == 0 && generation != RETIRED {
            // SAFETY: a slot of a held chunk. It is dead by S1 and on no list, so the storage owns its bytes.
            unsafe {
                let slot = self.slot(&place);
                retire_bytes(slot);
                slot.cast::<Link>().write(self.head);
            }
            self.head = self.head.to(index);
            self.head_base = place.base();
        }
    }
}
