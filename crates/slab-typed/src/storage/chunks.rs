//! Acquiring and releasing the chunks of whole slabs.
#![expect(unsafe_code, reason = "owns raw blocks")]

use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ops::Range;
use core::slice;

use allocator_api2::alloc::Allocator;
use slab_core::poison;

use super::directory::{Record, State};
use super::slot::Slot;
use super::{RETIRED, Storage, WORN};
use crate::error::SlabError;
use crate::geometry::{CHUNK_COUNT_MAX, Geometry, chunk_of};

/// A slab that is being acquired: released if the source refuses one of its chunks, or panics. A slab
/// is held whole or not at all.
struct HalfHeld<'a, T, A: Allocator> {
    storage: &'a mut Storage<T, A>,
    slab: u32,
    /// The directory's length before.
    known: u32,
}

impl<T, A: Allocator> Drop for HalfHeld<'_, T, A> {
    fn drop(&mut self) {
        let storage = &mut *self.storage;
        for chunk in storage.chunks_of(self.slab) {
            if storage.record(chunk).is_held() {
                let floor = storage.generations(chunk)[0];
                storage.directory.set_record(chunk, Record::vacant(floor));
            }
        }
        storage.deallocate(self.slab, self.known);
    }
}

/// Chunks whose blocks go back to the source, after all bookkeeping. The drop finishes what a panic of the
/// source interrupts. A second panic meanwhile is one while the program unwinds, which aborts it.
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
    /// The chunks of a slab. The slab is below `slab_ids`.
    pub fn chunks_of(&self, slab: u32) -> Range<u32> {
        let first = slab * self.geometry.chunks_per_slab;
        first..first + self.geometry.chunks_per_slab
    }

    /// Returns whether a slab id is known and its memory held.
    pub fn is_held(&self, slab: u32) -> bool {
        slab < self.slab_ids() && self.record(self.chunks_of(slab).start).is_held()
    }

    /// Counts the live slots of each chunk, for [`slab_live`](Self::slab_live). *O*(slots).
    ///
    /// Keeping the counts up to date would cost each removal and each insertion a tenth to a third of
    /// its time.
    pub fn count_live(&mut self) {
        let mut next = 0;
        while let Some(chunk) = self.directory.held().first_from(next) {
            let live = self.chunk_live(chunk) as u16;
            let record = *self.record(chunk);
            self.directory.set_record(chunk, Record { live, ..record });
            next = chunk + 1;
        }
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

    /// Returns the number of slots of a held slab that were live when they were last
    /// [counted](Self::count_live), and moves since. *O*(chunks of a slab).
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

    /// Returns whether a vacant slab id can never be held again, because a slot of it is used up.
    pub(super) fn is_exhausted(&self, slab: u32) -> bool {
        self.chunks_of(slab).any(|chunk| self.record(chunk).floor() == Some(RETIRED))
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

    pub(super) fn record(&self, chunk: u32) -> &Record {
        self.directory.record(chunk).expect("chunks are named below the directory's length")
    }

    /// Returns the generation from which the slots of a vacant chunk start, or `None` if it is held.
    pub(super) fn floor_of(&self, chunk: u32) -> Option<u32> {
        self.record(chunk).floor().map(|floor| floor.max(self.floor))
    }

    /// Raises the generations that vacant ids start from. Odd floors are rounded up, and those that would
    /// leave no life to a slot down to the one that leaves it one. *O*(1).
    pub fn raise_floor(&mut self, floor: u32) {
        let floor = floor.min(RETIRED - 2).next_multiple_of(2);
        self.floor = self.floor.max(floor);
    }

    /// Returns why `slabs` more slabs cannot be held, whatever memory there is. *O*(1), but for a look at all
    /// ids where nearly all are used.
    pub fn check_room(&self, slabs: usize) -> Result<(), SlabError> {
        if slabs == 0 {
            return Ok(());
        }
        let Geometry { slab_capacity, chunks_per_slab, .. } = self.geometry;
        let ids = (CHUNK_COUNT_MAX / chunks_per_slab) as usize;
        let (known, held) = (self.slab_ids() as usize, self.held_slabs as usize);
        let exhausted = || (0..self.slab_ids()).filter(|&slab| self.is_exhausted(slab)).count();
        let too_many =
            slabs > ids - held || slabs > ids - known && slabs > ids - held - exhausted();
        if too_many {
            return Err(SlabError::IndexSpaceExhausted { slab: ids, slab_capacity });
        }
        let bytes = self.slab_bytes().and_then(|bytes| bytes.checked_mul(slabs));
        match bytes.filter(|&bytes| bytes <= isize::MAX as usize) {
            Some(_) => Ok(()),
            None => {
                let align = align_of::<Slot<T>>();
                Err(SlabError::OutOfMemory { bytes: bytes.unwrap_or(usize::MAX), align })
            }
        }
    }

    /// Acquires the memory of one more slab. If that is refused nothing changes.
    #[cold]
    #[inline(never)]
    pub fn grow(&mut self) -> Result<u32, SlabError> {
        let vacant = |&slab: &u32| !self.is_held(slab) && !self.is_exhausted(slab);
        let known = self.slab_ids();
        let slab = (self.vacant_from..known).find(vacant).unwrap_or(known);
        self.hold(slab)?;
        self.vacant_from = slab + 1;
        for chunk in self.chunks_of(slab) {
            self.append_fresh(chunk);
        }
        Ok(slab)
    }

    /// Acquires the memory of a slab that is not held, and lists none of its slots. If that is
    /// refused nothing changes.
    pub fn hold(&mut self, slab: u32) -> Result<(), SlabError> {
        let exhausted = SlabError::IndexSpaceExhausted {
            slab: slab as usize,
            slab_capacity: self.geometry.slab_capacity,
        };
        let end = (slab.checked_add(1))
            .and_then(|slabs| slabs.checked_mul(self.geometry.chunks_per_slab))
            .filter(|&end| end <= CHUNK_COUNT_MAX)
            .ok_or(exhausted.clone())?;
        let known = self.directory.len();
        self.directory.extend(end, self.floor, &self.source)?;
        assert!(!self.is_held(slab), "slab {slab} is held already");
        if self.is_exhausted(slab) {
            return Err(exhausted);
        }
        let half_held = HalfHeld { storage: self, slab, known };
        for chunk in half_held.storage.chunks_of(slab) {
            half_held.storage.acquire(chunk)?;
        }
        half_held.storage.held_slabs += 1;
        core::mem::forget(half_held);
        Ok(())
    }

    /// Gives the memory of a slab without live values back, and keeps its highest generation as the
    /// floor for the id's next life. The lists are to be made anew by the caller, also if the source unwinds.
    pub fn release_slab(&mut self, slab: u32) {
        let live: u32 = self.chunks_of(slab).map(|chunk| self.chunk_live(chunk)).sum();
        assert!(self.is_held(slab) && live == 0, "slab {slab} is in use");
        self.drop_lists();
        for chunk in self.chunks_of(slab) {
            // All are even: nothing is live.
            let highest = self.highest_generation(chunk);
            if highest == RETIRED {
                let retired = self.chunk_retired(chunk);
                self.retired -= retired;
                self.settled -= retired;
            }
            if self.record(chunk).state == State::Carved {
                self.carved -= self.geometry.len_of(chunk) as usize;
            }
            self.directory.set_record(chunk, Record::vacant(highest));
        }
        self.held_slabs -= 1;
        self.deallocate(slab, self.directory.len());
    }

    /// Returns the highest generation of a chunk's slots.
    pub(super) fn highest_generation(&self, chunk: u32) -> u32 {
        self.generations(chunk).iter().fold(0, |highest, &generation| highest.max(generation))
    }

    /// Forgets the ids behind the last one that is held or worn; those to come start above what
    /// was forgotten. Gives the rest of the directory back. The lists are to be made anew by the caller, also if
    /// the source unwinds.
    ///
    /// *O*(ids forgotten), and a move of the directory.
    pub fn forget_vacant_tail(&mut self) {
        self.drop_lists();
        while self.slab_ids() > 0 {
            let last = self.chunks_of(self.slab_ids() - 1);
            // Held chunks have no floor. What is worn stays: else all ids to come would start worn.
            let mut floors = last.clone().map(|chunk| self.record(chunk).floor());
            let highest =
                floors.try_fold(0, |highest, floor| floor.map(|floor| floor.max(highest)));
            let Some(floor) = highest.filter(|&floor| floor <= WORN) else { break };
            self.floor = self.floor.max(floor);
            self.directory.truncate(last.start);
        }
        self.directory.shrink_to_fit(&self.source);
    }

    /// The bytes of one slab, or `None` if the address space cannot hold it.
    fn slab_bytes(&self) -> Option<usize> {
        let last = self.geometry.chunks_per_slab - 1;
        let full = self.chunk_bytes(0)?.checked_mul(last as usize)?;
        full.checked_add(self.chunk_bytes(last)?)
    }

    /// The bytes of a chunk, or `None` if the address space cannot hold it.
    pub(super) fn chunk_bytes(&self, chunk: u32) -> Option<usize> {
        Some(self.geometry.chunk_layout(chunk, Layout::new::<Slot<T>>())?.size())
    }

    /// The bytes held: chunks and directory. *O*(chunks held).
    pub fn bytes(&self) -> usize {
        let chunks = self.held_chunks().filter_map(|chunk| self.chunk_bytes(chunk));
        chunks.sum::<usize>() + self.directory.bytes()
    }

    /// Gives all memory back. Values that are live are forgotten. If the source unwinds, the rest goes back
    /// all the same.
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

    /// Makes a vacant chunk a held one, fresh.
    fn acquire(&mut self, chunk: u32) -> Result<(), SlabError> {
        let floor = self.floor_of(chunk);
        let floor = floor.filter(|&floor| floor % 2 == 0 && floor < RETIRED);
        let Some(floor) = floor else {
            panic!("chunk {chunk} is held, or its generations are used up")
        };
        let slot = Layout::new::<Slot<T>>();
        let layout = self
            .geometry
            .chunk_layout(chunk, slot)
            .ok_or(SlabError::OutOfMemory { bytes: usize::MAX, align: slot.align() })?;
        let refused = SlabError::OutOfMemory { bytes: layout.size(), align: layout.align() };
        let base = self.source.allocate(layout).map_err(|_| refused)?.cast::<u32>();
        let (len, padded) = (self.geometry.len_of(chunk), self.geometry.chunk_len);
        // SAFETY: the block begins with `padded` generations, which are nobody else's.
        let generations = unsafe {
            slice::from_raw_parts_mut(base.cast::<MaybeUninit<u32>>().as_ptr(), padded as usize)
        };
        let (slots, padding) = generations.split_at_mut(len as usize);
        slots.fill(MaybeUninit::new(floor));
        padding.fill(MaybeUninit::new(0));
        self.directory.hold(chunk, base);
        Ok(())
    }

    /// Gives the blocks of a slab's chunks back, whose records already say that they are vacant, and cuts the
    /// directory to `known` chunks. If the source unwinds, the rest goes back all the same.
    fn deallocate(&mut self, slab: u32, known: u32) {
        let chunks = self.chunks_of(slab);
        Deallocation { storage: self, chunks, known }.run();
    }

    /// Gives a chunk's block back. Only a [`Deallocation`] calls this.
    fn deallocate_block(&mut self, chunk: u32) {
        let Some(layout) = self.geometry.chunk_layout(chunk, Layout::new::<Slot<T>>()) else {
            return;
        };
        let Some(base) = self.directory.take_block(chunk) else { return };
        // SAFETY: the block has this many bytes.
        unsafe { poison::permit(base.cast(), layout.size()) };
        // SAFETY: by S2 the block came from this source with this layout, and the directory has just lost it.
        unsafe { self.source.deallocate(base.cast(), layout) };
    }
}
