//! A byte heap over raw memory regions.
#![no_std]
#![warn(missing_debug_implementations)]

#[cfg(test)]
extern crate std;

mod block;
mod class;
mod error;
mod front;
mod heap;
mod line;
mod pages;
mod region;
mod region_set;
mod runs;
mod validate;

pub use error::{FreeError, Inconsistency};
pub use heap::SlabByteAllocator;
