//! Acquiring and releasing the chunks of whole slabs.
#![expect(unsafe_code, reason = "owns raw blocks")]

use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ops::Range;
use core::ptr::NonNull;
use core::slice;

use allocator_api2::alloc::Allocator;
use slab_core::poison;

#[cfg(feature = "serde")]
use super::directory::Directory;
use super::directory::{Record, State, never};
use super::slot::Slot;
use super::{NONE, RETIRED, Storage};
use crate::error::SlabError;
use crate::geometry::{CHUNK_COUNT_MAX, chunk_of};

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
                storage.release(chunk, floor);
            }
        }
        storage.directory.truncate(self.known);
    }
}

impl<T, A: Allocator> Storage<T, A> {
    /// The chunks of a slab. The slab is below `slab_ids`.
    pub(super) fn chunks_of(&self, slab: u32) -> Range<u32> {
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
        for chunk in 0..self.directory.len() {
            let live = self.chunk_live(chunk) as u16;
            let record = *self.record(chunk);
            self.directory.set_record(chunk, Record { live, ..record });
        }
    }

    /// Returns the number of slots of a slab that were live when they were last
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

    #[cfg(feature = "serde")]
    pub(super) fn floor(&self) -> u32 {
        self.floor
    }

    /// Raises the generations that ids start from, known vacant ones included. Odd floors are
    /// rounded up, and those that would leave no life to a slot down to the one that leaves it one.
    pub fn raise_floor(&mut self, floor: u32) {
        let floor = floor.min(RETIRED - 2).next_multiple_of(2);
        self.floor = self.floor.max(floor);
        for chunk in 0..self.directory.len() {
            if let Some(floor) = self.record(chunk).floor() {
                self.directory.set_record(chunk, Record::vacant(floor.max(self.floor)));
            }
        }
    }

    /// Returns the highest generation that a slot to be filled later can have had, over all ids.
    /// *O*(slots).
    #[cfg(feature = "serde")]
    pub fn highest_spent(&self) -> u32 {
        let dead =
            |chunk| self.generations(chunk).iter().filter(|&&generation| generation % 2 == 0);
        let floors = (0..self.directory.len()).filter_map(|chunk| self.record(chunk).floor());
        let held = (0..self.directory.len()).flat_map(dead).copied();
        held.chain(floors).fold(self.floor, u32::max)
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
        for chunk in self.chunks_of(slab).rev() {
            self.push_fresh(chunk);
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
    /// floor for the id's next life. The lists are to be made anew by the caller.
    pub fn release_slab(&mut self, slab: u32) {
        let live: u32 = self.chunks_of(slab).map(|chunk| self.chunk_live(chunk)).sum();
        assert!(self.is_held(slab) && live == 0, "slab {slab} is in use");
        self.drop_lists();
        for chunk in self.chunks_of(slab) {
            // All are even: nothing is live.
            let highest = self.generations(chunk).iter().fold(0, |highest, &g| highest.max(g));
            if highest == RETIRED {
                let retired = self.chunk_retired(chunk);
                self.retired -= retired;
                self.settled -= retired;
            }
            self.release(chunk, highest);
        }
        self.held_slabs -= 1;
    }

    /// Forgets the ids behind the last one that is held or exhausted; those to come start above what
    /// was forgotten. Gives the rest of the directory back. The lists are to be made anew.
    pub fn forget_vacant_tail(&mut self) {
        self.drop_lists();
        while self.slab_ids() > 0 {
            let last = self.chunks_of(self.slab_ids() - 1);
            if self.is_held(self.slab_ids() - 1) || self.is_exhausted(self.slab_ids() - 1) {
                break;
            }
            let floors = last.clone().filter_map(|chunk| self.record(chunk).floor());
            self.floor = floors.fold(self.floor, u32::max);
            self.directory.truncate(last.start);
        }
        self.directory.shrink_to_fit(&self.source);
    }

    /// The bytes of one slab, or `None` if the address space cannot hold it.
    #[cfg(feature = "serde")]
    pub fn slab_bytes(&self) -> Option<usize> {
        let bytes =
            |chunk| Some(self.geometry.chunk_layout(chunk, Layout::new::<Slot<T>>())?.size());
        let last = self.geometry.chunks_per_slab - 1;
        bytes(0)?.checked_mul(last as usize)?.checked_add(bytes(last)?)
    }

    /// The bytes of the directory once it has grown to hold a slab, at most.
    #[cfg(feature = "serde")]
    pub fn directory_bytes_for(&self, slab: u32) -> Option<usize> {
        let end = slab.checked_add(1)?.checked_mul(self.geometry.chunks_per_slab)?;
        Directory::grown_bytes(end)
    }

    /// The bytes held: chunks and directory.
    pub fn bytes(&self) -> usize {
        let held = (0..self.directory.len()).filter(|&chunk| self.record(chunk).is_held());
        let layout = |chunk| self.geometry.chunk_layout(chunk, Layout::new::<Slot<T>>());
        held.filter_map(layout).map(|layout| layout.size()).sum::<usize>() + self.directory.bytes()
    }

    /// Gives all memory back. Values that are live are forgotten.
    pub(super) fn release_all(&mut self) {
        for chunk in 0..self.directory.len() {
            if self.record(chunk).is_held() {
                self.release(chunk, 0);
            }
        }
        self.directory.release(&self.source);
    }

    /// Makes a vacant chunk a held one, fresh.
    fn acquire(&mut self, chunk: u32) -> Result<(), SlabError> {
        let slot = Layout::new::<Slot<T>>();
        let layout = self
            .geometry
            .chunk_layout(chunk, slot)
            .ok_or(SlabError::OutOfMemory { bytes: usize::MAX, align: slot.align() })?;
        let refused = SlabError::OutOfMemory { bytes: layout.size(), align: layout.align() };
        let base = self.source.allocate(layout).map_err(|_| refused)?.cast::<u32>();
        let (len, padded) = (self.geometry.len_of(chunk), self.geometry.chunk_len);
        let floor = self.record(chunk).link;
        // SAFETY: the block begins with `padded` generations, which are nobody else's.
        let generations = unsafe {
            slice::from_raw_parts_mut(base.cast::<MaybeUninit<u32>>().as_ptr(), padded as usize)
        };
        let (slots, padding) = generations.split_at_mut(len as usize);
        slots.fill(MaybeUninit::new(floor));
        padding.fill(MaybeUninit::new(0));
        self.directory.set_base(chunk, base);
        self.directory.set_record(chunk, Record { link: NONE, live: 0, state: State::Fresh });
        Ok(())
    }

    /// Makes a held chunk a vacant one that starts from `floor`. No slot of it is listed; values that
    /// are live are forgotten.
    fn release(&mut self, chunk: u32, floor: u32) {
        let Some(layout) = self.geometry.chunk_layout(chunk, Layout::new::<Slot<T>>()) else {
            return;
        };
        if self.record(chunk).state == State::Carved {
            self.carved -= self.geometry.len_of(chunk) as usize;
        }
        assert!(chunk < self.directory.len());
        // SAFETY: just compared.
        let base: NonNull<u8> = unsafe { self.directory.base(chunk as usize) }.cast();
        self.directory.set_base(chunk, never());
        self.directory.set_record(chunk, Record::vacant(floor));
        // SAFETY: the block has this many bytes.
        unsafe { poison::permit(base, layout.size()) };
        // SAFETY: by S2 the block came from this source with this layout.
        unsafe { self.source.deallocate(base, layout) };
    }
}
