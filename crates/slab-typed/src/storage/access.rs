//! From handles to places and values. Nothing here changes what is live.
#![expect(unsafe_code, reason = "resolves handles to addresses, and lends the values there")]

use core::ptr::NonNull;
use core::slice;

use allocator_api2::alloc::Allocator;

use super::Storage;
use super::slot::Slot;
use crate::geometry;
use crate::handle::SlotHandle;

/// A place that an index names in a chunk that the directory contains.
pub(super) struct Place {
    base: NonNull<u32>,
    /// Below `chunk_len`; beyond the chunk's slots for an index that is no slot's.
    slot: usize,
}

impl Place {
    /// Returns where the generation lies.
    #[inline]
    pub fn generation(&self) -> NonNull<u32> {
        // SAFETY: `chunk_len` generations lie behind `base`, by S2.
        unsafe { self.base.add(self.slot) }
    }
}

impl<T, A: Allocator> Storage<T, A> {
    /// Returns the place that an index names, be it a slot or not.
    ///
    /// # Safety
    ///
    /// The directory contains the index's chunk, and its slot is below `chunk_len`.
    #[inline]
    pub(super) unsafe fn place(&self, index: u32) -> Place {
        // SAFETY: the caller vouches for the chunk.
        let base = unsafe { self.directory.base(geometry::chunk_of(index) as usize) };
        Place { base, slot: geometry::slot_of(index) as usize }
    }

    /// Returns where a slot lies.
    ///
    /// # Safety
    ///
    /// The place's chunk is held and has this slot.
    #[inline]
    pub(super) unsafe fn slot(&self, place: &Place) -> NonNull<Slot<T>> {
        // SAFETY: in the chunk's block, by S2.
        let first = unsafe { place.base.byte_add(self.slots_offset) }.cast::<Slot<T>>();
        // SAFETY: the caller vouches for the slot.
        unsafe { first.add(place.slot) }
    }

    /// Returns the place that a handle names, and what generation it has now; `None` if there are no
    /// generations.
    #[inline]
    fn named_place(&self, handle: SlotHandle) -> Option<(Place, u32)> {
        let (chunk, slot) = (geometry::chunk_of(handle.index()), geometry::slot_of(handle.index()));
        if !self.directory.contains(chunk as usize) || slot as usize >= self.chunk_len {
            return None;
        }
        // SAFETY: both were just compared.
        let place = unsafe { self.place(handle.index()) };
        // SAFETY: readable and initialised by S2.
        let generation = unsafe { place.generation().read() };
        Some((place, generation))
    }

    /// Returns the place of a live value. *O*(1): two dependent loads.
    #[inline]
    pub(super) fn live_place(&self, handle: SlotHandle) -> Option<Place> {
        match self.named_place(handle) {
            // By H1 the handle's generation is odd; by S2 only slots of held chunks have such a one.
            Some((place, generation)) if generation == handle.generation() => Some(place),
            _ => None,
        }
    }

    /// Returns where a live value lies. *O*(1).
    ///
    /// Not by way of [`live_place`](Self::live_place), for which the compiler finds a longer way.
    #[inline]
    fn live_value(&self, handle: SlotHandle) -> Option<NonNull<T>> {
        match self.named_place(handle) {
            Some((place, generation)) if generation == handle.generation() => {
                // SAFETY: live, as for `live_place`, and so a slot of a held chunk.
                Some(unsafe { self.slot(&place) }.cast())
            }
            _ => None,
        }
    }

    /// Returns the generations of a chunk that has a record, those beyond its slots included.
    pub(super) fn generations(&self, chunk: u32) -> &[u32] {
        assert!(chunk < self.directory.len());
        // SAFETY: just compared.
        let base = unsafe { self.directory.base(chunk as usize) }.as_ptr();
        // SAFETY: initialised by S2, and not written while `self` is borrowed.
        unsafe { slice::from_raw_parts(base, self.chunk_len) }
    }

    /// Returns the indices of a chunk's slots and their generations. Zeroes if the chunk is not held.
    pub fn slot_generations(&self, chunk: u32) -> impl Iterator<Item = (u32, u32)> {
        let slots = &self.generations(chunk)[..self.geometry.len_of(chunk) as usize];
        (geometry::first_index(chunk)..).zip(slots.iter().copied())
    }

    // Access.

    #[inline]
    pub fn get(&self, handle: SlotHandle) -> Option<&T> {
        let value = self.live_value(handle)?;
        // SAFETY: a value by S1; it is lent as long as `self` is.
        Some(unsafe { value.as_ref() })
    }

    #[inline]
    pub fn get_mut(&mut self, handle: SlotHandle) -> Option<&mut T> {
        let mut value = self.live_value(handle)?;
        // SAFETY: as in `get`, and `self` is borrowed mutably.
        Some(unsafe { value.as_mut() })
    }

    /// Returns the position of the first handle that is not live or equals an earlier one.
    /// *O*(handles²).
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
            // SAFETY: as for any live handle.
            let place = unsafe { self.place(handle.index()) };
            // SAFETY: live, and so a slot of a held chunk.
            let mut value = unsafe { self.slot(&place) }.cast::<T>();
            // SAFETY: live by the check above, and so by S1 a value. No two are the same: a slot is
            // live in one generation, and equal handles were refused.
            unsafe { value.as_mut() }
        }))
    }

    /// Returns the generation of a slot, or `None` if its chunk is not held or has no such slot.
    pub fn generation(&self, index: u32) -> Option<u32> {
        let chunk = geometry::chunk_of(index);
        let record = self.directory.record(chunk)?;
        if !record.is_held() || geometry::slot_of(index) >= self.geometry.len_of(chunk) {
            return None;
        }
        // SAFETY: the chunk has a record, and so is below `directory.len`.
        let place = unsafe { self.place(index) };
        // SAFETY: readable and initialised by S2.
        Some(unsafe { place.generation().read() })
    }
}
