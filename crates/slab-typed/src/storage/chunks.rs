//! Which chunks and slabs are held, and how many live and retired slots they have.

use core::ops::Range;

use allocator_api2::alloc::Allocator;

use super::directory::Record;
use super::{RETIRED, Storage};
use crate::geometry::chunk_of;

impl<T, A: Allocator> Storage<T, A> {
    /// Returns the chunks of a slab below `slab_ids`.
    pub fn chunks_of(&self, slab: u32) -> Range<u32> {
        let first = slab * self.geometry.chunks_per_slab;
        first..first + self.geometry.chunks_per_slab
    }

    /// Returns whether a slab is held.
    pub fn is_held(&self, slab: u32) -> bool {
        slab < self.slab_ids() && self.record(self.chunks_of(slab).start).is_held()
    }

    /// Returns the slabs that are held, in order.
    pub fn held_slab_ids(&self) -> impl DoubleEndedIterator<Item = u32> {
        self.directory.held_groups(self.geometry.chunks_per_slab)
    }

    /// Returns the last slab below `end` that is held.
    pub fn last_held_below(&self, end: u32) -> Option<u32> {
        let chunks_per_slab = self.geometry.chunks_per_slab;
        let chunk = self.directory.held().last_below(end * chunks_per_slab)?;
        Some(chunk / chunks_per_slab)
    }

    /// Returns the chunks that are held, in order.
    pub(super) fn held_chunks(&self) -> impl DoubleEndedIterator<Item = u32> {
        self.directory.held_groups(1)
    }

    pub(super) fn record(&self, chunk: u32) -> &Record {
        self.directory.record(chunk).expect("callers name chunks that the directory contains")
    }

    /// Counts the live slots of each chunk, for [`slab_live`](Self::slab_live). *O*(slots).
    ///
    /// Counts that each removal and insertion keeps up to date would make them 10 to 33 % slower.
    pub fn count_live(&mut self) {
        let mut next = 0;
        while let Some(chunk) = self.directory.held().first_from(next) {
            let live = self.chunk_live(chunk) as u16;
            let record = *self.record(chunk);
            self.directory.set_record(chunk, Record { live, ..record });
            next = chunk + 1;
        }
    }

    /// Returns the live slots of a held slab when they were last [counted](Self::count_live), corrected for moves since.
    /// *O*(chunks of a slab).
    pub fn slab_live(&self, slab: u32) -> usize {
        self.chunks_of(slab).map(|chunk| usize::from(self.record(chunk).live)).sum()
    }

    /// Counts the live slots of a chunk.
    pub(super) fn chunk_live(&self, chunk: u32) -> u32 {
        self.generations(chunk).iter().map(|generation| generation % 2).sum()
    }

    /// Returns the number of untouched slots of a chunk.
    pub(super) fn untouched_of(&self, chunk: u32) -> u32 {
        if chunk_of(self.untouched.indices().start) == chunk { self.untouched.count() } else { 0 }
    }

    /// Returns the number of retired slots of a slab. *O*(slots) once any slot is retired.
    pub fn slab_retired(&self, slab: u32) -> usize {
        if self.retired == 0 {
            return 0;
        }
        self.chunks_of(slab).map(|chunk| self.chunk_retired(chunk)).sum()
    }

    pub(super) fn chunk_retired(&self, chunk: u32) -> usize {
        self.generations(chunk).iter().filter(|&&generation| generation == RETIRED).count()
    }

    /// Returns the highest generation of a chunk's slots.
    pub(super) fn highest_generation(&self, chunk: u32) -> u32 {
        self.generations(chunk).iter().fold(0, |highest, &generation| highest.max(generation))
    }
}
