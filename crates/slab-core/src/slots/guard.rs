//! The content of slots beside their blocks: links, and the guards of `Hardened` mode.
//!
//! | slot | other modes | `Hardened` |
//! |---|---|---|
//! | live | block | block, canary of 8 bytes |
//! | dead | link, rest of the block | link, seal of 4 bytes, fill up to the end of the canary |
//!
//! Canary, seal and the key of the link are computed from the segment's address and the slot's number, so
//! they differ from slot to slot and, where the system randomises addresses, from run to run. The
//! seal is a checksum of the link: a link alone is too short to look wrong by itself.
#![expect(unsafe_code, reason = "reads and writes the bytes beside the blocks of slots")]

use core::marker::PhantomData;
use core::ptr::NonNull;

use super::shape::{CANARY_BYTES, SEAL_BYTES, Shape};
use crate::{LiveMap, Mode, SlotIndex, SlotSpace, canary, mix64, poison};

/// The memory of a segment's slots.
///
/// # Invariants
///
/// - **S1 (buffer)**: from `base` there are `slot_count` slots of `stride` bytes, in memory that is valid
///   for reads and writes. Only their segment and the owners of its live slots use it.
/// - **S4 (guarded)**: in `Hardened` mode a live slot's block is followed by its canary, and a dead
///   slot holds its link, its seal and the fill, unless the user's code wrote there by mistake.
pub(super) struct Cells<S: Shape<M, I>, M: Mode, I: SlotIndex> {
    pub(super) base: NonNull<u8>,
    pub(super) slot_count: u32,
    pub(super) shape: S,
    mode: PhantomData<(M, I)>,
}

/// A segment's dead slots, as the space of its free list: slots below `carved` without a live bit.
pub(super) struct Dead<'a, S: Shape<M, I>, M: Mode, I: SlotIndex> {
    pub(super) cells: &'a Cells<S, M, I>,
    pub(super) carved: u32,
    pub(super) live: &'a LiveMap,
}

// SAFETY: `may_link` holds only for slots below `carved`, which lie in the buffer by S1. Each has room for
// a link, because the stride has; slots are disjoint. Such a slot was handed out before, so it is dead
// only after its link was written. `NONE` is not below `carved`, which is at most `SLOT_COUNT_MAX`.
unsafe impl<S: Shape<M, I>, M: Mode, I: SlotIndex> SlotSpace<I> for Dead<'_, S, M, I> {
    #[inline]
    unsafe fn link_cell(&self, slot: I) -> NonNull<I> {
        // SAFETY: the slot may link, so it is below `carved`, which is at most `slot_count`.
        unsafe { self.cells.link_cell(slot.to_u32()) }
    }

    #[inline]
    fn may_link(&self, slot: I) -> bool {
        let slot = slot.to_u32();
        slot < self.carved && !(M::CHECKED && self.live.is_live(slot))
    }

    #[inline]
    fn link_key(&self, slot: I) -> u32 {
        if M::HARDENED { self.cells.secret(slot.to_u32(), Purpose::Link) as u32 } else { 0 }
    }
}

/// The use of a secret number. Knowing one must not reveal another.
#[derive(Clone, Copy)]
enum Purpose {
    Link,
    Seal,
    Canary,
}

impl<S: Shape<M, I>, M: Mode, I: SlotIndex> Cells<S, M, I> {
    /// Returns the memory of `slot_count` slots from `base` on.
    ///
    /// # Safety
    ///
    /// S1 holds.
    pub(super) unsafe fn new(base: NonNull<u8>, slot_count: u32, shape: S) -> Self {
        Self { base, slot_count, shape, mode: PhantomData }
    }

    /// Offset of the fill in a dead slot.
    const FILL_OFFSET: usize = size_of::<I>() + if M::HARDENED { SEAL_BYTES } else { 0 };

    /// Returns the length of the fill in bytes.
    #[inline]
    fn fill_bytes(&self) -> usize {
        let canary = if M::HARDENED { CANARY_BYTES } else { 0 };
        (self.shape.block_bytes() + canary).saturating_sub(Self::FILL_OFFSET)
    }

    /// Writes the canary of a slot that is about to be handed out.
    ///
    /// # Safety
    ///
    /// `slot < slot_count`, and the slot has no owner.
    #[inline]
    pub(super) unsafe fn write_canary(&mut self, slot: u32) {
        if M::HARDENED {
            let word = self.secret(slot, Purpose::Canary);
            // SAFETY: the caller guarantees a slot of this segment without an owner; its cell is valid by S1.
            unsafe { canary::write(self.canary_cell(slot), word) };
        }
    }

    /// Makes the canary of a slot accessible, before the slot is listed: the link may overlap the canary.
    ///
    /// # Safety
    ///
    /// `slot < slot_count`.
    #[inline]
    pub(super) unsafe fn remove_canary(&mut self, slot: u32) {
        if M::HARDENED {
            // SAFETY: the caller guarantees a slot of this segment; its cell is valid by S1.
            unsafe { canary::remove(self.canary_cell(slot)) };
        }
    }

    /// Returns whether a slot was written past its end, if the mode can tell.
    ///
    /// # Safety
    ///
    /// The slot is live.
    #[inline]
    pub(super) unsafe fn is_overrun(&self, slot: u32) -> bool {
        if !M::HARDENED {
            return false;
        }
        // SAFETY: live slots are below `slot_count`. By S4 the canary was written when the slot was handed
        // out, and its owner may not write there.
        let changed = unsafe {
            canary::first_changed(self.canary_cell(slot), self.secret(slot, Purpose::Canary))
        };
        changed.is_some()
    }

