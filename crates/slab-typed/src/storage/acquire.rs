//! Acquires the chunks of whole slabs.
#![expect(unsafe_code, reason = "initialises raw blocks")]

use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::slice;

use allocator_api2::alloc::Allocator;
use slab_core::OnDrop;

use super::directory::Record;
use super::slot::Slot;
use super::{RETIRED, Storage};
use crate::error::SlabError;
use crate::geometry::{CHUNK_COUNT_MAX, Geometry, first_index};

impl<T, A: Allocator> Storage<T, A> {
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

    /// Acquires the memory of a slab that is not held, and lists none of its slots. If that is refused nothing changes.
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
        self.extend_directory(end, self.floor)?;
        assert!(!self.is_held(slab), "slab {slab} is held already");
        if self.is_exhausted(slab) {
            return Err(exhausted);
        }
        let mut half_held = OnDrop::new(self, |storage| storage.release_half_held(slab, known));
        for chunk in half_held.chunks_of(slab) {
            half_held.acquire(chunk)?;
        }
        half_held.held_slabs += 1;
        half_held.disarm();
        Ok(())
    }

    /// Releases the chunks of a slab of which not all could be acquired, because a slab is held whole or not at all.
    /// `known` is the directory's length before.
    fn release_half_held(&mut self, slab: u32, known: u32) {
        for chunk in self.chunks_of(slab) {
            if self.record(chunk).is_held() {
                let floor = self.generations(chunk)[0];
                self.directory.set_record(chunk, Record::vacant(floor));
            }
        }
        self.deallocate(self.chunks_of(slab), known);
    }

    /// Lengthens the directory to `len` chunks, whose slots start at `floor`. If memory is refused nothing changes.
    pub(super) fn extend_directory(&mut self, len: u32, floor: u32) -> Result<(), SlabError> {
        self.directory.extend(len, floor, &self.source)?;
        self.reservation.set_readable(self.directory.len());
        Ok(())
    }

    /// Makes a vacant chunk a fresh one.
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
        let base = if chunk < self.reservation.chunks() {
            let first = first_index(chunk) as usize;
            // SAFETY: the chunk is reserved, so its generations lie in the mapping by A1.
            unsafe { self.reservation.generations().add(first) }
        } else {
            self.source.allocate(layout).map_err(|_| refused)?.cast()
        };
        let (len, padded) = (self.geometry.len_of(chunk), self.geometry.chunk_len);
        // SAFETY: `padded` generations start at the base: of the block, or by S5 of the reserved chunk. No other reference to
        // them exists.
        let generations = unsafe {
            slice::from_raw_parts_mut(base.cast::<MaybeUninit<u32>>().as_ptr(), padded as usize)
        };
        let (slots, padding) = generations.split_at_mut(len as usize);
        slots.fill(MaybeUninit::new(floor));
        padding.fill(MaybeUninit::new(0));
        self.directory.hold(chunk, base);
        Ok(())
    }

    /// Returns why `slabs` more slabs cannot be held, whatever memory there is. *O*(1), or *O*(ids) if nearly all ids are
    /// used.
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

    /// Returns whether a slab id can never be held again, because the generations of a slot are used up.
    fn is_exhausted(&self, slab: u32) -> bool {
        self.chunks_of(slab).any(|chunk| self.record(chunk).floor() == Some(RETIRED))
    }

    /// Returns the generation at which the slots of a vacant chunk start, or `None` if it is held.
    fn floor_of(&self, chunk: u32) -> Option<u32> {
        self.record(chunk).floor().map(|floor| floor.max(self.floor))
    }

    /// Raises the generation at which vacant ids start. An odd floor is rounded up. One that leaves no life to a slot is
    /// lowered until it leaves one. *O*(1).
    pub fn raise_floor(&mut self, floor: u32) {
        let floor = floor.min(RETIRED - 2).next_multiple_of(2);
        self.floor = self.floor.max(floor);
    }

    /// Returns the bytes of one slab, or `None` if the address space cannot hold it.
    fn slab_bytes(&self) -> Option<usize> {
        let last = self.geometry.chunks_per_slab - 1;
        let full = self.chunk_bytes(0)?.checked_mul(last as usize)?;
        full.checked_add(self.chunk_bytes(last)?)
    }

    /// Returns the bytes of a chunk, or `None` if the address space cannot hold it.
    pub(super) fn chunk_bytes(&self, chunk: u32) -> Option<usize> {
        Some(self.geometry.chunk_layout(chunk, Layout::new::<Slot<T>>())?.size())
    }

    /// Returns the bytes of all held chunks and the directory. *O*(chunks held).
    pub fn bytes(&self) -> usize {
        let chunks = self.held_chunks().filter_map(|chunk| self.chunk_bytes(chunk));
        chunks.sum::<usize>() + self.directory.bytes()
    }
}
