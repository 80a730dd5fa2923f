//! Releases the chunks of whole slabs.
#![expect(unsafe_code, reason = "deallocates raw blocks")]

use core::alloc::Layout;
use core::ops::Range;

use allocator_api2::alloc::Allocator;
use slab_core::{OnDrop, poison};

use super::directory::{Record, State};
use super::slot::Slot;
use super::{RETIRED, Storage, WORN};
use crate::geometry::{CHUNK_SLOTS_MAX, first_index};

impl<T, A: Allocator> Storage<T, A> {
    /// Releases the memory of a slab without live values, and keeps its highest generation as the floor for the next
    /// time the id is held. The caller rebuilds the lists, also if the source panics.
    pub fn release_slab(&mut self, slab: u32) {
        let live: u32 = self.chunks_of(slab).map(|chunk| self.chunk_live(chunk)).sum();
        assert!(self.is_held(slab) && live == 0, "slab {slab} is in use");
        self.drop_lists();
        for chunk in self.chunks_of(slab) {
            // Even, because no slot is live.
            let highest = self.highest_generation(chunk);
            if highest == RETIRED {
                let retired = self.chunk_retired(chunk);
                self.retired -= retired;
                self.accounted -= retired;
            }
            if self.record(chunk).state == State::Carved {
                self.carved -= self.geometry.len_of(chunk) as usize;
            }
            self.directory.set_record(chunk, Record::vacant(highest));
        }
        self.held_slabs -= 1;
        self.deallocate(self.chunks_of(slab), self.directory.len());
    }

    /// Forgets the ids after the last one that is held or worn, and shrinks the directory. New ids start above the
    /// generations that were forgotten. The caller rebuilds the lists, also if the source panics.
    ///
    /// *O*(ids forgotten), plus a copy of the directory.
    pub fn forget_vacant_tail(&mut self) {
        self.drop_lists();
        while self.slab_ids() > 0 {
            let last = self.chunks_of(self.slab_ids() - 1);
            // A held chunk has no floor. Worn ids are not forgotten: else all new ids would start worn.
            let mut floors = last.clone().map(|chunk| self.record(chunk).floor());
            let highest =
                floors.try_fold(0, |highest, floor| floor.map(|floor| floor.max(highest)));
            let Some(floor) = highest.filter(|&floor| floor <= WORN) else { break };
            self.floor = self.floor.max(floor);
            self.truncate_directory(last.start);
        }
        self.directory.shrink_to_fit(&self.source);
    }

    /// Forgets the chunks from `len` on, none of which is held.
    fn truncate_directory(&mut self, len: u32) {
        self.directory.truncate(len);
        self.reservation.set_readable(self.directory.len());
    }

    /// Releases all memory. Live values are forgotten. If the source panics, the remaining memory is released all the
    /// same.
    pub(super) fn release_all(&mut self) {
        self.reservation.keep_pages();
        let mut table = OnDrop::new(self, |storage| storage.directory.release(&storage.source));
        let chunks = 0..table.directory.len();
        table.deallocate(chunks, 0);
    }

    /// Deallocates the blocks of chunks whose records already say that they are vacant, and shortens the directory to
    /// `known` chunks. If the source panics, the remaining blocks are deallocated all the same. If it panics again
    /// meanwhile, the program aborts.
    pub(super) fn deallocate(&mut self, chunks: Range<u32>, known: u32) {
        let mut left = OnDrop::new((self, chunks), |(storage, chunks)| {
            storage.deallocate_blocks(chunks);
            storage.truncate_directory(known);
        });
        let (storage, chunks) = &mut *left;
        storage.deallocate_blocks(chunks);
    }

    /// Deallocates the blocks of chunks, each after it left the range.
    fn deallocate_blocks(&mut self, chunks: &mut Range<u32>) {
        while let Some(chunk) = self.directory.held().first_from(chunks.start) {
            if chunk >= chunks.end {
                break;
            }
            chunks.start = chunk + 1;
            self.deallocate_block(chunk);
        }
    }

    /// Deallocates a chunk's block. Only `deallocate_blocks` calls this.
    fn deallocate_block(&mut self, chunk: u32) {
        let Some(layout) = self.geometry.chunk_layout(chunk, Layout::new::<Slot<T>>()) else {
            return;
        };
        let Some(base) = self.directory.take_block(chunk) else { return };
        if chunk < self.reservation.chunks() {
            // SAFETY: the chunk is reserved, so its slots lie in the mapping by A1. The directory no longer names it, so
            // the storage is their only owner.
            unsafe {
                let slots = self.reservation.slots().cast::<Slot<T>>();
                let slots = slots.add(first_index(chunk) as usize);
                poison::allow_access(slots.cast(), CHUNK_SLOTS_MAX * size_of::<Slot<T>>());
            }
            self.reservation.give_back(chunk);
            return;
        }
        // SAFETY: by S2 the block came from this source with this layout. The directory no longer names it, so the
        // storage is its only owner.
        unsafe {
            poison::allow_access(base.cast(), layout.size());
            self.source.deallocate(base.cast(), layout);
        }
    }
}
