//! The mechanism under the slab allocators of this workspace: what is the same in all of them,
//! and nothing that is a matter of policy.
//!
//! * [`layout`]: arithmetic on sizes, alignments and offsets, without pointers.
//! * [`Mode`]: how much an allocator checks, chosen by a type parameter.
//! * [`Slots`] and [`ErasedSlots`]: a segment of slots over a buffer of the caller's.
//! * [`FreeList`]: a list of dead slots whose links lie in them, over any [`SlotSpace`].
//! * [`LiveMap`]: one bit per slot, beside a free list, that tells live slots from dead ones.
//! * [`VacantWord`] and [`LiveWord`]: the slots of a small segment in one word, without a free list.
//! * [`poison`]: makes dead memory visible to Miri, the sanitizers and [`Hardened`] mode.
//! * [`OnDrop`]: a last step that also runs when code of the user unwinds.
//! * [`mix64`]: mixing of one 64-bit word, for canaries and checksums.
//! * [`sync`]: the atomics of `core`, or of loom in its models.
//!
//! This crate never reads a value of the user's, never locks, and never asks anybody for memory.
#![no_std]
#![warn(missing_debug_implementations)]

#[cfg(test)]
extern crate std;

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod free_list;
pub mod layout;
mod live_map;
mod mix;
mod mode;
mod on_drop;
pub mod poison;
mod slot_word;
mod slots;
pub mod sync;

pub use free_list::{CorruptLink, FreeList, SlotIndex, SlotSpace};
pub use live_map::{LiveMap, LiveSlots};
pub use mix::mix64;
pub use mode::{Checked, Hardened, Mode, Tracking, Unchecked};
pub use on_drop::OnDrop;
pub use slot_word::{LiveWord, VacantWord};
pub use slots::{
    Erased, ErasedSlots, Rejected, Segment, Shape, Slot, SlotError, Slots, SlotsState, Typed,
};