    /// Seals the link of a slot that was just listed as free, and poisons its content.
    ///
    /// # Safety
    ///
    /// `slot < slot_count`, the slot has no owner, and its link was just written.
    #[inline]
    pub(super) unsafe fn make_dead(&mut self, slot: u32) {
        if M::HARDENED {
            // SAFETY: the caller guarantees a slot of this segment without an owner, whose link was just written.
            // The cell of the seal is valid by S1.
            unsafe {
                let seal = self.seal_of(slot);
                self.seal_cell(slot).write_unaligned(seal);
            }
        }
        // SAFETY: the fill lies in the slot, which is valid by S1 and has no owner.
        unsafe { poison::poison::<M>(self.fill_of(slot), self.fill_bytes()) };
    }

    /// Returns the offset of the first byte of a dead slot that was written since the slot came back, if
    /// the mode can tell; 0 if it was the link.
    ///
    /// # Safety
    ///
    /// The slot is listed as free.
    #[inline]
    pub(super) unsafe fn written_offset(&self, slot: u32) -> Option<usize> {
        if !M::HARDENED {
            return None;
        }
        // SAFETY: listed slots are dead and below `slot_count`. By S4 link and seal were written when the slot
        // came back.
        let (expected, found) =
            unsafe { (self.seal_of(slot), self.seal_cell(slot).read_unaligned()) };
        if found != expected {
            return Some(0);
        }
        // SAFETY: the fill lies in the slot and was poisoned when the slot came back. The slot is still dead,
        // so no access to it is allowed until `make_accessible`.
        let written = unsafe {
            let fill = self.fill_of(slot);
            let written = poison::unpoison::<M>(fill, self.fill_bytes());
            poison::deny_access(fill, self.fill_bytes());
            written
        };
        written.map(|offset| Self::FILL_OFFSET + offset)
    }

    /// Allows access to a slot that is no longer listed.
    ///
    /// # Safety
    ///
    /// `slot < slot_count`.
    #[inline]
    pub(super) unsafe fn make_accessible(&mut self, slot: u32) {
        // SAFETY: the caller guarantees a slot of this segment, and the fill lies in it.
        unsafe { poison::allow_access(self.fill_of(slot), self.fill_bytes()) };
    }

    /// Returns the seal that belongs to a dead slot's link as it is now.
    ///
    /// # Safety
    ///
    /// The slot is dead.
    #[inline]
    unsafe fn seal_of(&self, slot: u32) -> u32 {
        // SAFETY: dead slots are below `slot_count`, and their link was written when they came back.
        let stored = unsafe { self.link_cell(slot).read_unaligned() };
        let sealed = self.secret(slot, Purpose::Seal) ^ u64::from(stored.to_u32());
        (mix64(sealed) >> 32) as u32
    }

    /// Returns a pointer to the start of a slot.
    ///
    /// # Safety
    ///
    /// `slot < slot_count`.
    #[inline]
    pub(super) unsafe fn start_of(&self, slot: u32) -> NonNull<u8> {
        // SAFETY: the caller guarantees `slot < slot_count`, and by S1 that many slots begin at `base`.
        unsafe { self.base.add(slot as usize * self.shape.stride()) }
    }

    /// # Safety
    ///
    /// `slot < slot_count`.
    #[inline]
    unsafe fn link_cell(&self, slot: u32) -> NonNull<I> {
        // SAFETY: the caller guarantees a slot of this segment.
        unsafe { self.start_of(slot) }.cast()
    }

    /// # Safety
    ///
    /// `slot < slot_count`, and the mode is `Hardened`.
    #[inline]
    unsafe fn seal_cell(&self, slot: u32) -> NonNull<u32> {
        // SAFETY: the caller guarantees a slot of this segment, and a stride of this mode holds a link and
        // a seal.
        unsafe { self.start_of(slot).add(size_of::<I>()) }.cast()
    }

    /// # Safety
    ///
    /// `slot < slot_count`, and the mode is `Hardened`.
    #[inline]
    unsafe fn canary_cell(&self, slot: u32) -> NonNull<u8> {
        // SAFETY: the caller guarantees a slot of this segment, and a stride of this mode holds the block
        // and its canary.
        unsafe { self.start_of(slot).add(self.shape.block_bytes()) }
    }

    /// # Safety
    ///
    /// `slot < slot_count`.
    #[inline]
    unsafe fn fill_of(&self, slot: u32) -> NonNull<u8> {
        // SAFETY: the caller guarantees a slot of this segment, and a stride holds a link and, in `Hardened`
        // mode, a seal.
        unsafe { self.start_of(slot).add(Self::FILL_OFFSET) }
    }

    fn secret(&self, slot: u32, purpose: Purpose) -> u64 {
        let place = self.base.addr().get() as u64;
        mix64(place ^ (u64::from(slot) << 2 | purpose as u64).rotate_right(16))
    }
}

/// Makes the whole buffer accessible again for the address sanitizer.
impl<S: Shape<M, I>, M: Mode, I: SlotIndex> Drop for Cells<S, M, I> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: by S1 all slots are valid as long as the segment is.
        unsafe { poison::allow_access(self.base, self.slot_count as usize * self.shape.stride()) };
    }
}
