//! Restores a storage from serialised numbers, and returns the numbers to serialise. `serde::structure` checks them.
#![expect(unsafe_code, reason = "writes the generations of dead slots")]

use allocator_api2::alloc::Allocator;

use super::directory::{Directory, Record};
use super::{RETIRED, Storage};
use crate::error::SlabError;
use crate::geometry::chunk_of;
use crate::handle::SlotHandle;

impl<T, A: Allocator> Storage<T, A> {
    /// Returns the generation at which slots of new slabs start.
    pub fn floor(&self) -> u32 {
        self.floor
    }

    /// Returns whether a slab is held and has a live slot.
    pub fn is_occupied(&self, slab: u32) -> bool {
        self.is_held(slab) && self.chunks_of(slab).any(|chunk| self.chunk_live(chunk) > 0)
    }

    /// Returns the generation at which the slots of a chunk without live slots start when it is acquired again.
    pub fn released_floor(&self, chunk: u32) -> u32 {
        self.record(chunk).floor().unwrap_or_else(|| self.highest_generation(chunk))
    }

    /// Returns the bytes of a directory of `known` chunks and of the chunks in `held`, or `None` if the address space
    /// cannot hold them.
    pub fn bytes_of(&self, known: u32, mut held: impl Iterator<Item = u32>) -> Option<usize> {
        let directory = Directory::bytes_for(known)?;
        held.try_fold(directory, |bytes, chunk| bytes.checked_add(self.chunk_bytes(chunk)?))
    }

    /// Lengthens the directory of an empty storage to `known` chunks, whose slots start at `floor`.
    pub fn know(&mut self, known: u32, floor: u32) -> Result<(), SlabError> {
        self.raise_floor(floor);
        self.extend_directory(known, 0)
    }

    /// Stores a value under a handle, or returns it if the slot is not vacant.
    pub fn restore(&mut self, handle: SlotHandle, value: T) -> Result<(), T> {
        if !self.set_dead(handle.index(), handle.generation() - 1) {
            return Err(value);
        }
        self.occupy(handle, value)
    }

    /// Sets the generation of a vacant slot or, if its chunk is not held, the one at which all its slots start. Returns
    /// `false` if there is no such slot or chunk.
    pub fn restore_dead(&mut self, index: u32, generation: u32) -> bool {
        let chunk = chunk_of(index);
        match self.directory.record(chunk) {
            None => false,
            Some(record) if record.is_held() => self.set_dead(index, generation),
            Some(_) => {
                self.directory.set_record(chunk, Record::vacant(generation));
                true
            }
        }
    }

    /// Sets the generation of a vacant slot, or returns `false` if the slot is not vacant.
    fn set_dead(&mut self, index: u32, generation: u32) -> bool {
        assert!(generation.is_multiple_of(2) && generation <= RETIRED);
        if self.vacant_handle(index).is_none() {
            return false;
        }
        self.drop_lists();
        self.carve(chunk_of(index));
        // SAFETY: the slot is vacant, so its chunk is held and the storage owns its generations. The one written is even,
        // so the slot stays dead.
        unsafe { self.place(index).generation().write(generation) };
        if generation == RETIRED {
            self.retired += 1;
            self.accounted += 1;
        }
        true
    }
}
