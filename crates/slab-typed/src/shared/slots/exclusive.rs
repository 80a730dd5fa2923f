//! Operations of the only user of the slab: `&mut self` shows that no other thread, guard or pin uses it.
#![expect(unsafe_code, reason = "values in raw memory are borrowed, moved out and dropped")]

use core::marker::PhantomData;

use allocator_api2::alloc::Allocator;
use slab_core::OnDrop;

use super::chunk::slots_per_chunk;
use super::sync::Ordering;
use super::walk::Walk;
use super::{Place, Slots, fill};
use crate::geometry::{chunk_of, first_index, slot_of};
use crate::handle::SlotHandle;

impl<T, A: Allocator> Slots<T, A> {
    /// Returns the value of a handle.
    pub fn get_mut(&mut self, handle: SlotHandle) -> Option<&mut T> {
        let place = self.find(handle.index())?;
        if place.generation().load(Ordering::Acquire) != handle.generation() {
            return None;
        }
        // SAFETY: the slot is stored, so its memory is held and has a value by S1. `&mut self` shows that nothing else uses
        // it: guards and pins borrow the slab.
        Some(unsafe { place.value().as_mut() })
    }

    /// Removes the next stored value and moves it out.
    pub fn take_next(&mut self, walk: &mut Walk) -> Option<(SlotHandle, T)> {
        let (place, generation) = self.next_stored(walk)?;
        let handle = SlotHandle::live(place.index(), generation);
        if !Self::begin_removal(&place, generation) {
            return None;
        }
        let record = self.memory.record();
        self.count(record, 1_usize.wrapping_neg());
        // SAFETY: the slot was just stored, so its memory is held and has a value by S1, and this thread has its token.
        // `&mut self` shows that nothing reads it.
        let value = unsafe { place.value().read() };
        self.put_vacant(record, place.index());
        Some((handle, value))
    }

    /// Returns the values.
    pub fn entries_mut(&mut self) -> EntriesMut<'_, T, A> {
        EntriesMut { walk: self.walk(), slots: self, values: PhantomData }
    }

    /// Makes the slots of chunks acquired from now on start above a generation.
    pub fn raise_floor(&mut self, generation: u32) {
        let floor = generation.saturating_add(1) & !1;
        self.memory.floor = self.memory.floor.max(floor.min(fill::LAST_VACANT - 2));
    }

    /// Drops one value that is stored or was not dropped since its removal. Returns `false` if none is left.
    fn drop_next(&mut self, next: &mut u32) -> bool {
        while let Some(chunk) = self.memory.chunk(chunk_of(*next)) {
            let slot = slot_of(*next) as usize;
            let place = Place { chunk, number: chunk_of(*next), slot };
            *next = if slot + 1 < slots_per_chunk::<T>() {
                *next + 1
            } else {
                first_index(place.number + 1)
            };
            let (word, bit) = place.bit();
            let removed = chunk.pending[word].load(Ordering::Relaxed)
                | chunk.waiting[word].load(Ordering::Relaxed);
            if place.generation().load(Ordering::Relaxed) % 2 == 1 || removed & bit != 0 {
                // SAFETY: the value is stored, or its token is in a set of removed slots. `&mut self` shows that nothing
                // reads it, and the position does not come back to this slot.
                unsafe { place.value().drop_in_place() };
                return true;
            }
        }
        false
    }
}

impl<T, A: Allocator> Drop for Slots<T, A> {
    /// Drops the values. If a destructor panics, the other values are dropped all the same; if another one panics meanwhile,
    /// the program aborts.
    fn drop(&mut self) {
        if Self::NEEDS_DROP {
            let mut rest = OnDrop::new((self, 0), |(slots, next)| while slots.drop_next(next) {});
            let (slots, next) = &mut *rest;
            while slots.drop_next(next) {}
        }
    }
}

/// The values of a slab, with their handles.
#[derive(Debug)]
pub struct EntriesMut<'a, T, A: Allocator> {
    slots: &'a Slots<T, A>,
    walk: Walk,
    values: PhantomData<&'a mut T>,
}

impl<'a, T, A: Allocator> Iterator for EntriesMut<'a, T, A> {
    type Item = (SlotHandle, &'a mut T);

    fn next(&mut self) -> Option<Self::Item> {
        let (place, generation) = self.slots.next_stored(&mut self.walk)?;
        // SAFETY: the slot is stored, so its memory is held and has a value by S1. `entries_mut` borrowed the slots mutably
        // for `'a`, so nothing else uses the value, and the walk reaches each slot once.
        let value = unsafe { place.value().as_mut() };
        Some((SlotHandle::live(place.index(), generation), value))
    }
}
