//! Taking values out, dropping them, and listing the slots they leave.
#![expect(unsafe_code, reason = "moves values out of slots, and writes links where they were")]

use core::mem;

use allocator_api2::alloc::Allocator;

use super::access::Place;
use super::slot::{Link, retire_bytes};
use super::{RETIRED, Storage};
use crate::handle::SlotHandle;

impl<T, A: Allocator> Storage<T, A> {
    /// Moves a value out. *O*(1).
    #[inline]
    pub fn take(&mut self, handle: SlotHandle) -> Option<T> {
        let place = self.live_place(handle)?;
        // SAFETY: live, and so a slot of a held chunk.
        let slot = unsafe { self.slot(&place) };
        // SAFETY: a value by S1; it ceases to be one in the next line.
        let value = unsafe { slot.cast::<T>().read() };
        // SAFETY: found by this handle, and the value was moved out.
        unsafe { self.vacate(&place, handle) };
        Some(value)
    }

    /// Drops a value where it lies and returns whether there was one. *O*(1). If the drop panics the
    /// slot is vacated all the same.
    #[inline]
    pub fn free(&mut self, handle: SlotHandle) -> bool {
        let Some(place) = self.live_place(handle) else { return false };
        if mem::needs_drop::<T>() {
            // SAFETY: live, and so a slot of a held chunk.
            let value = unsafe { self.slot(&place) }.cast::<T>();
            let _vacating = Vacating { storage: self, handle };
            // SAFETY: a value by S1; the guard makes its slot dead before anybody looks again.
            unsafe { value.drop_in_place() };
        } else {
            // SAFETY: found by this handle; a value that needs no drop may be forgotten.
            unsafe { self.vacate(&place, handle) };
        }
        true
    }

    /// Makes a slot dead and lists it, or retires it.
    ///
    /// # Safety
    ///
    /// The place is the live one of `handle`, and its value was moved out or dropped.
    #[inline]
    unsafe fn vacate(&mut self, place: &Place, handle: SlotHandle) {
        // SAFETY: the caller's promise is the same.
        if unsafe { self.vacate_unlisted(place, handle) } {
            // SAFETY: a slot of a held chunk.
            let slot = unsafe { self.slot(place) };
            // SAFETY: the slot is dead now and its bytes are the storage's own.
            unsafe { slot.cast::<Link>().write(self.head) };
            self.head = self.head.to(handle.index());
        }
    }

    /// Makes a slot dead and returns whether it can be listed, because it is not retired.
    ///
    /// # Safety
    ///
    /// As [`vacate`](Self::vacate).
    #[inline]
    pub(super) unsafe fn vacate_unlisted(&mut self, place: &Place, handle: SlotHandle) -> bool {
        let dead = handle.generation().wrapping_add(self.generation_step);
        // SAFETY: the chunk is held, so its generations are owned.
        unsafe { place.generation().write(dead) };
        // SAFETY: a slot of a held chunk.
        let slot = unsafe { self.slot(place) };
        // SAFETY: the slot is owned and holds nothing any more.
        unsafe { retire_bytes(slot) };
        if dead == RETIRED {
            rare();
            self.retired += 1;
            return false;
        }
        true
    }
}

/// Vacates a slot when the drop of its value is over, however it ended.
struct Vacating<'a, T, A: Allocator> {
    storage: &'a mut Storage<T, A>,
    handle: SlotHandle,
}

impl<T, A: Allocator> Drop for Vacating<'_, T, A> {
    #[inline]
    fn drop(&mut self) {
        if let Some(place) = self.storage.live_place(self.handle) {
            // SAFETY: found by this handle; `free` dropped the value, in part if that panicked.
            unsafe { self.storage.vacate(&place, self.handle) };
        }
    }
}

impl<T, A: Allocator> Drop for Storage<T, A> {
    /// If a value panics while it is dropped the others are dropped all the same, and all memory goes back.
    fn drop(&mut self) {
        /// Ends what a panic cut short.
        struct Rest<'a, T, A: Allocator>(&'a mut Storage<T, A>);

        impl<T, A: Allocator> Drop for Rest<'_, T, A> {
            fn drop(&mut self) {
                if mem::needs_drop::<T>() {
                    self.0.drop_values();
                }
                self.0.release_all();
            }
        }

        let rest = Rest(self);
        if mem::needs_drop::<T>() {
            rest.0.drop_values();
        }
    }
}

/// Tells the compiler that what calls it is rare.
#[cold]
#[inline]
const fn rare() {}
