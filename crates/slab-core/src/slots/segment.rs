//! The segment: hands out slots, takes them back, and checks both.
#![expect(unsafe_code, reason = "divides a raw buffer into slots and hands them out")]

use core::alloc::Layout;
use core::fmt;
use core::ptr::NonNull;

use super::error::SlotError;
use super::guard::{Cells, Dead};
use super::shape::{self, Erased, MAP_WORD_BYTES, Shape, Typed};
use super::slot::{Rejected, Slot};
use crate::layout::{align_down, align_up};
use crate::{FreeList, LiveMap, Mode, SlotIndex, Tracking};

/// How full a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SlotsState {
    /// No slot is handed out.
    Free,
    /// Some are handed out, some are free.
    Partial,
    /// All are handed out.
    Full,
}

/// A buffer divided into slots. Its two shapes are [`Slots`](super::Slots) and
/// [`ErasedSlots`](super::ErasedSlots).
///
/// # Invariants
///
/// - **S1 (buffer)**, **S4 (guarded)**: those of `cells`.
/// - **S2 (carved)**: `carved <= slot_count`; slots from `carved` on were never handed out.
/// - **S3 (dead)**: a slot below `carved` is either live (owned by a token, or by the code that gave the
///   token up) or in `free`. In a tracking mode `live` has a bit for each live slot and no other.
pub struct Segment<S: Shape<M, I>, M: Mode, I: SlotIndex> {
    cells: Cells<S, M, I>,
    pub(super) carved: u32,
    free: FreeList<I>,
    /// Covers no slots if the mode does not track.
    pub(super) live: LiveMap,
}

// SAFETY: by S1 only the segment uses the dead slots, whichever thread it is sent to. It never accesses the
// blocks of live slots.
unsafe impl<S: Shape<M, I> + Send, M: Mode, I: SlotIndex> Send for Segment<S, M, I> {}
// SAFETY: a `&Segment` only reads memory.
unsafe impl<S: Shape<M, I> + Sync, M: Mode, I: SlotIndex> Sync for Segment<S, M, I> {}

impl<T, M: Mode, I: SlotIndex> Segment<Typed<T>, M, I> {
    /// Divides a buffer into slots. *O*(1), in tracking modes *O*(slots / 64).
    ///
    /// The first slot lies at the first address in the buffer that is aligned for `T`. A remainder that is
    /// smaller than a slot stays unused.
    ///
    /// # Errors
    ///
    /// [`SlotError::OutOfMemory`] if not one slot fits. The buffer is untouched.
    ///
    /// # Safety
    ///
    /// The buffer is valid for reads and writes of `size` bytes, and no other code uses it, for as long
    /// as the segment or any of its slots is used. It does not lie in a slot of another segment that hands
    /// out the same type: a token of one could be mistaken for a token of the other.
    pub unsafe fn new(buffer: NonNull<u8>, size: usize) -> Result<Self, SlotError> {
        let align = align_of::<T>();
        // SAFETY: the caller guarantees what `divide` requires of the buffer, and the maximum is that of `I`.
        unsafe { Self::divide(buffer, size, align, I::SLOT_COUNT_MAX, Typed::SHAPE) }
    }

    /// Returns how many slots fit a buffer of `buffer_size` bytes that begins at a multiple of the
    /// alignment of `T` and, in tracking modes, of 8. Any other buffer of this size holds at most as many.
    /// *O*(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_core::{Hardened, Slots, Unchecked};
    ///
    /// const BYTES: usize = 4096;
    /// assert_eq!(const { Slots::<u64, Unchecked>::calculate_total_slots(BYTES) }, 512);
    /// assert_eq!(const { Slots::<u64>::calculate_total_slots(BYTES) }, 504);
    /// assert_eq!(const { Slots::<u64, Hardened>::calculate_total_slots(BYTES) }, 254);
    /// ```
    pub const fn calculate_total_slots(buffer_size: usize) -> u32 {
        let stride = const { Typed::<T>::stride_in::<M, I>() };
        let bytes = counted_bytes::<M>(buffer_size);
        shape::slot_count(bytes, stride, M::CHECKED, I::SLOT_COUNT_MAX)
    }
}

impl<M: Mode, I: SlotIndex> Segment<Erased, M, I> {
    /// Divides a buffer into slots for a layout, as [`Slots::new`](super::Slots::new) does. At most 4 GiB of
    /// the buffer are used. *O*(1), in tracking modes *O*(slots / 64).
    ///
    /// # Errors
    ///
    /// [`SlotError::OutOfMemory`] if not one slot fits; [`SlotError::LayoutTooLarge`] if a slot
    /// would have 4 GiB or more. The buffer is untouched.
    ///
    /// # Safety
    ///
    /// As [`Slots::new`](super::Slots::new).
    pub unsafe fn new(layout: Layout, buffer: NonNull<u8>, size: usize) -> Result<Self, SlotError> {
        let (block_bytes, align) = (layout.size(), layout.align());
        let shape = Erased::new::<M, I>(layout)
            .ok_or(SlotError::LayoutTooLarge { size: block_bytes, align })?;
        // SAFETY: the caller guarantees what `divide` requires of the buffer, and the maximum is that of the
        // shape.
        unsafe { Self::divide(buffer, size, align, shape.slot_count_max::<I>(), shape) }
    }

