//! Moves values out or drops them, and lists the slots they leave.
#![expect(unsafe_code, reason = "moves values out of slots and writes links in their place")]

use core::mem;

use allocator_api2::alloc::Allocator;
use slab_core::OnDrop;

use super::access::Place;
use super::slot::{Link, retire_bytes};
use super::{RETIRED, Storage};
use crate::handle::SlotHandle;

impl<T, A: Allocator> Storage<T, A> {
    /// Moves a value out. *O*(1).
    #[inline]
    pub fn take(&mut self, handle: SlotHandle) -> Option<T> {
        if self.is_reserved(handle) {
            // SAFETY: the chunk is reserved, so the place is the live one of the handle.
            return unsafe { Some(self.take_at(&self.reserved_live_place(handle)?, handle)) };
        }
        // SAFETY: the place is the live one of the handle.
        unsafe { Some(self.take_at(&self.chunk_live_place(handle)?, handle)) }
    }

    /// Moves the value of a place out.
    ///
    /// # Safety
    ///
    /// The place is the live one of `handle`.
    #[inline]
    unsafe fn take_at(&mut self, place: &Place, handle: SlotHandle) -> T {
        // SAFETY: the slot is live, and so in a held chunk and holds a value, by S1. The value is read once, because
        // `vacate` makes its slot dead.
        unsafe {
            let value = self.slot(place).cast::<T>().read();
            self.vacate(place, handle);
            value
        }
    }

    /// Drops a value in its slot and returns whether there was one. *O*(1). If the destructor panics, the slot is vacant
    /// all the same.
    #[inline]
    pub fn free(&mut self, handle: SlotHandle) -> bool {
        let Some(place) = self.live_place(handle) else { return false };
        if mem::needs_drop::<T>() {
            // SAFETY: the slot is live, and so in a held chunk.
            let value = unsafe { self.slot(&place) }.cast::<T>();
            let _vacating = Vacating { storage: self, handle };
            // SAFETY: a value by S1. The guard makes its slot dead before the value can be reached again.
            unsafe { value.drop_in_place() };
        } else {
            // SAFETY: the place was found by this handle. A value without a destructor may be forgotten.
            unsafe { self.vacate(&place, handle) };
        }
        true
    }

    /// Makes a slot dead and lists or retires it.
    ///
    /// # Safety
    ///
    /// The place is the live one of `handle`, and its value was moved out or dropped.
    #[inline]
    unsafe fn vacate(&mut self, place: &Place, handle: SlotHandle) {
        // SAFETY: `vacate_unlisted` has the same precondition. Afterwards the slot, which lies in a held chunk, is dead,
        // so the storage owns its bytes.
        unsafe {
            if self.vacate_unlisted(place, handle) {
                self.slot(place).cast::<Link>().write(self.head);
                self.head = self.head.to(handle.index());
                self.head_base = place.base();
            }
        }
    }

    /// Makes a slot dead and returns whether it can be listed: it is not retired.
    ///
    /// # Safety
    ///
    /// The place is the live one of `handle`, and its value was moved out or dropped.
    #[inline]
    pub(super) unsafe fn vacate_unlisted(&mut self, place: &Place, handle: SlotHandle) -> bool {
        let dead = handle.generation().wrapping_add(self.generation_step);
        // SAFETY: the slot is live, so its chunk is held and the storage owns the generation. The slot holds no value
        // any more.
        unsafe {
            place.generation().write(dead);
            retire_bytes(self.slot(place));
        }
        if dead == RETIRED {
            rare();
            self.retired += 1;
            return false;
        }
        true
    }
}

/// Vacates a slot once the destructor of its value has returned or panicked.
struct Vacating<'a, T, A: Allocator> {
    storage: &'a mut Storage<T, A>,
    handle: SlotHandle,
}

impl<T, A: Allocator> Drop for Vacating<'_, T, A> {
    #[inline]
    fn drop(&mut self) {
        if let Some(place) = self.storage.live_place(self.handle) {
            // SAFETY: the place was found by this handle. `free` dropped the value, in part if its destructor panicked.
            unsafe { self.storage.vacate(&place, self.handle) };
        }
    }
}

impl<T, A: Allocator> Drop for Storage<T, A> {
    /// If a destructor panics, the other values are dropped and all memory is released all the same.
    fn drop(&mut self) {
        let drop_values = |storage: &mut Self| {
            if mem::needs_drop::<T>() {
                storage.drop_values();
            }
        };
        let mut releasing = OnDrop::new(self, |storage| {
            drop_values(storage);
            storage.release_all();
        });
        drop_values(&mut releasing);
    }
}

/// Tells the compiler that its caller's branch is rare.
#[cold]
#[inline]
const fn rare() {}
