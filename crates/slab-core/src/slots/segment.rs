//! The segment itself: which slots were handed out, which came back, and what is checked meanwhile.
#![expect(unsafe_code, reason = "divides a raw buffer into slots and hands them out")]

use core::alloc::Layout;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

use super::guard::Dead;
use super::shape::{self, MAP_WORD_BYTES};
use super::{Erased, Rejected, Shape, Slot, SlotError, Typed};
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

/// A buffer divided into slots; [`Slots`](super::Slots) and [`ErasedSlots`](super::ErasedSlots) name
/// its two shapes.
///
/// # Invariants
///
/// - **S1 (buffer)**: `slot_count` slots of `stride` bytes lie from `base`, in memory that is valid
///   for reads and writes, used by nobody but this segment and the owners of its live slots.
/// - **S2 (carved)**: `carved <= slot_count`; slots from `carved` on were never handed out.
/// - **S3 (dead)**: a slot below `carved` is either live, owned by a token or by who gave one up, or
///   in `free`. In a tracking mode `live` has a bit for each live slot and no other.
/// - **S4 (guarded)**: in `Hardened` mode a live slot's block is followed by its canary, and a dead
///   slot holds its link, its seal and the fill, unless somebody wrote where he must not.
pub struct Segment<S: Shape<M, I>, M: Mode, I: SlotIndex> {
    pub(super) base: NonNull<u8>,
    pub(super) slot_count: u32,
    pub(super) carved: u32,
    pub(super) free: FreeList<I>,
    /// Of no slots where the mode does not track.
    pub(super) live: LiveMap,
    pub(super) shape: S,
    mode: PhantomData<M>,
}

// SAFETY: by S1 nobody else uses the dead slots, wherever the segment is sent. Live slots are not
// the segment's; it only knows where they are.
unsafe impl<S: Shape<M, I> + Send, M: Mode, I: SlotIndex> Send for Segment<S, M, I> {}
// SAFETY: through `&Segment` memory is only read.
unsafe impl<S: Shape<M, I> + Sync, M: Mode, I: SlotIndex> Sync for Segment<S, M, I> {}

impl<T, M: Mode, I: SlotIndex> Segment<Typed<T>, M, I> {
    /// Divides a buffer into slots. *O*(1), and in tracking modes *O*(slots / 64).
    ///
    /// The slots begin at the first address in the buffer that fits `T`; what is too small for a
    /// slot stays unused.
    ///
    /// # Errors
    ///
    /// [`SlotError::OutOfMemory`] if not one slot fits. The buffer is untouched.
    ///
    /// # Safety
    ///
    /// The buffer is valid for reads and writes of `size` bytes for as long as the segment and any
    /// of its slots are used, and until then nobody else uses it. It does not lie in a slot of
    /// another segment that hands out the same type: their tokens could be taken for one another.
    pub unsafe fn new(buffer: NonNull<u8>, size: usize) -> Result<Self, SlotError> {
        let align = align_of::<T>();
        // SAFETY: the caller's promise is the same.
        unsafe { Self::divide(buffer, size, align, I::SLOT_COUNT_MAX, Typed::SHAPE) }
    }

