//! Visits the live slots, from both ends.
//!
//! Which slots of a block of 64 are live comes from their generations, which lie side by side. While
//! no slot is vacant chunks are walked without looking at them. Chunks that are not held are passed over at
//! once, however many there are.
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

/// What is left to visit of a storage, from both ends. It may be used while slots are filled and
/// vacated: slots that are dead when it gets there are passed over.
///
/// # Invariants
///
/// - **V1 (apart)**: no slot that the upper end has visited is below `to`, and none that the lower end
///   has visited is `low.position()` or above. An end only visits what lies between the two, so that
///   no slot is visited twice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    low: Low,
    high: High,
    /// The lowest index that the upper end has visited.
    to: u32,
}

impl Default for Span {
    fn default() -> Self {
        Self { low: Low::default(), high: High { block: 0, bits: 0, end: u32::MAX }, to: u32::MAX }
    }
}

/// The lower end of a span, which moves up.
#[derive(Debug, Clone, Copy, Default)]
struct Low {
    /// The first index of the block that `bits` is about.
    block: u32,
    /// Slots of that block that were live and have not been visited.
    bits: u64,
    /// The first index behind that block.
    next: u32,
}

impl Low {
    /// The lowest index that may be visited yet.
    const fn position(&self) -> u32 {
        if self.bits == 0 { self.next } else { self.block + self.bits.trailing_zeros() }
    }
}

/// The upper end of a span, which moves down.
#[derive(Debug, Clone, Copy)]
struct High {
    /// The first index of the block that `bits` is about.
    block: u32,
    /// Slots of that block that were live and have not been visited.
    bits: u64,
    /// Blocks from this index on were visited; beyond the storage before the first was.
    end: u32,
}

impl<T, A: Allocator> Storage<T, A> {
    /// Returns the lowest live slot of a span, which it leaves.
    #[inline]
    pub fn next_live(&self, span: &mut Span) -> Option<SlotHandle> {
        self.next_value(span).map(|(handle, _)| handle)
    }

    /// Returns the highest live slot of a span, which it leaves.
    #[inline]
    pub fn next_live_back(&self, span: &mut Span) -> Option<SlotHandle> {
        self.next_value_back(span).map(|(handle, _)| handle)
    }

    /// Frees all values, so that slots are handed out as in a new storage, lowest first. If the drop of one
    /// panics the rest stay live.
    pub fn clear(&mut self) {
        self.drop_values();
        if self.listed {
            self.relist();
        }
    }

    /// Frees all values. If the drop of one panics the rest stay live.
    pub(super) fn drop_values(&mut self) {
        let mut span = Span::default();
        while let Some(handle) = self.next_live(&mut span) {
            self.free(handle);
        }
    }

    /// Frees the values for which `keep` returns `false`. If it panics, or a drop, those behind stay.
    pub fn retain(&mut self, mut keep: impl FnMut(SlotHandle, &mut T) -> bool) {
        let mut span = Span::default();
        while let Some(handle) = self.next_live(&mut span) {
            if self.get_mut(handle).is_some_and(|value| !keep(handle, value)) {
                self.free(handle);
            }
        }
    }

    /// As [`next_live`](Self::next_live), and where the value lies.
    #[inline]
    fn next_value(&self, span: &mut Span) -> Option<(SlotHandle, NonNull<T>)> {
        loop {
            while span.low.bits == 0 {
                self.next_block(&mut span.low)?;
            }
            let index = span.low.block + span.low.bits.trailing_zeros();
            if index >= span.to {
                return None;
            }
            span.low.bits &= span.low.bits - 1;
            // SAFETY: the bit is of a block of a chunk below `directory.len`.
            if let Some(live) = unsafe { self.live_at(index) } {
                return Some(live);
            }
        }
    }

    /// As [`next_live_back`](Self::next_live_back), and where the value lies.
    #[inline]
    fn next_value_back(&self, span: &mut Span) -> Option<(SlotHandle, NonNull<T>)> {
        loop {
            while span.high.bits == 0 {
                self.next_block_back(&mut span.high)?;
            }
            let bit = span.high.bits.ilog2();
            let index = span.high.block + bit;
            if index < span.low.position() {
                return None;
            }
            span.high.bits ^= 1 << bit;
            span.to = index;
            // SAFETY: the bit is of a block of a chunk below `directory.len`.
            if let Some(live) = unsafe { self.live_at(index) } {
                return Some(live);
            }
        }
    }

    /// Returns the handle of a slot and where its value lies, if it is live.
    ///
    /// # Safety
    ///
    /// The index had its bit in a block: its chunk is below `directory.len`, which is only cut when
    /// nothing is live behind, and its slot below `chunk_len`.
    #[inline]
    unsafe fn live_at(&self, index: u32) -> Option<(SlotHandle, NonNull<T>)> {
        // SAFETY: the caller vouches for the index.
        let place = unsafe { self.place(index) };
        // SAFETY: readable and initialised by S2.
        let generation = unsafe { place.generation().read() };
        let handle = SlotHandle::from_parts(index, generation)?;
        // SAFETY: live, and so a slot of a held chunk.
        Some((handle, unsafe { self.slot(&place) }.cast()))
    }

