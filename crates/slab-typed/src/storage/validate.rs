//! Compares all bookkeeping with the generations.
#![expect(unsafe_code, reason = "reads links")]

use allocator_api2::alloc::Allocator;
use slab_core::Inconsistency;

use super::directory::State;
use super::slot::Link;
use super::{NONE, Storage};
use crate::geometry::{chunk_of, first_index};
use crate::handle::SlotHandle;

fn equal(what: &'static str, at: u32, expected: usize, found: usize) -> Result<(), Inconsistency> {
    Inconsistency::check(what, at.into(), expected as u64, found as u64)
}

impl<T, A: Allocator> Storage<T, A> {
    /// Checks S2 to S4. *O*(slots + ids).
    pub fn validate(&self) -> Result<(), Inconsistency> {
        let (mut live, mut retired, mut held, mut slots, mut carved) = (0, 0, 0, 0, 0);
        for chunk in 0..self.directory.len() {
            let record = self.record(chunk);
            let first_of_slab = chunk - chunk % self.geometry.chunks_per_slab;
            let whole = record.is_held() == self.record(first_of_slab).is_held();
            equal("a slab is held whole or not at all", chunk, 1, usize::from(whole))?;
            let marked = self.directory.held().contains(chunk);
            equal(
                "the set contains the held chunks",
                chunk,
                record.is_held().into(),
                marked.into(),
            )?;
            self.validate_chunk(chunk)?;
            live += self.chunk_live(chunk) as usize;
            retired += self.chunk_retired(chunk);
            if record.state == State::Carved {
                carved += self.geometry.len_of(chunk) as usize;
            }
            if record.is_held() {
                held += usize::from(chunk == first_of_slab);
                slots += self.geometry.len_of(chunk) as usize;
            }
        }
        equal("the live slots", 0, self.live_count(), live)?;
        equal("the retired slots", 0, self.retired_count(), retired)?;
        equal("the slots of carved chunks", 0, self.carved, carved)?;
        equal("the number of held slabs", 0, self.held_slabs as usize, held)?;
        equal("the floor is even", 0, 0, self.floor as usize % 2)?;
        let readable = first_index(self.directory.len().min(self.reservation.chunks()));
        let found = self.reservation.readable() as usize;
        equal("lookups read the reserved chunks that are known", 0, readable as usize, found)?;
        let vacant = slots - live - retired;
        if !self.listed {
            return Ok(());
        }
        equal("each vacant slot is listed once", 0, vacant, self.count_listed(vacant)?)
    }

    fn validate_chunk(&self, chunk: u32) -> Result<(), Inconsistency> {
        let record = self.record(chunk);
        let first = first_index(chunk);
        for (index, &generation) in (first..).zip(self.generations(chunk)) {
            if !record.is_held() || index - first >= self.geometry.len_of(chunk) {
                equal("padding has generation zero", index, 0, generation as usize)?;
            }
        }
        let slots = &self.generations(chunk)[..self.geometry.len_of(chunk) as usize];
        if matches!(record.state, State::Fresh | State::Cleared) {
            let live = self.chunk_live(chunk) as usize;
            equal("a fresh or cleared chunk has no value", chunk, 0, live)?;
            let retired = self.chunk_retired(chunk);
            equal("a fresh or cleared chunk has no retired slot", chunk, 0, retired)?;
        }
        if record.state == State::Fresh {
            let uniform = slots.iter().all(|&generation| generation == slots[0]);
            equal("a fresh chunk has one generation", chunk, 1, usize::from(uniform))?;
        }
        Ok(())
    }

    /// Counts the slots on all lists, and stops after `limit`. A circle of links is found, because each link counts the
    /// slots after it.
    fn count_listed(&self, limit: usize) -> Result<usize, Inconsistency> {
        let mut listed = 0;
        let mut link = self.head;
        while link.depth() > 0 {
            let next = link.index();
            listed += 1;
            let vacant = self.vacant_handle(next).is_some();
            equal("a listed slot is vacant", next, 1, usize::from(vacant))?;
            let carved = self.record(chunk_of(next)).state == State::Carved;
            equal("a listed slot is in a carved chunk", next, 1, usize::from(carved))?;
            // SAFETY: the slot is vacant, and so in a held chunk. A listed slot holds its link, by S3.
            let after = unsafe { self.slot(&self.place(next)).cast::<Link>().read() };
            equal(
                "a link counts the slots after it",
                next,
                link.depth() as usize,
                after.depth() as usize + 1,
            )?;
            link = after;
        }
        let next = self.head.index();
        if self.head.depth() > 0 && next >= self.reservation.readable() {
            let base = self.generations(chunk_of(next)).as_ptr().cast::<u8>();
            let same = base == self.head_base.as_ptr();
            equal("the next slot has the base of its chunk", next, 1, usize::from(same))?;
        }
        for index in self.untouched.indices() {
            listed += 1;
            let vacant = self.vacant_handle(index).map(SlotHandle::generation);
            let as_next = vacant == Some(self.untouched.generation());
            equal(
                "an untouched slot has the generation of the next handle",
                index,
                1,
                as_next.into(),
            )?;
        }
        let mut chunk = self.fresh;
        while chunk != NONE && listed <= limit {
            listed += self.geometry.len_of(chunk) as usize;
            let fresh = matches!(self.record(chunk).state, State::Fresh | State::Cleared);
            equal("a chunk on the fresh list is fresh or cleared", chunk, 1, usize::from(fresh))?;
            chunk = self.record(chunk).link;
        }
        Ok(listed)
    }
}
