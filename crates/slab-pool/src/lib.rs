//! A pool of reusable I/O buffers: faster than an allocator, bounded in bytes, with statistics that do not contradict each
//! other.
//!
//! ```
//! use slab_pool::BufferPool;
//!
//! let pool = BufferPool::with_capacity(64);
//! let mut page = pool.acquire(10_000);
//! page.write_at(0, b"only these bytes are zeroed later")?;
//! let shared = page.freeze();
//! assert_eq!(&shared.slice(5..10)[..], b"these");
//! # Ok::<(), slab_pool::PoolError>(())
//! ```
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | *class* | a size of buffers, and its limits |
//! | *idle* | not handed out, and kept for the next acquire |
//! | *dirty* | written since it was last zeroed |
//! | *magazine* | a bounded stack of idle buffers of one class |
//! | *depot*, *shard* | the magazines that all threads share, and a part of them behind one lock |
//! | *reservation* | the right to keep one idle buffer |
//! | *sweep*, *trim*, *epoch* | freeing what was not needed, freeing everything idle, and the count of both |
//! | *gate* | the limit of outstanding bytes, and the queue in front of it |
//! | *key* | a pool and a class in one word |
//! | *arena*, *slot* | one mapping for the buffers of all classes, and the part of one buffer |
//! | *chain* | parts of several buffers that are read and written in turn |
//! | *core* | the part that handles, buffers and thread caches of a pool share |
//!
//! # Design
//!
//! **A buffer** is a block of aligned memory and a header; its handle, [`PooledBuffer`], is one pointer. The header records how
//! many of the first bytes are dirty. Memory is zeroed when it is allocated, and later only the dirty bytes are zeroed again,
//! when an acquire requests zeroes. The same word records a changed length. An acquire reads that word anyway and
//! undoes both, so a release undoes nothing.
//!
//! **An acquire** finds the key of the size's class in a table, and takes a buffer from the thread's own magazine of that class. The
//! comparison of the key with that of the thread's last pool also fails if the size has no class, or if the slow path
//! is needed for another reason. **A release** does the same with the key in the header. Neither needs an atomic
//! read-modify-write; both take 38 instructions together. The newest buffer of a magazine has its own place above the stack,
//! with its own counter, so that a thread that uses one buffer at a time never waits for a counter that it has just stored.
//!
//! **When the magazine is empty or full** the thread exchanges it with its previous one, or with the depot, whose locks it
//! only tries. If all are taken, it allocates or frees instead. Hence these paths never wait for another thread, also not after a
//! fork while another thread held a lock.
//!
//! **Idle memory is bounded** by reservations, of buffers per class and of bytes for all: an idle buffer holds one, and so does the empty
//! room in a thread's magazine. There are as many as the capacity, so it is never exceeded. Buffers that stay idle are freed by
//! sweeps, which threads that use the pool carry out.
//!
//! **The limit of outstanding bytes** is a gate in front of all this. Each acquire and release passes it with one
//! read-modify-write. Requests over the limit, of threads and of futures, wait in one queue and are served in order.
//!
//! **Statistics** are counters that one thread writes, without read-modify-writes, and that a query sums.
//! The number of allocations is the sum of recycles and misses and not a third counter, so they cannot contradict each other.
//!
//! # Limits of the design
//!
//! It has no thread in the background: if no thread uses the pool, nothing is swept until one calls
//! [`decay`](BufferPool::decay) or [`trim`](BufferPool::trim). Other threads cannot reach into a thread's own cache; it is
//! emptied when that thread next releases a buffer, or ends.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `arena` | no | buffers in one mapping, for registration with `io_uring`; on Unix |
//! | `bytes` | no | `bytes::BufMut` for buffers, `bytes::Buf` for shared ones, and conversion into `bytes::Bytes` |
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(missing_debug_implementations)]

/// The examples of the README, compiled with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

// The modules from the bottom up: each uses only those above it in this list.

mod error; // The errors, with their numbers.
mod leaks; // The list of the buffers that are handed out, on request.
mod stats; // The statistics that users read.
mod sync; // Atomics and a lock, replaced in models.

#[doc(hidden)]
pub mod gate; // The limit of outstanding bytes and its queue.
#[doc(hidden)]
pub mod magazine; // Free items per thread and in the depot; knows nothing of buffers.

#[doc(hidden)]
pub mod vacancy; // Numbers that are taken and put back without a lock.

#[cfg(all(feature = "arena", unix))]
mod arena; // One mapping for many buffers. Unsafe.
#[cfg(not(all(feature = "arena", unix)))]
#[path = "no_arena.rs"]
mod arena; // None.

mod block; // Aligned, initialised memory. Unsafe.
mod changes; // How a buffer differs from a new one, in one word.
mod key; // A pool and a class in one word.

mod buffer; // Memory and its header.
mod classes; // From a size to its class and key.
mod settings; // The choices that a pool offers.

mod core; // The part that handles, buffers and thread caches of a pool share.
mod pool_cache; // One thread's cache of one pool.
mod thread_caches; // All caches of a thread, and the pointer of the hot path. Unsafe.

mod decay; // Sweeps that threads carry out while they use the pool.

mod obtain; // The slow path of an acquire.
mod release; // The hot path and the slow path of a release.
mod wait; // Threads that wait for the gate.

mod owner; // The two ways to own a buffer: alone, or counted. Unsafe.
mod pooled; // The handle of a buffer with one owner.

#[cfg(feature = "bytes")]
mod buf_mut; // `bytes::BufMut` for it. Unsafe.
mod cursor; // Reading and writing it at a position.
mod shared; // The handle of a part of a buffer that is only read.

mod chain; // A sequence of such parts.

mod open; // A pool that is open, and the hot path of an acquire.

mod future; // Futures that wait for the gate.
mod pool; // The pool's handle.

mod builder; // Its constructors.

#[cfg(all(feature = "arena", unix))]
pub use arena::{Arena, ArenaPages, ArenaRefusal, ArenaRequest, ArenaSettings};
pub use builder::BufferPoolBuilder;
pub use chain::BufferChain;
pub use cursor::Cursor;
pub use error::PoolError;
pub use future::AcquireFuture;
pub use leaks::Outstanding;
pub use pool::BufferPool;
pub use pooled::PooledBuffer;
pub use settings::{Oversize, Zeroing};
pub use shared::SharedBuffer;
pub use stats::{BufferPoolStats, ClassStats, DetailedStats};