    /// Returns how many slots fit a buffer of `buffer_size` bytes that begins at a multiple of the
    /// alignment of `T` and, in tracking modes, of 8. A buffer that begins elsewhere holds as many or
    /// fewer, never more. *O*(1).
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
    /// Divides a buffer into slots for a layout. *O*(1), and in tracking modes *O*(slots / 64).
    ///
    /// As [`Slots::new`](super::Slots::new); at most 4 GiB of the buffer are used.
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
        // SAFETY: the caller's promise is the same.
        unsafe { Self::divide(buffer, size, align, shape.slot_count_max::<I>(), shape) }
    }

    /// Returns how many slots for a layout fit a buffer of `buffer_size` bytes that begins at a
    /// multiple of the layout's alignment and, in tracking modes, of 8; zero for a layout too large. A
    /// buffer that begins elsewhere holds as many or fewer, never more. *O*(1).
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
    /// As [`Slots::new`](super::Slots::new); `slot_count_max` is at most what `I` and the shape can
    /// number.
    unsafe fn divide(
        buffer: NonNull<u8>,
        size: usize,
        align: usize,
        slot_count_max: u32,
        shape: S,
    ) -> Result<Self, SlotError> {
        let start = buffer.addr().get();
        // The slots from here, the map up to there; both may lie outside a small buffer.
        let first = align_up(start, align).unwrap_or(usize::MAX);
        let end = start.saturating_add(size);
        let map_end = if M::CHECKED { align_down(end, MAP_WORD_BYTES) } else { end };
        let stride = shape.stride();
        // Never more than in a buffer that is aligned: `calculate_total_slots` is an upper bound.
        let bytes = map_end.saturating_sub(first).min(counted_bytes::<M>(size));
        let slot_count = shape::slot_count(bytes, stride, M::CHECKED, slot_count_max);
        if slot_count == 0 {
            let required = required(start, first, stride, M::CHECKED);
            return Err(SlotError::OutOfMemory { required, available: size });
        }
        // SAFETY: at least one slot fits from there, so it is in the buffer.
        let base = unsafe { buffer.add(first - start) };
        let (words, tracked) = if M::CHECKED {
            let map_bytes = LiveMap::words_for(slot_count) * MAP_WORD_BYTES;
            // SAFETY: `slot_count` left room for the map behind the slots, up to `map_end`.
            (unsafe { buffer.add(map_end - map_bytes - start) }.cast(), slot_count)
        } else {
            (NonNull::dangling(), 0)
        };
        // SAFETY: the words are aligned, as `map_end` is, and this segment's alone; or there are none.
        let live = unsafe { LiveMap::new(words, tracked) };
        let free = FreeList::new();
        Ok(Self { base, slot_count, carved: 0, free, live, shape, mode: PhantomData })
    }

    /// Hands out a slot: the one that came back last, else one that never was handed out. *O*(1), in
    /// `Hardened` mode *O*(size of a slot).
    ///
    /// # Errors
    ///
    /// [`SlotError::OutOfMemory`] if all are handed out. [`SlotError::CorruptLink`] or, in `Hardened`
    /// mode, [`SlotError::WriteAfterFree`] if somebody wrote into the dead slot that was to be handed
    /// out; the segment then hands out nothing more.
    #[inline]
    pub fn try_pop_slot(&mut self) -> Result<Slot<S::Block>, SlotError> {
        let slot = match self.pop_dead()? {
            Some(slot) => slot,
            None => self.carve()?,
        };
        if M::CHECKED {
            self.live.set_live(slot);
        }
        // SAFETY: `slot` was dead or never handed out, so it is below `slot_count`.
        let start = unsafe { self.start_of(slot) };
        // SAFETY: by S3 nobody owned the slot.
        unsafe { self.guard(slot) };
        // SAFETY: T1: it was just taken from the dead; T2: by S1, as promised to the constructor.
        Ok(unsafe { Slot::new(self.shape.block_at(start)) })
    }

    /// Takes a slot back. *O*(1), in `Hardened` mode *O*(size of a slot).
    ///
    /// # Errors
    ///
    /// With the slot: [`SlotError::InvalidPointer`] if it belongs to another segment;
    /// [`SlotError::Overrun`] in `Hardened` mode. The slot stays live.
    #[inline]
    pub fn push(&mut self, slot: Slot<S::Block>) -> Result<(), Rejected<S::Block>> {
        // SAFETY: by T1 a slot that lies here is live and its owner gives it up: no token of another
        // segment lies here, as the constructor was promised.
        match unsafe { self.try_push_slot(slot.as_ptr()) } {
            Ok(()) => Ok(()),
            Err(error) => Err(Rejected::new(slot, error)),
        }
    }

    /// Takes a slot back whose token was given up by [`Slot::into_ptr`]. *O*(1), in `Hardened` mode
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
    /// Nobody uses the slot that starts there any more, and no [`Slot`] names it. In `Unchecked` mode
    /// it is also live; the other modes find out.
    #[inline]
    pub unsafe fn try_push_slot(&mut self, ptr: NonNull<S::Block>) -> Result<(), SlotError> {
        let slot = self.index_of(ptr).ok_or_else(|| self.invalid(ptr.cast()))?;
        if slot >= self.carved {
            return Err(SlotError::NeverAllocated { slot });
        }
        if M::CHECKED && !self.live.is_live(slot) {
            return Err(SlotError::DoubleFree { slot });
        }
        // SAFETY: the slot is live, by the check or the caller's promise.
        if unsafe { self.is_overrun(slot) } {
            return Err(SlotError::Overrun { slot });
        }
        if M::CHECKED {
            self.live.set_dead(slot);
        }
        // SAFETY: the slot was live until now and its owner gives it up.
        unsafe { self.bury(slot) };
        Ok(())
    }

    /// Returns whether a slot is free. *O*(1).
    #[inline]
    pub fn has_free(&self) -> bool {
        self.carved < self.slot_count || !self.free.is_empty()
    }

    /// Returns how full the segment is. *O*(1).
    #[inline]
    pub fn state(&self) -> SlotsState {
        match self.free_slots() {
            0 => SlotsState::Full,
            free if free == self.slot_count => SlotsState::Free,
            _ => SlotsState::Partial,
        }
    }

    /// Returns the number of free slots. *O*(1).
    #[inline]
    pub fn free_slots(&self) -> u32 {
        self.slot_count - self.live_count()
    }

    /// Returns the number of slots handed out. *O*(1).
    #[inline]
    pub fn live_count(&self) -> u32 {
        self.carved - self.free.len()
    }

    /// Returns the number of slots. *O*(1).
    #[inline]
    pub fn slot_count(&self) -> u32 {
        self.slot_count
    }

    /// Returns whether an address lies in one of the slots, live or not. *O*(1).
    #[inline]
    pub fn owns<P: ?Sized>(&self, ptr: NonNull<P>) -> bool {
        self.offset_of(ptr) < self.slot_count as usize * self.shape.stride()
    }

    /// Returns the index of the slot that starts at an address, live or not; `None` if none does.
    /// *O*(1), without a division instruction.
    #[inline]
    pub fn index_of<P: ?Sized>(&self, ptr: NonNull<P>) -> Option<u32> {
        let slot = self.shape.index_at(self.offset_of(ptr))?;
        (slot < self.slot_count).then_some(slot)
    }

    /// Returns where the live slots lie, in the order of their addresses. *O*(slots / 64) plus one
    /// step a live slot.
    pub fn live_slots(&self) -> impl Iterator<Item = NonNull<S::Block>>
    where
        M: Tracking,
    {
        self.live.live_slots().map(|slot| {
            // SAFETY: the map covers `slot_count` slots.
            let start = unsafe { self.start_of(slot) };
            self.shape.block_at(start)
        })
    }

    /// Walks all invariants that the mode allows to check. *O*(slots), in `Hardened` mode *O*(bytes
    /// of the dead slots).
    ///
    /// # Errors
    ///
    /// The first thing found: [`SlotError::CorruptLink`], [`SlotError::WriteAfterFree`],
    /// [`SlotError::Overrun`] or [`SlotError::Miscount`].
    pub fn validate(&self) -> Result<(), SlotError> {
        let mut rest = self.free;
        while self.next_dead(&mut rest)?.is_some() {}
        if M::CHECKED {
            let (tracked, counted) = (self.live.live_count(), self.live_count());
            // Listed slots are dead, so with equal numbers each carved slot is live or listed.
            if tracked != counted || self.live.live_slots().any(|slot| slot >= self.carved) {
                return Err(SlotError::Miscount { tracked, counted });
            }
        }
        for slot in self.live.live_slots() {
            // SAFETY: the slot is live.
            if unsafe { self.is_overrun(slot) } {
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
            unsafe { self.unearth(slot) };
        }
        Ok(next)
    }

    /// Removes the newest slot from what is left of the list, once its content and its link were
    /// found untouched.
    #[inline]
    fn next_dead(&self, rest: &mut FreeList<I>) -> Result<Option<u32>, SlotError> {
        let Some(head) = rest.head() else { return Ok(None) };
        let slot = head.to_u32();
        // SAFETY: listed slots are dead.
        if let Some(offset) = unsafe { self.written_offset(slot) } {
            return Err(SlotError::WriteAfterFree { slot, offset });
        }
        // SAFETY: the list was always used with this segment's dead slots.
        unsafe { rest.pop(&Dead(self)) }?;
        Ok(Some(slot))
    }

    #[inline]
    fn carve(&mut self) -> Result<u32, SlotError> {
        if self.carved == self.slot_count {
            return Err(self.full());
        }
        self.carved += 1;
        Ok(self.carved - 1)
    }

    #[cold]
    fn full(&self) -> SlotError {
        SlotError::OutOfMemory { required: self.shape.stride(), available: 0 }
    }

    #[cold]
    fn invalid(&self, ptr: NonNull<u8>) -> SlotError {
        let (address, start) = (ptr.addr().get(), self.base.addr().get());
        let (slot_count, stride) = (self.slot_count, self.shape.stride());
        SlotError::InvalidPointer { address, start, slot_count, stride }
    }

    /// Wraps around for addresses below the first slot, to more than any offset of a slot.
    #[inline]
    fn offset_of<P: ?Sized>(&self, ptr: NonNull<P>) -> usize {
        ptr.cast::<u8>().addr().get().wrapping_sub(self.base.addr().get())
    }

    /// # Safety
    ///
    /// `slot < slot_count`.
    #[inline]
    pub(super) unsafe fn start_of(&self, slot: u32) -> NonNull<u8> {
        // SAFETY: by S1 that many slots lie from the base.
        unsafe { self.base.add(slot as usize * self.shape.stride()) }
    }
}

impl<S: Shape<M, I>, M: Mode, I: SlotIndex> fmt::Debug for Segment<S, M, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment")
            .field("base", &self.base)
            .field("mode", &M::NAME)
            .field("stride", &self.shape.stride())
            .field("slot_count", &self.slot_count)
            .field("live_count", &self.live_count())
            .finish_non_exhaustive()
    }
}

/// Returns how many bytes of a buffer of `buffer_size` are counted: in tracking modes whole words of the
/// live map.
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
        // Whole words are counted, wherever the buffer begins.
        from_start.zip(with_map(stride)).map(|(from_start, counted)| from_start.max(counted))
    } else {
        slot_end.map(|end| end - start)
    };
    required.unwrap_or(usize::MAX)
}
