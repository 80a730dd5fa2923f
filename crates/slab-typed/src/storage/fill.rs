//! Stores values: in the slot vacated last, else in the next slot that was never filled.
#![expect(unsafe_code, reason = "writes values into vacant slots")]

use core::ops::Range;
use core::ptr::NonNull;

use allocator_api2::alloc::Allocator;
use slab_core::{Checked, poison};

use super::Storage;
use super::access::Place;
use super::slot::{Link, Slot};
use crate::geometry::{CHUNK_SLOTS_MAX, chunk_of, first_index, slot_of};
use crate::handle::SlotHandle;

/// The slots of a chunk that were never filled since it was acquired. They hold no links.
///
/// It has all that [`Storage::fill`] needs, so that filling one of them loads nothing from the chunk.
pub(super) struct Untouched<T> {
    /// The address of the chunk's first generation.
    generations: NonNull<u32>,
    /// The address of the chunk's first slot.
    slots: NonNull<Slot<T>>,
    /// The handle of the next slot, unless there is none.
    next: SlotHandle,
    /// The index after the chunk's last slot; that of `next` if no slot is untouched.
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

    /// The generation that each of them gets when it is filled.
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
    /// The chunk is held and carved. All its slots are dead, have one generation and are on no list. No slot is
    /// untouched.
    pub(super) unsafe fn set_untouched(&mut self, chunk: u32) {
        let (first, len) = (first_index(chunk), self.geometry.len_of(chunk));
        // SAFETY: the chunk is held, so the directory has it, it has a first slot, and its generations are initialised
        // by S2.
        let (generations, slots, dead) = unsafe {
            let place = self.place(first);
            (place.generation(), self.slot(&place), place.generation().read())
        };
        self.untouched =
            Untouched { generations, slots, next: SlotHandle::live(first, dead), end: first + len };
    }

    /// Returns whether a slot can be filled without [`prepare`](Self::prepare). *O*(1).
    #[inline]
    pub fn has_vacant(&self) -> bool {
        self.head.depth() != 0 || self.untouched.count() != 0
    }

    /// Returns the handle that the next [`fill`](Self::fill) returns. *O*(1).
    ///
    /// # Panics
    ///
    /// If there is [no vacant slot](Self::has_vacant).
    #[inline]
    pub fn next_handle(&self) -> SlotHandle {
        if self.head.depth() == 0 {
            assert!(self.untouched.count() != 0, "no slot is vacant");
            return self.untouched.next;
        }
        let index = self.head.index();
        // SAFETY: a listed slot lies in a held chunk by S3, whose generations are initialised by S2.
        let dead = unsafe { self.place(index).generation().read() };
        SlotHandle::live(index, dead)
    }

    /// Stores a value in the slot vacated last, or else in one that was never filled. *O*(1).
    ///
    /// # Panics
    ///
    /// If there is [no vacant slot](Self::has_vacant).
    #[inline]
    pub fn fill(&mut self, value: T) -> SlotHandle {
        if self.head.depth() == 0 {
            return self.fill_untouched(value);
        }
        let index = self.head.index();
        // SAFETY: a listed slot lies in a held chunk, is dead and holds its link, by S3. Once the link is read, the
        // slot is on no list. The link names another listed slot, whose chunk the directory contains, or it is the end and
        // names chunk 0, which the directory contains because it has chunks.
        unsafe {
            let place = self.head_place(index);
            let next = self.slot(&place).cast::<Link>().read();
            // Most often not: then the address of the next slot waits for the link only, and not for the directory.
            if next.index() ^ index >= CHUNK_SLOTS_MAX as u32 {
                self.head_base = self.directory.base(chunk_of(next.index()) as usize).cast();
            }
            self.head = next;
            self.occupy_place(&place, index, value)
        }
    }

    #[inline]
    fn fill_untouched(&mut self, value: T) -> SlotHandle {
        let Untouched { generations, slots, next: handle, end } = self.untouched;
        assert!(handle.index() != end, "no slot is vacant");
        self.untouched.next = handle.following();
        let slot = slot_of(handle.index()) as usize;
        // SAFETY: an untouched slot lies in a held chunk and is dead, by S3, and was just taken off the list. The chunk
        // is held, so the storage owns its generations.
        unsafe {
            write_value(slots.add(slot), value);
            generations.add(slot).write(handle.generation());
        }
        handle
    }

    /// Writes a value and makes its slot live.
    ///
    /// # Safety
    ///
    /// The place is that of `index`, a slot of a held chunk that is dead, not retired and on no list.
    #[inline]
    pub(super) unsafe fn occupy_place(&self, place: &Place, index: u32, value: T) -> SlotHandle {
        // SAFETY: the slot is dead and on no list by the precondition. Its chunk is held, so the storage owns its
        // generations, which are initialised by S2.
        unsafe {
            write_value(self.slot(place), value);
            let handle = SlotHandle::live(index, place.generation().read());
            place.generation().write(handle.generation());
            handle
        }
    }
}

/// Writes a value into a slot. The caller raises the slot's generation.
///
/// # Safety
///
/// The slot lies in a held chunk, is dead, and is on no list.
#[inline]
unsafe fn write_value<T>(slot: NonNull<Slot<T>>, value: T) {
    // SAFETY: the slot is in bounds. It holds no value by S1 and no link, since it is on no list, so the storage owns
    // its bytes.
    unsafe {
        poison::unpoison::<Checked>(slot.cast(), size_of::<Slot<T>>());
        slot.cast::<T>().write(value);
    }
}
