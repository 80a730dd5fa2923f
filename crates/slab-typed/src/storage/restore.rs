//! Filling a new storage with what was serialised, chunk by chunk and slot by slot, and the other way: what there
//! is to serialise. Which numbers are sound is decided in `serde::structure`.
#![expect(unsafe_code, reason = "writes generations of dead slots")]

use allocator_api2::alloc::Allocator;

use super::directory::{Directory, Record};
use super::{RETIRED, Storage};
use crate::error::SlabError;
use crate::geometry::chunk_of;
use crate::handle::SlotHandle;

impl<T, A: Allocator> Storage<T, A> {
    /// Returns where generations start.
    pub fn floor(&self) -> u32 {
        self.floor
    }

    /// Returns whether a slab is held and has a live slot.
    pub fn is_occupied(&self, slab: u32) -> bool {
        self.is_held(slab) && self.chunks_of(slab).any(|chunk| self.chunk_live(chunk) > 0)
    }

    /// Returns the generation from which a chunk's slots start in its next life, or would if it were released
    /// now: it has no live slot.
    pub fn released_floor(&self, chunk: u32) -> u32 {
        self.record(chunk).floor().unwrap_or_else(|| self.highest_generation(chunk))
    }

    /// The bytes of a directory of `known` chunks and of the chunks in `held`. `None` if the address space
    /// cannot hold them.
    pub fn bytes_of(&self, known: u32, mut held: impl Iterator<Item = u32>) -> Option<usize> {
        let directory = Directory::bytes_for(known)?;
        held.try_fold(directory, |bytes, chunk| bytes.checked_add(self.chunk_bytes(chunk)?))
    }

    /// Makes an empty storage know of `known` chunks, the slots of which start from `floor`.
    pub fn know(&mut self, known: u32, floor: u32) -> Result<(), SlabError> {
        self.raise_floor(floor);
        self.directory.extend(known, 0, &self.source)
    }

    /// Stores a value under a handle, in a slot of a held chunk that is vacant. Returns the value if it is not.
    pub fn restore(&mut self, handle: SlotHandle, value: T) -> Result<(), T> {
        if !self.set_dead(handle.index(), handle.generation() - 1) {
            return Err(value);
        }
        self.occupy(handle, value)
    }

    /// Sets the generation of a slot or, if its chunk is not held, where all its slots start. Returns whether
    /// there is such a slot or chunk, and it is not live.
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

    /// Sets the generation of a vacant slot, even and at most that of retired ones. Returns `false` if there is
    /// no vacant slot.
    fn set_dead(&mut self, index: u32, generation: u32) -> bool {
        assert!(generation.is_multiple_of(2) && generation <= RETIRED);
        if self.vacant_handle(index).is_none() {
            return false;
        }
        self.drop_lists();
        self.carve(chunk_of(index));
        // SAFETY: the slot is vacant, and so its chunk is below `directory.len`.
        let place = unsafe { self.place(index) };
        // SAFETY: the chunk is held, so its generations are owned; even, and so dead.
        unsafe { place.generation().write(generation) };
        if generation == RETIRED {
            self.retired += 1;
            self.settled += 1;
        }
        true
    }
}
