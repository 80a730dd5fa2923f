//! The contents of a slot: a value while it is live, a link while it is dead and listed.
#![expect(unsafe_code, reason = "poisons dead bytes for Miri and the sanitizers")]

use core::mem::ManuallyDrop;
use core::ptr::NonNull;

use slab_core::{Checked, poison};

/// A position in the list of vacant slots: the depth below, the index above, in one word, so that one store copies both.
/// Alignment 4, so that slots of small values are not padded for it.
#[derive(Debug, Clone, Copy)]
#[repr(C, packed(4))]
pub(super) struct Link(u64);

impl Link {
    pub const END: Self = Self(0);

    /// The number of slots on the list from here on.
    #[inline]
    pub const fn depth(self) -> u32 {
        self.0 as u32
    }

    /// The slot, unless `depth` is zero.
    #[inline]
    pub const fn index(self) -> u32 {
        (self.0 >> u32::BITS) as u32
    }

    /// A link to a slot that links to `self`.
    #[inline]
    pub const fn to(self, index: u32) -> Self {
        Self((index as u64) << u32::BITS | (self.depth() + 1) as u64)
    }
}

/// A slot: a value while it is live, a link while it is dead and listed. Both are reached through casts of pointers to
/// it; this type only gives size and alignment.
#[expect(dead_code, reason = "the fields are read and written through casts")]
pub(super) union Slot<T> {
    value: ManuallyDrop<T>,
    link: Link,
}

/// Poisons a dead slot for Miri and the sanitizers, except for the link in it.
///
/// # Safety
///
/// The caller owns the slot, which holds no value.
#[inline]
pub(super) unsafe fn retire_bytes<T>(slot: NonNull<Slot<T>>) {
    // SAFETY: the caller owns the slot's bytes, and a slot begins with its link.
    unsafe {
        poison::poison::<Checked>(slot.cast(), size_of::<Slot<T>>());
        poison::allow_access(slot.cast(), size_of::<Link>());
    }
}
