//! Storing values: in the slot vacated last, else in the next one that was never filled.
#![expect(unsafe_code, reason = "writes values into slots that the lists vouch for")]

use core::ops::Range;
use core::ptr::NonNull;

use allocator_api2::alloc::Allocator;
use slab_core::{Checked, poison};

use super::Storage;
use super::access::Place;
use super::slot::{Link, Slot};
use crate::geometry::{first_index, slot_of};
use crate::handle::SlotHandle;

/// The slots of a chunk that were never filled since it was acquired: no link was written to them.
///
/// What [`Storage::fill`] needs is kept ready, so that it loads nothing from the chunk.
pub(super) struct Untouched<T> {
    /// The chunk's generations, the first one's address.
    generations: NonNull<u32>,
    /// The chunk's slots, the first one's address.
    slots: NonNull<Slot<T>>,
    /// The handle given out next, unless none is untouched.
    next: SlotHandle,
    /// The index behind the chunk's last slot; that of `next` if none is untouched.
    end: u32,
}

impl<T> Untouched<T> {
    pub const NONE: Self = Self {
        generations: NonNull::dangling(),
        slots: NonNull::dangling(),
        next: SlotHandle::live(0, 0),
        end: 0,
    };

    /// The number of slots.
    #[inline]
    pub const fn count(&self) -> u32 {
        self.end - self.next.index()
    }

    /// The generation in which each of them will be live.
    pub const fn generation(&self) -> u32 {
        self.next.generation()
    }

    /// The indices of the slots.
    pub const fn indices(&self) -> Range<u32> {
        self.next.index()..self.end
    }
}

impl<T, A: Allocator> Storage<T, A> {
    /// Makes the slots of a chunk the untouched ones.
    ///
    /// # Safety
    ///
    /// The chunk is held and carved, all its slots are dead, of one generation and on no list, and
    /// nothing is untouched.
    pub(super) unsafe fn set_untouched(&mut self, chunk: u32) {
        let (first, len) = (first_index(chunk), self.geometry.len_of(chunk));
        // SAFETY: held, and so below `directory.len`.
        let place = unsafe { self.place(first) };
        // SAFETY: a held chunk has a first slot.
        let slots = unsafe { self.slot(&place) };
        // SAFETY: readable and initialised by S2.
        let dead = unsafe { place.generation().read() };
        self.untouched = Untouched {
            generations: place.generation(),
            slots,
            next: SlotHandle::live(first, dead),
            end: first + len,
        };
    }

    /// Returns the handle that the next [`fill`](Self::fill) will return, or `None` if
    /// [`prepare`](Self::prepare) has to be called first. *O*(1).
    #[inline]
    pub fn next_handle(&self) -> Option<SlotHandle> {
        if self.head.depth() == 0 {
            return (self.untouched.count() > 0).then_some(self.untouched.next);
        }
        let index = self.head.index();
        // SAFETY: listed slots lie in held chunks, by S3.
        let place = unsafe { self.place(index) };
        // SAFETY: readable and initialised by S2.
        let generation = unsafe { place.generation().read() };
        Some(SlotHandle::live(index, generation))
    }

    /// Stores a value in the slot vacated last, or else in one never filled, or gives it back if
    /// [`prepare`](Self::prepare) has to be called first. *O*(1).
    #[inline]
    pub fn fill(&mut self, value: T) -> Result<SlotHandle, T> {
        if self.head.depth() == 0 {
            return self.fill_untouched(value);
        }
        let index = self.head.index();
        // SAFETY: listed slots lie in held chunks, by S3.
        let place = unsafe { self.place(index) };
        // SAFETY: as above.
        let slot = unsafe { self.slot(&place) };
        // SAFETY: a slot on the list is dead and holds a link, by S3.
        self.head = unsafe { slot.cast::<Link>().read() };
        // SAFETY: the slot is dead by S3, and just came off its list.
        Ok(unsafe { self.occupy_place(&place, index, value) })
    }

    #[inline]
    fn fill_untouched(&mut self, value: T) -> Result<SlotHandle, T> {
        let Untouched { generations, slots, next: handle, end } = self.untouched;
        if handle.index() == end {
            return Err(value);
        }
        self.untouched.next = handle.following();
        let slot = slot_of(handle.index()) as usize;
        // SAFETY: the untouched slots lie in a held chunk, by S3.
        let generation = unsafe { generations.add(slot) };
        // SAFETY: as above.
        let slot = unsafe { slots.add(slot) };
        // SAFETY: the slot is dead by S3, and just ceased to be listed.
        unsafe { write_value(slot, value) };
        // SAFETY: the chunk is held, so its generations are owned; higher by one than it was.
        unsafe { generation.write(handle.generation()) };
        Ok(handle)
    }

    /// Writes a value and makes its slot live.
    ///
    /// # Safety
    ///
    /// The place is that of `index`, a slot of a held chunk that is dead, not retired and not listed.
    #[inline]
    pub(super) unsafe fn occupy_place(&self, place: &Place, index: u32, value: T) -> SlotHandle {
        // SAFETY: the caller vouches for the slot.
        let slot = unsafe { self.slot(place) };
        // SAFETY: the caller vouches that it is dead.
        unsafe { write_value(slot, value) };
        // SAFETY: initialised by S2.
        let dead = unsafe { place.generation().read() };
        let handle = SlotHandle::live(index, dead);
        // SAFETY: the chunk is held, so its generations are owned.
        unsafe { place.generation().write(handle.generation()) };
        handle
    }
}

/// Writes a value into a slot. Its generation is the caller's to move on.
///
/// # Safety
///
/// The slot lies in a held chunk, is dead, and is on no list.
#[inline]
unsafe fn write_value<T>(slot: NonNull<Slot<T>>, value: T) {
    // SAFETY: a dead slot's bytes are the storage's own.
    unsafe { poison::revive::<Checked>(slot.cast(), size_of::<Slot<T>>()) };
    // SAFETY: the slot is in bounds and owned, and holds no value by S1.
    unsafe { slot.cast::<T>().write(value) };
}
