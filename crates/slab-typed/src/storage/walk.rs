//! Visits the live slots, lowest first.
//!
//! Which slots of a block of 64 are live comes from their generations, which lie side by side. While
//! no slot is vacant chunks are walked without looking at them.
#![expect(unsafe_code, reason = "lends many values at once")]

use core::marker::PhantomData;
use core::ptr::NonNull;
use core::slice;

use allocator_api2::alloc::Allocator;

use super::Storage;
use super::access::Place;
use super::directory::State;
use super::live_bits::{self, BLOCK_SLOTS};
use super::slot::Slot;
use crate::geometry::{chunk_of, first_index, slot_of};
use crate::handle::SlotHandle;

/// A position among the slots of a storage. It may be used while slots are filled and vacated:
/// slots that are dead when it gets there are passed over.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cursor {
    /// The first index of the block that `bits` is about.
    block: u32,
    /// Slots of that block that were live and have not been visited.
    bits: u64,
    /// The first index behind that block.
    next: u32,
}

impl<T, A: Allocator> Storage<T, A> {
    /// Returns the next live slot.
    #[inline]
    pub fn next_live(&self, cursor: &mut Cursor) -> Option<SlotHandle> {
        self.next_value(cursor).map(|(handle, _)| handle)
    }

    /// Frees all values. If the drop of one panics the rest stay live.
    pub fn clear(&mut self) {
        let mut cursor = Cursor::default();
        while let Some(handle) = self.next_live(&mut cursor) {
            self.free(handle);
        }
    }

    /// Returns the next live slot and where its value lies.
    #[inline]
    fn next_value(&self, cursor: &mut Cursor) -> Option<(SlotHandle, NonNull<T>)> {
        loop {
            while cursor.bits == 0 {
                self.next_block(cursor)?;
            }
            let index = cursor.block + cursor.bits.trailing_zeros();
            cursor.bits &= cursor.bits - 1;
            // SAFETY: only blocks of chunks below `directory.len` have bits, and the directory is
            // only cut when nothing is live behind.
            let place = unsafe { self.place(index) };
            // SAFETY: readable and initialised by S2.
            let generation = unsafe { place.generation().read() };
            if let Some(handle) = SlotHandle::from_parts(index, generation) {
                // SAFETY: live, and so a slot of a held chunk.
                return Some((handle, unsafe { self.slot(&place) }.cast()));
            }
        }
    }

    /// Moves a cursor to the next block.
    #[inline]
    fn next_block(&self, cursor: &mut Cursor) -> Option<()> {
        if !self.directory.contains(chunk_of(cursor.next) as usize) {
            return None;
        }
        // SAFETY: the chunk was just compared, and `next` is below its end.
        let place = unsafe { self.place(cursor.next) };
        cursor.block = cursor.next;
        let rest = self.geometry.chunk_len - slot_of(cursor.block);
        let len = rest.min(BLOCK_SLOTS);
        cursor.next =
            if len == rest { first_index(chunk_of(cursor.block) + 1) } else { cursor.block + len };
        // SAFETY: so many slots are left in the chunk.
        cursor.bits = unsafe { self.bits(&place, len) };
        Some(())
    }

    /// Returns which slots of a block are live.
    ///
    /// # Safety
    ///
    /// `len` slots from the place on are below `chunk_len`; `len` is [`BLOCK_SLOTS`] at most.
    #[inline]
    unsafe fn bits(&self, block: &Place, len: u32) -> u64 {
        let start = block.generation();
        if len == BLOCK_SLOTS {
            // SAFETY: initialised by S2, and nobody writes them while this reference lasts.
            live_bits::of_block(unsafe { start.cast().as_ref() })
        } else {
            // SAFETY: as above.
            live_bits::of_slice(unsafe { slice::from_raw_parts(start.as_ptr(), len as usize) })
        }
    }

    /// Visits all live slots from a cursor on: the loop without its state in memory.
    #[inline]
    fn fold_places<B>(
        &self,
        mut cursor: Cursor,
        init: B,
        mut visit: impl FnMut(B, SlotHandle, NonNull<T>) -> B,
    ) -> B {
        let mut folded = init;
        let none_vacant = self.none_vacant();
        loop {
            if cursor.bits != 0 {
                // SAFETY: a block with bits, of a held chunk below `directory.len`.
                let place = unsafe { self.place(cursor.block) };
                // SAFETY: some are live, and so slots of a held chunk.
                let slot = unsafe { self.slot(&place) };
                let run = Run { generation: place.generation(), slot };
                if cursor.bits == u64::MAX {
                    // SAFETY: all 64 are live.
                    folded = unsafe { run.fold(cursor.block, 64, folded, &mut visit) };
                } else {
                    // SAFETY: the bits are those of live slots.
                    folded = unsafe { run.fold_bits(cursor, folded, &mut visit) };
                }
                cursor.bits = 0;
            }
            let chunk = chunk_of(cursor.next);
            let Some(record) = self.directory.record(chunk) else { return folded };
            if none_vacant && record.state == State::Carved && slot_of(cursor.next) == 0 {
                let live = self.geometry.len_of(chunk) - self.untouched_of(chunk);
                // SAFETY: the chunk has a record.
                let place = unsafe { self.place(cursor.next) };
                // SAFETY: the first slot of a held chunk.
                let slot = unsafe { self.slot(&place) };
                let run = Run { generation: place.generation(), slot };
                // SAFETY: by S4 all slots of the chunk are live but the untouched ones, its last.
                folded = unsafe { run.fold(cursor.next, live, folded, &mut visit) };
                cursor.next = first_index(chunk + 1);
            } else if self.next_block(&mut cursor).is_none() {
                return folded;
            }
        }
    }
}

