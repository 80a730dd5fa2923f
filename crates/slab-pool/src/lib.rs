//! Buffer pool for I/O: reusable size-classed buffers with per-thread magazines, bounded memory, backpressure and honest statistics.
#![warn(missing_debug_implementations)]

mod buffer;
mod cache;
mod classes;
mod config;
mod core;
mod cursor;
mod error;
#[doc(hidden)]
pub mod gate;
mod leaks;
#[doc(hidden)]
pub mod magazine;
mod pool;
mod pooled;
mod raw;
mod release;
mod shared;
mod stats;
mod sync;
mod wait;

pub use config::{BufferPoolBuilder, Oversize, Zeroing};
pub use cursor::Cursor;
pub use error::PoolError;
pub use leaks::Outstanding;
pub use pool::BufferPool;
pub use pooled::PooledBuffer;
pub use shared::SharedBuffer;
pub use stats::{BufferPoolStats, ClassStats, DetailedStats};
pub use wait::AcquireFuture;
