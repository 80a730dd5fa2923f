//! What lies in a slot beside its block: links, and the guards of `Hardened` mode.
//!
//! | slot | unhardened | hardened |
//! |---|---|---|
//! | live | block | block, canary of 8 bytes |
//! | dead | link, rest of the block | link, seal of 4 bytes, fill up to the end of the canary |
//!
//! Canary, seal and the key of the link derive from where the segment lies and from the slot: they
//! differ from slot to slot and, where the system randomises addresses, from run to run. The seal
//! says that the link is the one written: a link alone is too short to look wrong by itself.
#![expect(unsafe_code, reason = "reads and writes what lies in slots beside their blocks")]

use core::ptr::NonNull;

use super::shape::{CANARY_BYTES, SEAL_BYTES};
use super::{Segment, Shape};
use crate::{Mode, SlotIndex, SlotSpace, mix64, poison};

/// A segment's slots, as its free list sees them.
pub(super) struct Dead<'a, S: Shape<M, I>, M: Mode, I: SlotIndex>(pub(super) &'a Segment<S, M, I>);

// SAFETY: a slot below `carved` was handed out before, so it is dead only after its link was
// written; by S1 it is valid, and it has room for a link, because the stride has. Slots are disjoint.
// `NONE` is not below `carved`, which is at most `SLOT_COUNT_MAX`.
unsafe impl<S: Shape<M, I>, M: Mode, I: SlotIndex> SlotSpace<I> for Dead<'_, S, M, I> {
    #[inline]
    unsafe fn link_cell(&self, slot: I) -> NonNull<I> {
        // SAFETY: the slot may link, so it is below `carved`.
        unsafe { self.0.start_of(slot.to_u32()) }.cast()
    }

    #[inline]
    fn may_link(&self, slot: I) -> bool {
        let slot = slot.to_u32();
        slot < self.0.carved && !(M::CHECKED && self.0.live.is_live(slot))
    }

    #[inline]
    fn link_key(&self, slot: I) -> u32 {
        if M::HARDENED { self.0.secret(slot.to_u32(), Purpose::Link) as u32 } else { 0 }
    }
}

/// What a secret number is for; one must not reveal another.
#[derive(Clone, Copy)]
enum Purpose {
    Link,
    Seal,
    Canary,
}

impl<S: Shape<M, I>, M: Mode, I: SlotIndex> Segment<S, M, I> {
    /// Where the fill begins in a dead slot.
    const FILL_OFFSET: usize = size_of::<I>() + if M::HARDENED { SEAL_BYTES } else { 0 };

    /// Bytes of the fill.
    #[inline]
    fn fill_bytes(&self) -> usize {
        let canary = if M::HARDENED { CANARY_BYTES } else { 0 };
        (self.shape.block_bytes() + canary).saturating_sub(Self::FILL_OFFSET)
    }

    /// Writes the canary of a slot about to be handed out.
    ///
    /// # Safety
    ///
    /// `slot < slot_count`, and nobody owns the slot.
    #[inline]
    pub(super) unsafe fn guard(&mut self, slot: u32) {
        if M::HARDENED {
            let canary = self.secret(slot, Purpose::Canary);
            // SAFETY: the caller's promise.
            let cell = unsafe { self.canary_cell(slot) };
            // SAFETY: by S1 the cell is valid, and nobody owns it.
            unsafe { cell.write_unaligned(canary) };
        }
    }

    /// Returns whether somebody wrote past the end of a slot, where the mode can tell.
    ///
    /// # Safety
    ///
    /// The slot is live.
    #[inline]
    pub(super) unsafe fn is_overrun(&self, slot: u32) -> bool {
        if !M::HARDENED {
            return false;
        }
        // SAFETY: live slots are below `slot_count`.
        let cell = unsafe { self.canary_cell(slot) };
        // SAFETY: by S4 the canary was written when the slot was handed out; its owner has no right
        // to write there.
        let canary = unsafe { cell.read_unaligned() };
        canary != self.secret(slot, Purpose::Canary)
    }

