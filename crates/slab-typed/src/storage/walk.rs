//! Visits the live slots, from both ends.
//!
//! The generations of 64 slots, which lie side by side, say which of them are live. While no slot is vacant, generations
//! are not tested. Runs of chunks that are not held are skipped in one step.
#![expect(unsafe_code, reason = "borrows many values at once")]

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

/// The slots of a storage that were not visited yet, from both ends. It may be used while slots are filled and vacated:
/// slots that are dead when it reaches them are skipped.
///
/// # Invariants
///
/// - **V1 (apart)**: no slot that the upper end has visited is below `to`, and none that the lower end has visited is
///   `low.position()` or above. Both ends only visit slots between the two, so no slot is visited twice.
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
    /// The first index of the block that `bits` describes.
    block: u32,
    /// Slots of that block that were live and have not been visited.
    bits: u64,
    /// The first index behind that block.
    next: u32,
}

impl Low {
    /// The lowest index that was not visited.
    const fn position(&self) -> u32 {
        if self.bits == 0 { self.next } else { self.block + self.bits.trailing_zeros() }
    }
}

/// The upper end of a span, which moves down.
#[derive(Debug, Clone, Copy)]
struct High {
    /// The first index of the block that `bits` describes.
    block: u32,
    /// Slots of that block that were live and have not been visited.
    bits: u64,
    /// Blocks from this index on were visited. Beyond the storage until one was.
    end: u32,
}

impl<T, A: Allocator> Storage<T, A> {
    /// Removes the lowest live slot from a span and returns it.
    #[inline]
    pub fn next_live(&self, span: &mut Span) -> Option<SlotHandle> {
        self.next_value(span).map(|(handle, _)| handle)
    }

    /// Removes the highest live slot from a span and returns it.
    #[inline]
    pub fn next_live_back(&self, span: &mut Span) -> Option<SlotHandle> {
        self.next_value_back(span).map(|(handle, _)| handle)
    }

    /// Drops all values. Afterwards the lowest slots are filled first, as in a new storage. If a destructor panics the
    /// values after it stay live.
    pub fn clear(&mut self) {
        self.drop_values();
        if self.listed {
            self.relist();
        }
    }

    /// Drops all values. If a destructor panics the values after it stay live.
    pub(super) fn drop_values(&mut self) {
        let mut span = Span::default();
        while let Some(handle) = self.next_live(&mut span) {
            self.free(handle);
        }
    }

    /// Drops the values for which `keep` returns `false`. If it or a destructor panics, the values after it stay.
    pub fn retain(&mut self, mut keep: impl FnMut(SlotHandle, &mut T) -> bool) {
        let mut span = Span::default();
        while let Some(handle) = self.next_live(&mut span) {
            if self.get_mut(handle).is_some_and(|value| !keep(handle, value)) {
                self.free(handle);
            }
        }
    }

