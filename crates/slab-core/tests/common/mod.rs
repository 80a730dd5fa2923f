//! Helpers that the tests of segments share.
#![allow(dead_code, reason = "not every test uses all of it")]

use slab_core::{CorruptLink, Mode, Segment, Shape, Slot, SlotIndex, Slots};
use slab_testkit::Arena;

/// The size of a small buffer.
pub const FEW_BYTES: usize = if cfg!(miri) { 90 } else { 410 };

/// Hands out all slots.
pub fn pop_all<S: Shape<M, I>, M: Mode, I: SlotIndex>(
    slots: &mut Segment<S, M, I>,
) -> Vec<Slot<S::Block>> {
    core::iter::from_fn(|| slots.try_pop_slot().ok()).collect()
}

/// Returns slots over a whole arena. The caller keeps the arena longer than the slots.
pub fn slots_in<T, M: Mode, I: SlotIndex>(arena: &Arena) -> Slots<T, M, I> {
    let region = arena.region();
    // SAFETY: the arena owns the memory, and each test makes one segment in it.
    let slots = unsafe { Slots::new(region.cast(), region.len()) };
    slots.expect("the arena holds at least one slot")
}

pub fn link_of(slot: u16, link: u16) -> CorruptLink {
    CorruptLink { slot: slot.into(), link: link.into() }
}

/// A link in a slot, at any address.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct Unaligned(pub u16);