    /// Returns how many slots for a layout fit a buffer of `buffer_size` bytes that begins at a multiple of
    /// the layout's alignment and, in tracking modes, of 8; zero if the layout is too large. Any other
    /// buffer of this size holds at most as many. *O*(1).
    pub const fn calculate_total_slots(layout: Layout, buffer_size: usize) -> u32 {
        let bytes = counted_bytes::<M>(buffer_size);
        match Erased::new::<M, I>(layout) {
            None => 0,
            Some(shape) => {
                let slot_count_max = shape.slot_count_max::<I>();
                shape::slot_count(bytes, shape.stride_bytes(), M::CHECKED, slot_count_max)
            }
        }
    }
}

impl<S: Shape<M, I>, M: Mode, I: SlotIndex> Segment<S, M, I> {
    /// # Safety
    ///
    /// The same as [`Slots::new`](super::Slots::new); `slot_count_max` is at most the number of slots that
    /// `I` and the shape can tell apart.
    unsafe fn divide(
        buffer: NonNull<u8>,
        size: usize,
        align: usize,
        slot_count_max: u32,
        shape: S,
    ) -> Result<Self, SlotError> {
        let start = buffer.addr().get();
        // The slots begin at `first`, the live map ends at `map_end`. Both may lie outside a small buffer.
        let first = align_up(start, align).unwrap_or(usize::MAX);
        let end = start.saturating_add(size);
        let map_end = if M::CHECKED { align_down(end, MAP_WORD_BYTES) } else { end };
        let stride = shape.stride();
        // At most as many as in an aligned buffer, because `calculate_total_slots` is an upper bound.
        let bytes = map_end.saturating_sub(first).min(counted_bytes::<M>(size));
        let slot_count = shape::slot_count(bytes, stride, M::CHECKED, slot_count_max);
        if slot_count == 0 {
            let required = required(start, first, stride, M::CHECKED);
            return Err(SlotError::OutOfMemory { required, available: size });
        }
        // SAFETY: at least one slot fits from `first` on, so it lies in the buffer.
        let base = unsafe { buffer.add(first - start) };
        let (words, tracked) = if M::CHECKED {
            let map_bytes = LiveMap::words_for(slot_count) * MAP_WORD_BYTES;
            // SAFETY: `slot_count` leaves room for the map between the slots and `map_end`.
            (unsafe { buffer.add(map_end - map_bytes - start) }.cast(), slot_count)
        } else {
            (NonNull::dangling(), 0)
        };
        // SAFETY: the words are aligned, because `map_end` is, and only this segment uses them; or there are
        // none.
        let live = unsafe { LiveMap::new(words, tracked) };
        let free = FreeList::new();
        // SAFETY: S1: the slots lie from `base` on in the buffer, which is valid and this segment's alone.
        let cells = unsafe { Cells::new(base, slot_count, shape) };
        Ok(Self { cells, carved: 0, free, live })
    }

    /// Hands out the slot that came back last, or one that was never handed out. *O*(1), in `Hardened` mode
    /// *O*(size of a slot).
    ///
    /// # Errors
    ///
    /// [`SlotError::OutOfMemory`] if all slots are handed out. [`SlotError::CorruptLink`] or, in `Hardened`
    /// mode, [`SlotError::WriteAfterFree`] if the dead slot that would be handed out was written to; the
    /// segment then hands out no more slots.
    #[inline]
    pub fn try_pop_slot(&mut self) -> Result<Slot<S::Block>, SlotError> {
        let slot = match self.pop_dead()? {
            Some(slot) => slot,
            None => self.carve()?,
        };
        if M::CHECKED {
            self.live.set_live(slot);
        }
        // SAFETY: `slot` was dead or never handed out, so it is below `slot_count` and by S3 has no owner: its
        // canary may be written, and T1 holds. T2 holds by S1.
        unsafe {
            self.cells.write_canary(slot);
            Ok(Slot::new(self.block(slot)))
        }
    }