    /// Lists a slot as free and marks its content as dead.
    ///
    /// # Safety
    ///
    /// `slot < carved`; nobody owns the slot, `live` has no bit for it, and it is not listed.
    #[inline]
    pub(super) unsafe fn bury(&mut self, slot: u32) {
        let mut free = self.free;
        // SAFETY: the list was always used with this segment's dead slots, of which the slot is one
        // from now on.
        unsafe { free.push(&Dead(self), I::from_u32(slot)) };
        self.free = free;
        if M::HARDENED {
            // SAFETY: the slot is dead and its link was just written.
            let seal = unsafe { self.seal_of(slot) };
            // SAFETY: the caller's promise.
            let cell = unsafe { self.seal_cell(slot) };
            // SAFETY: by S1 the cell is valid, and nobody owns it.
            unsafe { cell.write_unaligned(seal) };
        }
        // SAFETY: the caller's promise.
        let fill = unsafe { self.fill_of(slot) };
        // SAFETY: by S1 the rest of the slot is valid, and nobody needs it.
        unsafe { poison::poison::<M>(fill, self.fill_bytes()) };
    }

    /// Returns the offset of the first byte of a dead slot known to have been written since, where
    /// the mode can tell.
    ///
    /// # Safety
    ///
    /// The slot is listed as free.
    #[inline]
    pub(super) unsafe fn written_offset(&self, slot: u32) -> Option<usize> {
        if !M::HARDENED {
            return None;
        }
        // SAFETY: the slot is dead.
        let expected = unsafe { self.seal_of(slot) };
        // SAFETY: listed slots are below `slot_count`.
        let cell = unsafe { self.seal_cell(slot) };
        // SAFETY: by S4 the seal was written when the slot came back.
        if unsafe { cell.read_unaligned() } != expected {
            return Some(0);
        }
        // SAFETY: listed slots are below `slot_count`.
        let fill = unsafe { self.fill_of(slot) };
        // SAFETY: the fill was retired when the slot came back.
        let written = unsafe { poison::unpoison::<M>(fill, self.fill_bytes()) };
        // SAFETY: the slot is still dead; `unearth` permits its use.
        unsafe { poison::deny_access(fill, self.fill_bytes()) };
        written.map(|offset| Self::FILL_OFFSET + offset)
    }

    /// Permits the use of a slot that is no longer listed.
    ///
    /// # Safety
    ///
    /// `slot < slot_count`.
    #[inline]
    pub(super) unsafe fn unearth(&mut self, slot: u32) {
        // SAFETY: the caller's promise.
        let fill = unsafe { self.fill_of(slot) };
        // SAFETY: by S1 the slot is valid.
        unsafe { poison::allow_access(fill, self.fill_bytes()) };
    }

    /// Returns the seal that fits a dead slot's link as it is now.
    ///
    /// # Safety
    ///
    /// The slot is dead.
    #[inline]
    unsafe fn seal_of(&self, slot: u32) -> u32 {
        // SAFETY: dead slots may link.
        let cell = unsafe { Dead(self).link_cell(I::from_u32(slot)) };
        // SAFETY: the link was written when the slot came back.
        let stored = unsafe { cell.read_unaligned() };
        let sealed = self.secret(slot, Purpose::Seal) ^ u64::from(stored.to_u32());
        (mix64(sealed) >> 32) as u32
    }

    /// # Safety
    ///
    /// `slot < slot_count`, and the mode is `Hardened`.
    #[inline]
    unsafe fn seal_cell(&self, slot: u32) -> NonNull<u32> {
        // SAFETY: the caller's promise.
        let start = unsafe { self.start_of(slot) };
        // SAFETY: a hardened stride holds a link and a seal.
        unsafe { start.add(size_of::<I>()) }.cast()
    }

    /// # Safety
    ///
    /// `slot < slot_count`, and the mode is `Hardened`.
    #[inline]
    unsafe fn canary_cell(&self, slot: u32) -> NonNull<u64> {
        // SAFETY: the caller's promise.
        let start = unsafe { self.start_of(slot) };
        // SAFETY: a hardened stride holds the block and its canary.
        unsafe { start.add(self.shape.block_bytes()) }.cast()
    }

    /// # Safety
    ///
    /// `slot < slot_count`.
    #[inline]
    unsafe fn fill_of(&self, slot: u32) -> NonNull<u8> {
        // SAFETY: the caller's promise.
        let start = unsafe { self.start_of(slot) };
        // SAFETY: a stride holds a link and, hardened, a seal.
        unsafe { start.add(Self::FILL_OFFSET) }
    }

    fn secret(&self, slot: u32, purpose: Purpose) -> u64 {
        let place = self.base.addr().get() as u64;
        mix64(place ^ (u64::from(slot) << 2 | purpose as u64).rotate_right(16))
    }
}

/// Gives the memory back to the address sanitizer as it was.
impl<S: Shape<M, I>, M: Mode, I: SlotIndex> Drop for Segment<S, M, I> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: by S1 all slots are valid as long as the segment is.
        unsafe { poison::allow_access(self.base, self.slot_count as usize * self.shape.stride()) };
    }
}
