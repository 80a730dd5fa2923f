//! Converts handles to places and values. It changes no slot's state.
#![expect(unsafe_code, reason = "resolves handles to addresses and borrows the values there")]

use core::ptr::NonNull;
use core::slice;

use allocator_api2::alloc::Allocator;

use super::Storage;
use super::slot::Slot;
use crate::geometry;
use crate::handle::SlotHandle;

/// The place that an index names, in a chunk that the directory contains.
#[derive(Clone, Copy)]
pub(super) struct Place {
    generation: NonNull<u32>,
    /// The slots start this far behind `base`, if the chunk is held.
    slots_offset: usize,
    base: NonNull<u8>,
    /// The number of slots before this one.
    slot: usize,
}

impl Place {
    /// Returns the base of the chunk, if it is not reserved.
    #[inline]
    pub const fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Returns the address of the generation.
    #[inline]
    pub const fn generation(&self) -> NonNull<u32> {
        self.generation
    }
}

impl<T, A: Allocator> Storage<T, A> {
    /// Returns the place that an index names, whether or not it is a slot.
    ///
    /// # Safety
    ///
    /// The directory contains the index's chunk, and the index's slot is below `chunk_len`.
    #[inline]
    pub(super) unsafe fn place(&self, index: u32) -> Place {
        // SAFETY: the index is readable, or the preconditions are the same.
        unsafe {
            if index < self.reservation.readable() {
                self.reserved_place(index)
            } else {
                self.chunk_place(index)
            }
        }
    }

    /// Returns the place that an index names in a reserved chunk.
    ///
    /// # Safety
    ///
    /// The index is below `reservation.readable`.
    #[inline]
    unsafe fn reserved_place(&self, index: u32) -> Place {
        let (slot, base) = (index as usize, self.reservation.slots());
        // SAFETY: the chunk is reserved, so the generation lies in the mapping by A1.
        let generation = unsafe { self.reservation.generations().add(slot) };
        Place { generation, slots_offset: 0, base, slot }
    }

    /// Returns the place that an index names in a chunk that is not reserved.
    ///
    /// # Safety
    ///
    /// The directory contains the index's chunk, which is not reserved, and the index's slot is below `chunk_len`.
    #[inline]
    unsafe fn chunk_place(&self, index: u32) -> Place {
        let slot = geometry::slot_of(index) as usize;
        // SAFETY: the directory contains the chunk by the precondition, and `chunk_len` generations start at its base, by S2.
        let (base, generation) = unsafe {
            let base = self.directory.base(geometry::chunk_of(index) as usize);
            (base.cast(), base.add(slot))
        };
        Place { generation, slots_offset: self.slots_offset, base, slot }
    }

    /// Returns the place of the slot that is filled next, which has this index.
    ///
    /// # Safety
    ///
    /// The list of vacant slots is not empty.
    #[inline]
    pub(super) unsafe fn head_place(&self, index: u32) -> Place {
        // SAFETY: a listed slot lies in a held chunk by S3. Either the index is readable, or `head_base` is the base of the
        // chunk, where `chunk_len` generations start by S2.
        unsafe {
            if index < self.reservation.readable() {
                return self.reserved_place(index);
            }
            let (slot, base) = (geometry::slot_of(index) as usize, self.head_base);
            let generation = base.cast().add(slot);
            Place { generation, slots_offset: self.slots_offset, base, slot }
        }
    }

    /// Returns the address of a slot.
    ///
    /// # Safety
    ///
    /// The place's chunk is held and has this slot.
    #[inline]
    pub(super) unsafe fn slot(&self, place: &Place) -> NonNull<Slot<T>> {
        // SAFETY: the block of a chunk that is not reserved has its slots from `slots_offset` on, by S2, and a reservation
        // has its slots from `base` on, by A1. This slot is one of them by the precondition.
        unsafe { place.base.byte_add(place.slots_offset).cast::<Slot<T>>().add(place.slot) }
    }

    /// Returns whether a handle names a reserved chunk that the directory contains. Then
    /// [`reserved_live_place`](Self::reserved_live_place) finds its place; otherwise
    /// [`chunk_live_place`](Self::chunk_live_place) does. Callers that are fast treat the two apart: one path for both is
    /// longer code.
    #[inline]
    pub(super) fn is_reserved(&self, handle: SlotHandle) -> bool {
        handle.index() < self.reservation.readable()
    }

    /// Returns the place of a live value in a reserved chunk. *O*(1): one load.
    ///
    /// # Safety
    ///
    /// The handle names a [reserved](Self::is_reserved) chunk.
    #[inline]
    pub(super) unsafe fn reserved_live_place(&self, handle: SlotHandle) -> Option<Place> {
        // SAFETY: the chunk is reserved by the precondition, so its generations are initialised by A1.
        let (place, generation) = unsafe {
            let place = self.reserved_place(handle.index());
            let generation = place.generation().read();
            (place, generation)
        };
        // The handle's generation is odd by H1, and only slots of held chunks have an odd one by S5.
        if generation == handle.generation() { Some(place) } else { None }
    }