    /// Takes a slot back. *O*(1), in `Hardened` mode *O*(size of a slot).
    ///
    /// # Errors
    ///
    /// With the slot: [`SlotError::InvalidPointer`] if it belongs to another segment;
    /// [`SlotError::Overrun`] in `Hardened` mode. The slot stays live.
    #[inline]
    pub fn push(&mut self, slot: Slot<S::Block>) -> Result<(), Rejected<S::Block>> {
        // SAFETY: by T1 the slot is live in the segment that it lies in, and its owner gives it up. If it lies
        // here it is a token of this segment, by the precondition of the constructor.
        match unsafe { self.try_push_slot(slot.as_ptr()) } {
            Ok(()) => Ok(()),
            Err(error) => Err(Rejected::new(slot, error)),
        }
    }

    /// Takes back a slot whose token was given up by [`Slot::into_ptr`]. *O*(1), in `Hardened` mode
    /// *O*(size of a slot).
    ///
    /// # Errors
    ///
    /// [`SlotError::InvalidPointer`] if no slot starts there; [`SlotError::NeverAllocated`] if it was
    /// never handed out; in tracking modes [`SlotError::DoubleFree`] if it is free already; in
    /// `Hardened` mode [`SlotError::Overrun`].
    ///
    /// # Safety
    ///
    /// The slot that starts there is not used again, and no [`Slot`] names it. In `Unchecked` mode it must
    /// also be live; the other modes check that.
    #[inline]
    pub unsafe fn try_push_slot(&mut self, ptr: NonNull<S::Block>) -> Result<(), SlotError> {
        let slot = self.index_of(ptr).ok_or_else(|| self.invalid(ptr.cast()))?;
        if slot >= self.carved {
            return Err(SlotError::NeverAllocated { slot });
        }
        if M::CHECKED && !self.live.is_live(slot) {
            return Err(SlotError::DoubleFree { slot });
        }
        // SAFETY: the slot is live: in tracking modes by the check, otherwise as the caller guarantees.
        if unsafe { self.cells.is_overrun(slot) } {
            return Err(SlotError::Overrun { slot });
        }
        if M::CHECKED {
            self.live.set_dead(slot);
        }
        // SAFETY: the slot was live, so it is below `slot_count`.
        unsafe { self.cells.remove_canary(slot) };
        let dead = Dead { cells: &self.cells, carved: self.carved, live: &self.live };
        // SAFETY: the list is used with the dead slots of this segment alone. The slot was live, so it is below
        // `carved` and not listed; its bit is cleared, and its owner gives it up.
        unsafe {
            self.free.push(&dead, I::from_u32(slot));
            self.cells.make_dead(slot);
        }
        Ok(())
    }

    /// Returns whether a slot is free. *O*(1).
    #[inline]
    pub fn has_free(&self) -> bool {
        self.carved < self.slot_count() || !self.free.is_empty()
    }

    /// Returns how full the segment is. *O*(1).
    #[inline]
    pub fn state(&self) -> SlotsState {
        match self.free_slots() {
            0 => SlotsState::Full,
            free if free == self.slot_count() => SlotsState::Free,
            _ => SlotsState::Partial,
        }
    }

    /// Returns the number of free slots. *O*(1).
    #[inline]
    pub fn free_slots(&self) -> u32 {
        self.slot_count() - self.live_count()
    }

    /// Returns the number of slots handed out. *O*(1).
    #[inline]
    pub fn live_count(&self) -> u32 {
        self.carved - self.free.len()
    }

    /// Returns the number of slots. *O*(1).
    #[inline]
    pub fn slot_count(&self) -> u32 {
        self.cells.slot_count
    }

    /// Returns whether an address lies in a slot, live or not. *O*(1).
    #[inline]
    pub fn owns<P: ?Sized>(&self, ptr: NonNull<P>) -> bool {
        self.offset_of(ptr) < self.slot_count() as usize * self.cells.shape.stride()
    }

    /// Returns the index of the slot, live or not, that starts at an address. *O*(1), without a division
    /// instruction.
    #[inline]
    pub fn index_of<P: ?Sized>(&self, ptr: NonNull<P>) -> Option<u32> {
        let slot = self.cells.shape.index_at(self.offset_of(ptr))?;
        (slot < self.slot_count()).then_some(slot)
    }

    /// Returns pointers to the live slots in the order of their addresses. *O*(slots / 64 + live slots).
    pub fn live_slots(&self) -> impl Iterator<Item = NonNull<S::Block>>
    where
        M: Tracking,
    {
        self.live.live_slots().map(|slot| {
            // SAFETY: the map covers `slot_count` slots.
            unsafe { self.block(slot) }
        })
    }