    /// Moves the lower end to the next block of a held chunk.
    #[inline]
    fn next_block(&self, cursor: &mut Low) -> Option<()> {
        if !self.directory.record(chunk_of(cursor.next))?.is_held() {
            cursor.next = self.next_held_index(cursor.next)?;
        }
        // SAFETY: the chunk has a record, and `next` is below its end.
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

    /// Returns the first index of the first held chunk that is not below that of an index.
    #[cold]
    fn next_held_index(&self, index: u32) -> Option<u32> {
        self.directory.held().first_from(chunk_of(index)).map(first_index)
    }

    /// Moves the upper end to the block before, of a held chunk.
    #[inline]
    fn next_block_back(&self, cursor: &mut High) -> Option<()> {
        let end = cursor.end.min(first_index(self.directory.len()));
        let mut last = end.checked_sub(1)?;
        if !self.directory.record(chunk_of(last))?.is_held() {
            let chunk = self.directory.held().last_below(chunk_of(last))?;
            last = first_index(chunk + 1) - 1;
        }
        // Chunks may be shorter than the indices that they take up.
        let len = (slot_of(last) + 1).min(self.geometry.chunk_len);
        let first = (len - 1) / BLOCK_SLOTS * BLOCK_SLOTS;
        cursor.block = first_index(chunk_of(last)) + first;
        cursor.end = cursor.block;
        // SAFETY: the chunk has a record, and `first` is below `chunk_len`.
        let place = unsafe { self.place(cursor.block) };
        // SAFETY: `len - first` slots are left below `len`, 64 at most.
        cursor.bits = unsafe { self.bits(&place, len - first) };
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

    /// Visits all live slots from a position on: the loop without its state in memory.
    #[inline]
    fn fold_places<B>(
        &self,
        mut cursor: Low,
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

    /// Visits the slots of a position's block that have their bits set.
    ///
    /// # Safety
    ///
    /// The run starts with the block, and these are live.
    #[inline]
    unsafe fn fold_bits<B>(
        &self,
        cursor: Low,
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

/// How a value is lent: `&T` or `&mut T`.
pub trait Loan<T> {
    /// Lends a value.
    ///
    /// # Safety
    ///
    /// There is a value, which may be lent like this as long as the loan lives.
    unsafe fn of(value: NonNull<T>) -> Self;
}

impl<T> Loan<T> for &T {
    #[inline]
    unsafe fn of(value: NonNull<T>) -> Self {
        // SAFETY: the caller vouches for it.
        unsafe { value.as_ref() }
    }
}

impl<T> Loan<T> for &mut T {
    #[inline]
    unsafe fn of(mut value: NonNull<T>) -> Self {
        // SAFETY: the caller vouches for it.
        unsafe { value.as_mut() }
    }
}

/// Lends all values of a storage, each once.
///
/// # Invariants
///
/// - **W1 (lent)**: the storage may be lent as `R` for `'a`. While `R` is `&mut T` nobody else reads
///   or writes its values, which lie behind raw pointers, so that the reference to it does not cover
///   them.
pub(crate) struct Walk<'a, T, A: Allocator, R> {
    storage: &'a Storage<T, A>,
    span: Span,
    loans: PhantomData<R>,
}

// SAFETY: what is reached through the shared reference are values, only lent as `R`, and the
// directory, which is only read.
unsafe impl<T, A: Allocator + Sync, R: Send> Send for Walk<'_, T, A, R> {}

impl<'a, T, A: Allocator> Walk<'a, T, A, &'a T> {
    #[inline]
    pub fn new(storage: &'a Storage<T, A>) -> Self {
        Self { storage, span: Span::default(), loans: PhantomData }
    }
}

impl<'a, T, A: Allocator> Walk<'a, T, A, &'a mut T> {
    #[inline]
    pub fn new_mut(storage: &'a mut Storage<T, A>) -> Self {
        Self { storage, span: Span::default(), loans: PhantomData }
    }
}

impl<T, A: Allocator, R: Loan<T>> Walk<'_, T, A, R> {
    #[inline]
    pub fn next(&mut self) -> Option<(SlotHandle, R)> {
        let (handle, value) = self.storage.next_value(&mut self.span)?;
        // SAFETY: live, and so by S1 a value; it may be lent by W1, and is lent once by V1.
        Some((handle, unsafe { R::of(value) }))
    }

    #[inline]
    pub fn next_back(&mut self) -> Option<(SlotHandle, R)> {
        let (handle, value) = self.storage.next_value_back(&mut self.span)?;
        // SAFETY: as in `next`.
        Some((handle, unsafe { R::of(value) }))
    }

    #[inline]
    pub fn fold<B>(mut self, init: B, mut visit: impl FnMut(B, (SlotHandle, R)) -> B) -> B {
        if self.span.to != u32::MAX {
            let mut folded = init;
            while let Some(lent) = self.next() {
                folded = visit(folded, lent);
            }
            return folded;
        }
        self.storage.fold_places(self.span.low, init, |folded, handle, value| {
            // SAFETY: as in `next`; the upper end has visited nothing.
            visit(folded, (handle, unsafe { R::of(value) }))
        })
    }
}

impl<T, A: Allocator, R: Copy> Clone for Walk<'_, T, A, R> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}
