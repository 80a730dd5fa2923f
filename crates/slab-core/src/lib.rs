//! The mechanism under the slab allocators of this workspace: what is the same in all of them,
//! and nothing that is a matter of policy.
//!
//! * [`layout`]: arithmetic on sizes, alignments and offsets, without pointers.
//! * [`Mode`]: how much an allocator checks, chosen by a type parameter.
//! * [`LiveMap`]: one bit per slot, beside a free list, that tells live slots from dead ones.
//! * [`VacantWord`]: the free slots of a small segment in one word, and their free list too.
//! * [`poison`]: makes dead memory visible to Miri, the sanitizers and [`Hardened`] mode.
//!
//! This crate never reads a value of the user's, never locks, and never asks anybody for memory.
#![no_std]
#![warn(missing_debug_implementations)]

#[cfg(test)]
extern crate std;

pub mod layout;
mod live_map;
mod mode;
pub mod poison;
mod vacant_word;

pub use live_map::{LiveMap, LiveSlots};
pub use mode::{Checked, Hardened, Mode, Unchecked};
pub use vacant_word::VacantWord;
