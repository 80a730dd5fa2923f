//! Memory that a [`BinnedAllocator`](crate::BinnedAllocator) acquires: rows of plain values and
//! chunks of bytes. Neither ever moves or is copied, and neither can be reached past its end.

mod chunks;
mod rows;
mod store;

pub use chunks::Chunks;
pub use rows::{Plain, Rows};
pub use store::Store;