    /// Returns the place of a live value in a chunk that is not [reserved](Self::is_reserved). *O*(1): two dependent loads.
    #[inline]
    pub(super) fn chunk_live_place(&self, handle: SlotHandle) -> Option<Place> {
        let (chunk, slot) = (geometry::chunk_of(handle.index()), geometry::slot_of(handle.index()));
        if !self.directory.contains(chunk as usize) || slot as usize >= self.chunk_len {
            return None;
        }
        // SAFETY: both bounds were just compared, and generations are initialised by S2.
        let (place, generation) = unsafe {
            let place = self.chunk_place(handle.index());
            let generation = place.generation().read();
            (place, generation)
        };
        // The handle's generation is odd by H1, and only slots of held chunks have an odd one by S2.
        if generation == handle.generation() { Some(place) } else { None }
    }

    /// Returns the place of a live value. *O*(1).
    #[inline]
    pub(super) fn live_place(&self, handle: SlotHandle) -> Option<Place> {
        if self.is_reserved(handle) {
            // SAFETY: the chunk is reserved.
            return unsafe { self.reserved_live_place(handle) };
        }
        self.chunk_live_place(handle)
    }

    /// Returns the address of a live value. *O*(1).
    #[inline]
    fn live_value(&self, handle: SlotHandle) -> Option<NonNull<T>> {
        if self.is_reserved(handle) {
            // SAFETY: the chunk is reserved. A live slot is one of a held chunk.
            return unsafe { Some(self.slot(&self.reserved_live_place(handle)?).cast()) };
        }
        // SAFETY: a live slot is one of a held chunk.
        unsafe { Some(self.slot(&self.chunk_live_place(handle)?).cast()) }
    }

    /// Returns the generations of a chunk that the directory contains, those beyond its slots included.
    pub(super) fn generations(&self, chunk: u32) -> &[u32] {
        assert!(chunk < self.directory.len());
        // SAFETY: the bound was just compared. The generations are initialised by S2, and the borrow of `self` keeps
        // them from being written.
        unsafe {
            let base = self.directory.base(chunk as usize).as_ptr();
            slice::from_raw_parts(base, self.chunk_len)
        }
    }

    /// Returns the indices of a chunk's slots and their generations: zeroes if the chunk is not held.
    pub fn slot_generations(&self, chunk: u32) -> impl Iterator<Item = (u32, u32)> {
        let slots = &self.generations(chunk)[..self.geometry.len_of(chunk) as usize];
        (geometry::first_index(chunk)..).zip(slots.iter().copied())
    }

    /// Returns the generation of a slot, or `None` if its chunk is not held or has no such slot.
    pub fn generation(&self, index: u32) -> Option<u32> {
        let chunk = geometry::chunk_of(index);
        let record = self.directory.record(chunk)?;
        if !record.is_held() || geometry::slot_of(index) >= self.geometry.len_of(chunk) {
            return None;
        }
        // SAFETY: the directory contains the chunk, whose generations are initialised by S2.
        Some(unsafe { self.place(index).generation().read() })
    }

    #[inline]
    pub fn get(&self, handle: SlotHandle) -> Option<&T> {
        let value = self.live_value(handle)?;
        // SAFETY: a value by S1, borrowed as long as `self` is.
        Some(unsafe { value.as_ref() })
    }

    #[inline]
    pub fn get_mut(&mut self, handle: SlotHandle) -> Option<&mut T> {
        let mut value = self.live_value(handle)?;
        // SAFETY: a value by S1, borrowed mutably as long as `self` is.
        Some(unsafe { value.as_mut() })
    }

    /// Returns the position of the first handle that is not live or equals an earlier one. *O*(handles²).
    pub fn first_unfit(&self, handles: &[SlotHandle]) -> Option<usize> {
        (0..handles.len()).find(|&position| {
            self.live_place(handles[position]).is_none()
                || handles[..position].contains(&handles[position])
        })
    }

    /// Returns all values at once, or `None` if a handle is [unfit](Self::first_unfit).
    pub fn get_disjoint_mut<const N: usize>(
        &mut self,
        handles: [SlotHandle; N],
    ) -> Option<[&mut T; N]> {
        if self.first_unfit(&handles).is_some() {
            return None;
        }
        Some(handles.map(|handle| {
            // SAFETY: each handle is live, and so names a slot of a held chunk with a value, by S1. No two values are
            // the same: a slot is live in one generation, and equal handles were refused.
            unsafe { self.slot(&self.place(handle.index())).cast::<T>().as_mut() }
        }))
    }

    /// Returns the handle of a value by its address, or `None` if no live slot starts there. *O*(chunks held).
    pub fn handle_of(&self, value: *const T) -> Option<SlotHandle> {
        self.held_chunks().find_map(|chunk| {
            let first = geometry::first_index(chunk);
            // SAFETY: a held chunk has a first slot.
            let start = unsafe { self.slot(&self.place(first)) };
            let offset = value.addr().checked_sub(start.addr().get())?;
            let slot = offset / size_of::<Slot<T>>();
            if !offset.is_multiple_of(size_of::<Slot<T>>())
                || slot >= self.geometry.len_of(chunk) as usize
            {
                return None;
            }
            let index = first + slot as u32;
            SlotHandle::from_parts(index, self.generation(index)?)
        })
    }
}
