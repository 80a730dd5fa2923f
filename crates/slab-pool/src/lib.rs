//! A pool of reusable I/O buffers: faster than an allocator, bounded in bytes, honest in its statistics.
//!
//! ```
//! use slab_pool::BufferPool;
//!
//! let pool = BufferPool::new(64);
//! let mut page = pool.acquire(10_000);
//! page.write_at(0, b"only these bytes are cleared later")?;
//! let shared = page.freeze();
//! assert_eq!(&shared.slice(5..10)[..], b"these");
//! # Ok::<(), slab_pool::PoolError>(())
//! ```
//!
//! # Design
//!
//! **A buffer** is a block of aligned memory and a header; its handle, [`PooledBuffer`], is one pointer. The header notes
//! how far the block was written to: memory is zeroed when it is allocated, and from then on only what was dirtied
//! is cleared, when somebody asks for zeroes. The same word notes a changed length, which an acquire restores when it has
//! to look closer anyway: a release does nothing about either.
//!
//! **An acquire** finds the size's class in a table, and takes a buffer from the thread's own stack of that class. The pool's
//! identity and the class are one word, a *key*: without the key of the thread's last pool it is a shelf number, or
//! too large to be one if the pool is another, or if there is anything unusual to do. One comparison asks it all. **A
//! release** does the same with the key in the header. Neither needs an atomic read-modify-write; both take 38
//! instructions together. One buffer lies in front of the stack, with a word of its own that says so: a thread that uses one
//! at a time then never waits for a counter that it has just written.
//!
//! **When the stack is empty or full** the thread swaps whole magazines with its previous one, or with the depot: racks
//! behind locks that are only ever tried. Who finds them all taken allocates or frees instead; nothing on these
//! ways waits for another thread, also not after a fork that caught one with a lock in its hand. A thread that only
//! releases fills racks that a thread that only acquires empties.
//!
//! **What is idle is paid for in credits**, of buffers per class and of bytes for all: an idle buffer holds one, and so does the empty
//! room on a thread's stack. There are as many as the capacity, so it is never exceeded.
//!
//! **A limit of outstanding bytes** is a gate in front of all this, which every acquire and release passes by one
//! read-modify-write. Those who wait, threads and futures, stand in one queue and are let in in order.
//!
//! **Statistics** are counters that one thread writes, without read-modify-writes, and that are summed when somebody asks.
//! The number of allocations is the sum of recycles and misses, not a third counter, so they cannot contradict one another.
//!
//! # What it does not do
//!
//! It has no thread of its own: idle memory decays when somebody comes by, or calls
//! [`decay`](BufferPool::decay). A thread's own stack is out of reach for others; it is emptied when that thread next
//! releases a buffer, or ends.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `bytes` | no | `bytes::BufMut` for buffers, and conversion into `bytes::Bytes` |
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(missing_debug_implementations)]

/// The examples of the README, compiled with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

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
