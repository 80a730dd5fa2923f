//! Values of one type behind handles that outlive compaction.
#![no_std]
#![warn(missing_debug_implementations)]

#[cfg(feature = "serde")]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod defragment;
mod entry;
mod error;
mod geometry;
mod handle;
mod iter;
mod locate;
mod memory;
mod memory_policy;
mod secondary;
#[cfg(feature = "serde")]
mod serde;
mod slab;
mod storage;

pub use entry::VacantEntry;
pub use error::{Inconsistency, InsertError, SlabError};
pub use handle::{Key, SlotHandle, TypedHandle};
pub use iter::{Drain, IntoIter, Iter, IterMut};
pub use memory::Global;
pub use secondary::SecondaryMap;
pub use slab::SlabAllocator;
