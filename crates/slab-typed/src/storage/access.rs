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
    base: NonNull<u32>,
    /// Below `chunk_len`, but the chunk may have fewer slots.
    slot: usize,
}

impl Place {
    /// Returns the address of the generation.
    #[inline]
    pub fn generation(&self) -> NonNull<u32> {
        // SAFETY: `chunk_len` generations start at `base`, by S2.
        unsafe { self.base.add(self.slot) }
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
        // SAFETY: the directory contains the chunk by the precondition.
        let base = unsafe { self.directory.base(geometry::chunk_of(index) as usize) };
        Place { base, slot: geometry::slot_of(index) as usize }
    }

    /// Returns the address of a slot.
    ///
    /// # Safety
    ///
    /// The place's chunk is held and has this slot.
    #[inline]
    pub(super) unsafe fn slot(&self, place: &Place) -> NonNull<Slot<T>> {
        // SAFETY: the chunk's block has its slots from `slots_offset` on, by S2, and this one by the precondition.
        unsafe { place.base.byte_add(self.slots_offset).cast::<Slot<T>>().add(place.slot) }
    }

    /// Returns the place that a handle names and its current generation, or `None` if there is no such place.
    #[inline]
    fn named_place(&self, handle: SlotHandle) -> Option<(Place, u32)> {
        let (chunk, slot) = (geometry::chunk_of(handle.index()), geometry::slot_of(handle.index()));
        if !self.directory.contains(chunk as usize) || slot as usize >= self.chunk_len {
            return None;
        }
        // SAFETY: both bounds were just compared, and generations are initialised by S2.
        unsafe {
            let place = self.place(handle.index());
            Some((place, place.generation().read()))
        }
    }

    /// Returns the place of a live value. *O*(1): two dependent loads.
    #[inline]
    pub(super) fn live_place(&self, handle: SlotHandle) -> Option<Place> {
        match self.named_place(handle) {
            // The handle's generation is odd by H1, and only slots of held chunks have an odd one by S2.
            Some((place, generation)) if generation == handle.generation() => Some(place),
            _ => None,
        }
    }

    /// Returns the address of a live value. *O*(1).
    ///
    /// It does not call [`live_place`](Self::live_place), for which the compiler generates longer code.
    #[inline]
    fn live_value(&self, handle: SlotHandle) -> Option<NonNull<T>> {
        match self.named_place(handle) {
            Some((place, generation)) if generation == handle.generation() => {
                // SAFETY: the slot is live, as for `live_place`, and so in a held chunk.
                Some(unsafe { self.slot(&place) }.cast())
            }
            _ => None,
        }
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
