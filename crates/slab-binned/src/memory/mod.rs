//! Memory that a [`BlockAllocator`](crate::BlockAllocator) acquires: rows of plain values and chunks of bytes.
//! Neither moves or is copied, and neither can be reached past its end.

// From the bottom up: values, a chunk, tapes that keep old values, and what they watch.
mod plain;

mod chunk;

mod tape;

mod rows;

mod chunks;

mod store;

pub use store::Store;
#[cfg(feature = "alloc")]
pub use store::{ChunkMemory, ReplacedChunk, StoreMark};
#[cfg(feature = "alloc")]
pub use tape::{ChunkEntry, Watched};
pub use tape::{Unwatched, Watch};
