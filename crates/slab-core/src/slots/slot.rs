//! Ownership of a slot.
#![expect(unsafe_code, reason = "a slot is sole ownership of raw memory")]

use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::slice;

use thiserror::Error;

use super::error::SlotError;

/// Sole ownership of one slot, without a value. Only a segment can make one.
///
/// A dropped token loses its slot until the segment is dropped, so push it back. A value written into the
/// slot is never dropped.
///
/// # Invariants
///
/// - **T1 (sole)**: the slot is live in its segment, and no other `Slot` names it.
/// - **T2 (memory)**: the slot is valid for reads and writes of a `T` while this exists, as the safety
///   contract of the segment's constructor demands.
#[must_use = "a slot that is dropped is lost until its segment is dropped"]
#[repr(transparent)]
pub struct Slot<T: ?Sized>(NonNull<T>);

// SAFETY: by T1 only the owner of the token uses the slot. A `T` in the slot is sent with it.
unsafe impl<T: ?Sized + Send> Send for Slot<T> {}
// SAFETY: a `&Slot` gives only the address.
unsafe impl<T: ?Sized> Sync for Slot<T> {}

impl<T: ?Sized> Slot<T> {
    /// Makes the token of a slot that was just marked as live.
    ///
    /// # Safety
    ///
    /// T1 and T2 hold.
    #[inline]
    pub(super) unsafe fn new(start: NonNull<T>) -> Self {
        Self(start)
    }

    /// Returns a pointer to the slot, which this token still owns.
    #[inline]
    pub fn as_ptr(&self) -> NonNull<T> {
        self.0
    }

    /// Gives up the token and returns a pointer to the slot, to be given back with
    /// [`try_push_slot`](super::Segment::try_push_slot).
    #[inline]
    pub fn into_ptr(self) -> NonNull<T> {
        self.0
    }
}

impl<T> Slot<T> {
    /// Returns the slot's memory.
    #[inline]
    pub fn as_uninit_mut(&mut self) -> &mut MaybeUninit<T> {
        // SAFETY: the slot is valid by T2 and this token's alone by T1; every content is a valid
        // `MaybeUninit`.
        unsafe { self.0.cast::<MaybeUninit<T>>().as_mut() }
    }
}

impl Slot<[u8]> {
    /// Returns the slot's memory.
    #[inline]
    pub fn as_uninit_mut(&mut self) -> &mut [MaybeUninit<u8>] {
        let bytes = self.0.cast::<MaybeUninit<u8>>().as_ptr();
        // SAFETY: the slot is valid by T2 and this token's alone by T1; every content is a valid
        // `MaybeUninit`.
        unsafe { slice::from_raw_parts_mut(bytes, self.0.len()) }
    }
}

impl<T: ?Sized> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slot").field(&self.0).finish()
    }
}

/// A slot that a segment refused to take back, and the reason.
#[derive(Error)]
#[error("{error}")]
pub struct Rejected<T: ?Sized> {
    slot: Slot<T>,
    error: SlotError,
}

impl<T: ?Sized> Rejected<T> {
    pub(super) fn new(slot: Slot<T>, error: SlotError) -> Self {
        Self { slot, error }
    }

    /// Returns why the segment refused the slot.
    pub fn error(&self) -> &SlotError {
        &self.error
    }

    /// Returns the slot.
    pub fn into_slot(self) -> Slot<T> {
        self.slot
    }
}

impl<T: ?Sized> fmt::Debug for Rejected<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejected").field("slot", &self.slot).field("error", &self.error).finish()
    }
}
