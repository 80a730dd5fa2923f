//! Releases the chunks of whole slabs.
#![expect(unsafe_code, reason = "deallocates raw blocks")]

use core::alloc::Layout;
use core::ops::Range;

use allocator_api2::alloc::Allocator;
use slab_core::poison;

use super::directory::{Record, State};
use super::slot::Slot;
use super::{RETIRED, Storage, WORN};

/// Chunks whose blocks are deallocated, after all bookkeeping. Its drop finishes the work if the source panics. If the
/// source panics again meanwhile, the program aborts.
struct Deallocation<'a, T, A: Allocator> {
    storage: &'a mut Storage<T, A>,
    chunks: Range<u32>,
    /// The directory's length afterwards.
    known: u32,
}

impl<T, A: Allocator> Deallocation<'_, T, A> {
    fn run(&mut self) {
        let Self { storage, chunks, .. } = self;
        while let Some(chunk) = storage.directory.held().first_from(chunks.start) {
            if chunk >= chunks.end {
                break;
            }
            chunks.start = chunk + 1;
            storage.deallocate_block(chunk);
        }
    }
}

impl<T, A: Allocator> Drop for Deallocation<'_, T, A> {
    fn drop(&mut self) {
        self.run();
        self.storage.directory.truncate(self.known);
    }
}

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
        self.deallocate(slab, self.directory.len());
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
            self.directory.truncate(last.start);
        }
        self.directory.shrink_to_fit(&self.source);
    }

    /// Releases all memory. Live values are forgotten. If the source panics, the remaining memory is released all the
    /// same.
    pub(super) fn release_all(&mut self) {
        struct Table<'a, T, A: Allocator>(&'a mut Storage<T, A>);

        impl<T, A: Allocator> Drop for Table<'_, T, A> {
            fn drop(&mut self) {
                self.0.directory.release(&self.0.source);
            }
        }

        let table = Table(self);
        let chunks = 0..table.0.directory.len();
        Deallocation { storage: table.0, chunks, known: 0 }.run();
    }

    /// Deallocates the blocks of a slab whose records already say that it is vacant, and shortens the directory to
    /// `known` chunks. If the source panics, the remaining blocks are deallocated all the same.
    pub(super) fn deallocate(&mut self, slab: u32, known: u32) {
        let chunks = self.chunks_of(slab);
        Deallocation { storage: self, chunks, known }.run();
    }

    /// Deallocates a chunk's block. Only a [`Deallocation`] calls this.
    fn deallocate_block(&mut self, chunk: u32) {
        let Some(layout) = self.geometry.chunk_layout(chunk, Layout::new::<Slot<T>>()) else {
            return;
        };
        let Some(base) = self.directory.take_block(chunk) else { return };
        // SAFETY: by S2 the block came from this source with this layout. The directory no longer names it, so the
        // storage is its only owner.
        unsafe {
            poison::allow_access(base.cast(), layout.size());
            self.source.deallocate(base.cast(), layout);
        }
    }
}