    /// As [`next_live`](Self::next_live), with the address of the value.
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
            // SAFETY: the index had its bit in a block.
            if let Some(live) = unsafe { self.live_at(index) } {
                return Some(live);
            }
        }
    }

    /// As [`next_live_back`](Self::next_live_back), with the address of the value.
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
            // SAFETY: the index had its bit in a block.
            if let Some(live) = unsafe { self.live_at(index) } {
                return Some(live);
            }
        }
    }

    /// Returns the handle of a slot and the address of its value, if it is live.
    ///
    /// # Safety
    ///
    /// The index had its bit in a block: its slot is below `chunk_len`, and its chunk below `directory.len`, which only
    /// shrinks if no slot beyond is live.
    #[inline]
    unsafe fn live_at(&self, index: u32) -> Option<(SlotHandle, NonNull<T>)> {
        // SAFETY: chunk and slot are in bounds by the precondition, and the generation is initialised by S2. If it is odd
        // the slot is one of a held chunk.
        unsafe {
            let place = self.place(index);
            let handle = SlotHandle::from_parts(index, place.generation().read())?;
            Some((handle, self.slot(&place).cast()))
        }
    }

    /// Moves the lower end to the next block of a held chunk.
    #[inline]
    fn next_block(&self, cursor: &mut Low) -> Option<()> {
        if !self.directory.record(chunk_of(cursor.next))?.is_held() {
            cursor.next = self.next_held_index(cursor.next)?;
        }
        cursor.block = cursor.next;
        let rest = self.geometry.chunk_len - slot_of(cursor.block);
        let len = rest.min(BLOCK_SLOTS);
        cursor.next =
            if len == rest { first_index(chunk_of(cursor.block) + 1) } else { cursor.block + len };
        // SAFETY: the chunk has a record, the block starts within it, and `len` slots are left in it.
        cursor.bits = unsafe { self.bits(&self.place(cursor.block), len) };
        Some(())
    }

    /// Returns the first index of the first held chunk from that of `index` on.
    #[cold]
    fn next_held_index(&self, index: u32) -> Option<u32> {
        self.directory.held().first_from(chunk_of(index)).map(first_index)
    }

    /// Moves the upper end to the previous block of a held chunk.
    #[inline]
    fn next_block_back(&self, cursor: &mut High) -> Option<()> {
        let end = cursor.end.min(first_index(self.directory.len()));
        let mut last = end.checked_sub(1)?;
        if !self.directory.record(chunk_of(last))?.is_held() {
            let chunk = self.directory.held().last_below(chunk_of(last))?;
            last = first_index(chunk + 1) - 1;
        }
        // A chunk may have fewer slots than indices.
        let len = (slot_of(last) + 1).min(self.geometry.chunk_len);
        let first = (len - 1) / BLOCK_SLOTS * BLOCK_SLOTS;
        cursor.block = first_index(chunk_of(last)) + first;
        cursor.end = cursor.block;
        // SAFETY: the chunk has a record, and `first` and the `len - first` slots from it on, 64 at most, are below
        // `chunk_len`.
        cursor.bits = unsafe { self.bits(&self.place(cursor.block), len - first) };
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
            // SAFETY: 64 generations by the precondition, initialised by S2. The reference does not outlive this call, and
            // nothing is written meanwhile.
            live_bits::of_block(unsafe { start.cast().as_ref() })
        } else {
            // SAFETY: `len` generations by the precondition, otherwise as a whole block.
            live_bits::of_slice(unsafe { slice::from_raw_parts(start.as_ptr(), len as usize) })
        }
    }

    /// Returns whether both storages hold equal values under equal handles.
    pub fn values_eq<B: Allocator>(&self, other: &Storage<T, B>) -> bool
    where
        T: PartialEq,
    {
        let (mut ours, mut theirs) = (Walk::new(self), Walk::new(other));
        self.live_count() == other.live_count()
            && core::iter::from_fn(|| ours.next()).eq(core::iter::from_fn(|| theirs.next()))
    }

    /// Returns the slots from `index` on.
    ///
    /// # Safety
    ///
    /// A held chunk has the slot.
    #[inline]
    unsafe fn run(&self, index: u32) -> Run<T> {
        // SAFETY: the chunk is held and has the slot, by the precondition.
        unsafe {
            let place = self.place(index);
            Run { generation: place.generation(), slot: self.slot(&place) }
        }
    }

    /// Visits all live slots from a position on, with the state of the loop in registers.
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
                // SAFETY: the block has live slots, so it lies in a held chunk. Set bits are those of live slots.
                folded = unsafe {
                    let run = self.run(cursor.block);
                    if cursor.bits == u64::MAX {
                        run.fold(cursor.block, 64, folded, &mut visit)
                    } else {
                        run.fold_bits(cursor, folded, &mut visit)
                    }
                };
                cursor.bits = 0;
            }
            let chunk = chunk_of(cursor.next);
            let Some(record) = self.directory.record(chunk) else { return folded };
            if none_vacant && record.state == State::Carved && slot_of(cursor.next) == 0 {
                let live = self.geometry.len_of(chunk) - self.untouched_of(chunk);
                // SAFETY: the chunk is held. By S4 all its slots are live, except the untouched ones, which are its last.
                folded = unsafe {
                    let run = self.run(cursor.next);
                    run.fold(cursor.next, live, folded, &mut visit)
                };
                cursor.next = first_index(chunk + 1);
            } else if self.next_block(&mut cursor).is_none() {
                return folded;
            }
        }
    }
}

/// Consecutive slots and their generations.
struct Run<T> {
    generation: NonNull<u32>,
    slot: NonNull<Slot<T>>,
}