/// Slots that follow one another, and their generations.
struct Run<T> {
    generation: NonNull<u32>,
    slot: NonNull<Slot<T>>,
}

impl<T> Run<T> {
    /// Visits `count` slots from the first on, whose index is `first`.
    ///
    /// # Safety
    ///
    /// All of them are live.
    #[inline]
    unsafe fn fold<B>(
        &self,
        first: u32,
        count: u32,
        mut folded: B,
        visit: &mut impl FnMut(B, SlotHandle, NonNull<T>) -> B,
    ) -> B {
        for offset in 0..count {
            // SAFETY: the caller vouches for the slot.
            let (handle, value) = unsafe { self.at(first, offset) };
            folded = visit(folded, handle, value);
        }
        folded
    }

    /// Visits the slots of a cursor's block that have their bits set.
    ///
    /// # Safety
    ///
    /// The run starts with the block, and these are live.
    #[inline]
    unsafe fn fold_bits<B>(
        &self,
        cursor: Cursor,
        mut folded: B,
        visit: &mut impl FnMut(B, SlotHandle, NonNull<T>) -> B,
    ) -> B {
        let mut bits = cursor.bits;
        while bits != 0 {
            // SAFETY: the caller vouches for the slot.
            let (handle, value) = unsafe { self.at(cursor.block, bits.trailing_zeros()) };
            bits &= bits - 1;
            folded = visit(folded, handle, value);
        }
        folded
    }

    /// Returns the handle of a slot and where its value lies.
    ///
    /// # Safety
    ///
    /// The slot at this offset from the first is live, and in the chunk of the first.
    #[inline]
    unsafe fn at(&self, first: u32, offset: u32) -> (SlotHandle, NonNull<T>) {
        // SAFETY: generations lie beside one another as slots do.
        let generation = unsafe { self.generation.add(offset as usize) };
        // SAFETY: initialised by S2.
        let generation = unsafe { generation.read() };
        // SAFETY: the caller vouches for the slot.
        let slot = unsafe { self.slot.add(offset as usize) };
        (SlotHandle::live(first + offset, generation), slot.cast())
    }
}

/// Lends all values of a storage, one after the other.
pub(crate) struct Walk<'a, T, A: Allocator> {
    storage: &'a Storage<T, A>,
    cursor: Cursor,
}

impl<'a, T, A: Allocator> Walk<'a, T, A> {
    #[inline]
    pub fn new(storage: &'a Storage<T, A>) -> Self {
        Self { storage, cursor: Cursor::default() }
    }

    #[inline]
    pub fn next(&mut self) -> Option<(SlotHandle, &'a T)> {
        let (handle, value) = self.storage.next_value(&mut self.cursor)?;
        // SAFETY: live, and so by S1 a value; the storage is borrowed as long.
        Some((handle, unsafe { value.as_ref() }))
    }

    #[inline]
    pub fn fold<B>(self, init: B, mut visit: impl FnMut(B, (SlotHandle, &'a T)) -> B) -> B {
        self.storage.fold_places(self.cursor, init, |folded, handle, value| {
            // SAFETY: as in `next`.
            visit(folded, (handle, unsafe { value.as_ref() }))
        })
    }
}

impl<T, A: Allocator> Clone for Walk<'_, T, A> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

/// Lends all values of a storage mutably, each once.
pub(crate) struct WalkMut<'a, T, A: Allocator> {
    /// Borrowed mutably by `new`. The values lie behind raw pointers, so that this reference does
    /// not cover them.
    storage: &'a Storage<T, A>,
    cursor: Cursor,
    values: PhantomData<&'a mut T>,
}

// SAFETY: what is reached through the shared reference are values, which are lent mutably and to
// nobody else, and the directory, which is only read.
unsafe impl<T: Send, A: Allocator + Sync> Send for WalkMut<'_, T, A> {}

impl<'a, T, A: Allocator> WalkMut<'a, T, A> {
    #[inline]
    pub fn new(storage: &'a mut Storage<T, A>) -> Self {
        Self { storage, cursor: Cursor::default(), values: PhantomData }
    }

    #[inline]
    pub fn next(&mut self) -> Option<(SlotHandle, &'a mut T)> {
        let (handle, mut value) = self.storage.next_value(&mut self.cursor)?;
        // SAFETY: live, and so by S1 a value; the cursor passes each slot once.
        Some((handle, unsafe { value.as_mut() }))
    }

    #[inline]
    pub fn fold<B>(self, init: B, mut visit: impl FnMut(B, (SlotHandle, &'a mut T)) -> B) -> B {
        self.storage.fold_places(self.cursor, init, |folded, handle, mut value| {
            // SAFETY: as in `next`.
            visit(folded, (handle, unsafe { value.as_mut() }))
        })
    }
}
