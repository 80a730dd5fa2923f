//! What the tests of segments share.
#![allow(dead_code, reason = "not every test uses all of it")]

use slab_core::{CorruptLink, Mode, SlotIndex, Slots};
use slab_testkit::Arena;

/// Returns slots over a whole arena, which the caller keeps longer than them.
pub fn slots_in<T, M: Mode, I: SlotIndex>(arena: &Arena) -> Slots<T, M, I> {
    let region = arena.region();
    // SAFETY: the arena owns the memory, and each test makes one segment in it.
    let slots = unsafe { Slots::new(region.cast(), region.len()) };
    slots.expect("the arena holds at least one slot")
}

pub fn link_of(slot: u16, link: u16) -> CorruptLink {
    CorruptLink { slot: slot.into(), link: link.into() }
}

/// A link as it lies in a slot.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct Unaligned(pub u16);