impl<T> Run<T> {
    /// Visits `count` slots from the first on, which has the index `first`.
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
            // SAFETY: the slot is live by the precondition.
            let (handle, value) = unsafe { self.at(first, offset) };
            folded = visit(folded, handle, value);
        }
        folded
    }

    /// Visits the slots of a cursor's block that have their bits set.
    ///
    /// # Safety
    ///
    /// The run starts with the block, and these slots are live.
    #[inline]
    unsafe fn fold_bits<B>(
        &self,
        cursor: Low,
        mut folded: B,
        visit: &mut impl FnMut(B, SlotHandle, NonNull<T>) -> B,
    ) -> B {
        let mut bits = cursor.bits;
        while bits != 0 {
            // SAFETY: the slot has its bit set, and so is live by the precondition.
            let (handle, value) = unsafe { self.at(cursor.block, bits.trailing_zeros()) };
            bits &= bits - 1;
            folded = visit(folded, handle, value);
        }
        folded
    }

    /// Returns the handle of a slot and the address of its value.
    ///
    /// # Safety
    ///
    /// The slot at this offset from the first is live, and in the chunk of the first.
    #[inline]
    unsafe fn at(&self, first: u32, offset: u32) -> (SlotHandle, NonNull<T>) {
        // SAFETY: generations and slots of a chunk are consecutive, and both offsets lie in the chunk by the precondition.
        // Generations are initialised by S2.
        let (generation, slot) = unsafe {
            (self.generation.add(offset as usize).read(), self.slot.add(offset as usize))
        };
        (SlotHandle::live(first + offset, generation), slot.cast())
    }
}

/// The item of an iterator over borrowed values: `&T` or `&mut T`.
pub trait Borrowed<T> {
    /// Borrows a value.
    ///
    /// # Safety
    ///
    /// There is a value at this address, which may be borrowed this way as long as the result lives.
    unsafe fn of(value: NonNull<T>) -> Self;
}

impl<T> Borrowed<T> for &T {
    #[inline]
    unsafe fn of(value: NonNull<T>) -> Self {
        // SAFETY: a value that may be borrowed, by the precondition.
        unsafe { value.as_ref() }
    }
}

impl<T> Borrowed<T> for &mut T {
    #[inline]
    unsafe fn of(mut value: NonNull<T>) -> Self {
        // SAFETY: a value that may be borrowed mutably, by the precondition.
        unsafe { value.as_mut() }
    }
}

/// Borrows each value of a storage once.
///
/// # Invariants
///
/// - **W1 (borrowed)**: the values may be borrowed as `R` for `'a`. If `R` is `&mut T`, no other code accesses them. They
///   lie behind raw pointers, so the shared reference to the storage does not cover them.
pub(crate) struct Walk<'a, T, A: Allocator, R> {
    storage: &'a Storage<T, A>,
    span: Span,
    borrows: PhantomData<R>,
}

// SAFETY: through the shared reference a walk reaches values, only borrowed as `R`, and the directory, which is only
// read.
unsafe impl<T, A: Allocator + Sync, R: Send> Send for Walk<'_, T, A, R> {}

impl<'a, T, A: Allocator> Walk<'a, T, A, &'a T> {
    #[inline]
    pub fn new(storage: &'a Storage<T, A>) -> Self {
        Self { storage, span: Span::default(), borrows: PhantomData }
    }
}

impl<'a, T, A: Allocator> Walk<'a, T, A, &'a mut T> {
    #[inline]
    pub fn new_mut(storage: &'a mut Storage<T, A>) -> Self {
        Self { storage, span: Span::default(), borrows: PhantomData }
    }
}

impl<T, A: Allocator, R: Borrowed<T>> Walk<'_, T, A, R> {
    #[inline]
    pub fn next(&mut self) -> Option<(SlotHandle, R)> {
        let (handle, value) = self.storage.next_value(&mut self.span)?;
        // SAFETY: the slot is live, and so holds a value, by S1. It may be borrowed by W1, and is borrowed once by V1.
        Some((handle, unsafe { R::of(value) }))
    }

    #[inline]
    pub fn next_back(&mut self) -> Option<(SlotHandle, R)> {
        let (handle, value) = self.storage.next_value_back(&mut self.span)?;
        // SAFETY: the same facts as in `next`.
        Some((handle, unsafe { R::of(value) }))
    }

    #[inline]
    pub fn fold<B>(mut self, init: B, mut visit: impl FnMut(B, (SlotHandle, R)) -> B) -> B {
        if self.span.to != u32::MAX {
            let mut folded = init;
            while let Some(item) = self.next() {
                folded = visit(folded, item);
            }
            return folded;
        }
        self.storage.fold_places(self.span.low, init, |folded, handle, value| {
            // SAFETY: the same facts as in `next`; the upper end has visited nothing.
            visit(folded, (handle, unsafe { R::of(value) }))
        })
    }
}

impl<T, A: Allocator, R: Copy> Clone for Walk<'_, T, A, R> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}
