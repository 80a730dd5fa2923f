//! The parts that slab allocators share: arithmetic, words, lists, marks for tools, and a segment of slots.
//! Policy is left to the crates above.
//!
//! Its modules, from the bottom up:
//!
//! * [`layout`]: arithmetic on sizes, alignments and offsets, without pointers.
//! * `mix`: [`mix64`] mixes one 64-bit word, for canaries and checksums.
//! * `inconsistency`: [`Inconsistency`] is the error of `validate` methods.
//! * [`sync`]: the atomics of `core`, or of loom in its models.
//! * `on_drop`: [`OnDrop`] runs a last step, also when code of the user unwinds.
//! * `mode`: [`Mode`] is a type parameter that says how much an allocator checks.
//! * [`poison`]: tells Miri and the sanitizers which memory is dead; [`Hardened`] mode fills it.
//! * [`canary`]: a word behind a block, by which a write past the end of the block is found.
//! * `slot_word`: [`VacantWord`] and [`LiveWord`], the vacant or live slots among at most 64 as one word.
//! * `live_map`: [`LiveMap`], one bit per slot for any number of slots, in memory from the caller.
//! * `free_list`: [`FreeList`] links dead slots through their own memory, which a [`SlotSpace`] finds.
//! * `slots`: [`Slots`] and [`ErasedSlots`], a buffer from the caller divided into slots of one size.
//!
//! A *slot* is a cell for one object: *live* while it is handed out, else *dead*, or *vacant* in a word. A
//! *token* ([`Slot`]) is sole ownership of a live slot.
//!
//! This crate never reads a value of the user, never locks and never allocates.
#![no_std]
#![warn(missing_debug_implementations)]

#[cfg(test)]
extern crate std;

/// Compiles the README's example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod canary;
mod free_list;
mod inconsistency;
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
pub use inconsistency::Inconsistency;
pub use live_map::{LiveMap, LiveSlots};
pub use mix::mix64;
pub use mode::{
    Absent, Checked, Exhaustive, Hardened, Initial, Mode, Optional, Present, Tracking, Unchecked,
};
pub use on_drop::OnDrop;
pub use slot_word::{LiveWord, VacantWord};
pub use slots::{
    Erased, ErasedSlots, Rejected, Segment, Shape, Slot, SlotError, Slots, SlotsState, Typed,
};