    /// Checks all invariants that the mode can check. *O*(slots), in `Hardened` mode *O*(bytes of the dead
    /// slots).
    ///
    /// # Errors
    ///
    /// The first fault found: [`SlotError::CorruptLink`], [`SlotError::WriteAfterFree`],
    /// [`SlotError::Overrun`] or [`SlotError::Miscount`].
    pub fn validate(&self) -> Result<(), SlotError> {
        let mut rest = self.free;
        while self.next_dead(&mut rest)?.is_some() {}
        if M::CHECKED {
            let (tracked, counted) = (self.live.live_count(), self.live_count());
            // Listed slots are dead, so if the numbers are equal each carved slot is live or listed.
            if tracked != counted || self.live.live_slots().any(|slot| slot >= self.carved) {
                return Err(SlotError::Miscount { tracked, counted });
            }
        }
        for slot in self.live.live_slots() {
            // SAFETY: the slot is live.
            if unsafe { self.cells.is_overrun(slot) } {
                return Err(SlotError::Overrun { slot });
            }
        }
        Ok(())
    }

    /// Takes the slot listed last.
    #[inline]
    fn pop_dead(&mut self) -> Result<Option<u32>, SlotError> {
        let mut rest = self.free;
        let next = self.next_dead(&mut rest)?;
        self.free = rest;
        if let Some(slot) = next {
            // SAFETY: the slot is not listed any more.
            unsafe { self.cells.make_accessible(slot) };
        }
        Ok(next)
    }

    /// Removes the newest slot from `rest`, a copy of the list, if its content and its link are untouched.
    #[inline]
    fn next_dead(&self, rest: &mut FreeList<I>) -> Result<Option<u32>, SlotError> {
        let Some(head) = rest.head() else { return Ok(None) };
        let slot = head.to_u32();
        // SAFETY: listed slots are dead.
        if let Some(offset) = unsafe { self.cells.written_offset(slot) } {
            return Err(SlotError::WriteAfterFree { slot, offset });
        }
        let dead = Dead { cells: &self.cells, carved: self.carved, live: &self.live };
        // SAFETY: the list is used with the dead slots of this segment alone.
        unsafe { rest.pop(&dead) }?;
        Ok(Some(slot))
    }

    #[inline]
    fn carve(&mut self) -> Result<u32, SlotError> {
        if self.carved == self.slot_count() {
            return Err(self.full());
        }
        self.carved += 1;
        Ok(self.carved - 1)
    }

    #[cold]
    fn full(&self) -> SlotError {
        SlotError::OutOfMemory { required: self.cells.shape.stride(), available: 0 }
    }

    #[cold]
    fn invalid(&self, ptr: NonNull<u8>) -> SlotError {
        let (address, start) = (ptr.addr().get(), self.cells.base.addr().get());
        let (slot_count, stride) = (self.slot_count(), self.cells.shape.stride());
        SlotError::InvalidPointer { address, start, slot_count, stride }
    }

    /// Returns the offset of an address from the first slot. Below the first slot it wraps around, to more
    /// than the offset of any slot.
    #[inline]
    fn offset_of<P: ?Sized>(&self, ptr: NonNull<P>) -> usize {
        ptr.cast::<u8>().addr().get().wrapping_sub(self.cells.base.addr().get())
    }

    /// Returns a pointer to the block of a slot.
    ///
    /// # Safety
    ///
    /// `slot < slot_count`.
    #[inline]
    unsafe fn block(&self, slot: u32) -> NonNull<S::Block> {
        // SAFETY: the caller guarantees a slot of this segment.
        self.cells.shape.block_at(unsafe { self.cells.start_of(slot) })
    }
}

impl<S: Shape<M, I>, M: Mode, I: SlotIndex> fmt::Debug for Segment<S, M, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment")
            .field("base", &self.cells.base)
            .field("mode", &M::NAME)
            .field("stride", &self.cells.shape.stride())
            .field("slot_count", &self.slot_count())
            .field("live_count", &self.live_count())
            .finish_non_exhaustive()
    }
}

/// Returns how many bytes of a buffer are used: in tracking modes a multiple of a word of the live map.
const fn counted_bytes<M: Mode>(buffer_size: usize) -> usize {
    if M::CHECKED { align_down(buffer_size, MAP_WORD_BYTES) } else { buffer_size }
}

/// Returns how many bytes from `start` would be enough for one slot at `first`.
#[cold]
fn required(start: usize, first: usize, stride: usize, tracked: bool) -> usize {
    let with_map = |end: usize| align_up(end, MAP_WORD_BYTES)?.checked_add(MAP_WORD_BYTES);
    let slot_end = first.checked_add(stride);
    let required = if tracked {
        let from_start = slot_end.and_then(with_map).map(|end| end - start);
        // `counted_bytes` rounds down to whole words, wherever the buffer begins.
        from_start.zip(with_map(stride)).map(|(from_start, counted)| from_start.max(counted))
    } else {
        slot_end.map(|end| end - start)
    };
    required.unwrap_or(usize::MAX)
}
