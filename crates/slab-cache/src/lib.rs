//! An object cache: boxes and counted pointers that are one pointer wide and free themselves on any thread, over
//! aligned slabs that are allocated and returned as needed.
//!
//! * [`SlabCache`] stores values; its handles can be cloned. [`SharedCache`] is for several threads.
//! * [`SlabBox`] owns one value, is one pointer wide, and may outlive every handle.
//! * [`SlabRc`] and [`SlabArc`] are owners of one value, with the count in its slot. Both are [`SlabCounted`].
//! * [`SlabCache::of`] makes values of several types in one cache; [`WithSlots`] says how large they may be.
//! * [`coerce!`](crate::coerce) turns a box or a counted pointer into one of a trait object or a slice.
//! * [`Config`] chooses lock, mode, memory source and slab size, where the defaults do not fit.
//!
//! # Modules
//!
//! From the bottom up; each module uses those above it only:
//!
//! | module | |
//! |---|---|
//! | `error` | requests that are refused, and misuse that is detected |
//! | `lock`, `config` | the locks of the crate; what a cache is made of |
//! | `remote` | the *remote free list* of a slab: slots that any thread frees without the lock |
//! | `slab`, `geometry` | the header and the live map of a slab; how it is divided into slots |
//! | `guard` | checksums, canaries and poison |
//! | `active` | the *active slab*, and the slots of it that are allocated next |
//! | `partial` | lists of slabs by fullness |
//! | `chunk`, `chunks` | blocks of the memory source, cut into slabs; all chunks of a cache |
//! | `exits` | finds the last thread inside a cache without handles and values |
//! | `stats`, `state` | what the lock protects, and the policy: which slab is next, which chunk is returned |
//! | `ids`, `magazine`, `anchor`, `thread_cache` | with `std`: the slots that each thread keeps |
//! | `shared` | the *core*: the lock, the state behind it and the source |
//! | `entry` | a thread that takes the lock without a handle, and its deferred work |
//! | `alloc`, `free` | the paths of an allocation and of a free, hot and cold |
//! | `handle`, `counts`, `coerce` | a handle of the core; how counted pointers count; conversions to `dyn Trait` |
//! | `boxed`, `counted`, `boxed_traits`, `cache`, `admin` | the public types |
//!
//! # Design
//!
//! A *slab* is a block aligned to its own size: a header, one bit per slot, and the slots. Slabs are cut from
//! *chunks* of up to 64 slabs, because a system allocator spends up to twice the memory on one block that is
//! aligned to its size. The metadata of a chunk takes the place of the last slots of its last slab.
//!
//! **Allocating** takes the lowest bit of a word of vacant slots of the *active slab*. When the word is used up, the
//! cache takes another word of the active slab, else it makes the fullest slab with free slots the active one, else
//! an empty slab, else it requests a chunk. The source is called without the lock.
//!
//! **Freeing** masks the address, clears the slot's bit, and decrements the slab's count. Each slab has a
//! threshold: when its count falls to it, the slab is *relisted*, which moves it to another of four lists by
//! fullness, or makes it empty. Empty chunks are returned to the source.
//!
//! **A slab is divided** by size and alignment of its values. A box computes the division from its value, which may
//! be a trait object, or from the configuration, if that describes slots for several types. For a type that is known
//! the compiler does this, so that a free reads nothing but the slab's header.
//!
//! **With a lock**, freeing does not take it. A free on any thread pushes the slot to the remote free list in the
//! slab's header by one compare-and-swap. The same word counts down to the threshold: about every sixteenth free
//! takes the lock to relist the slab. Targets without compare-and-swap free under the lock.
//!
//! **With thread caches** (feature `std`, `SlabCache::with_thread_caches`), each thread keeps up to 64 slots of each
//! cache in a *magazine*, and moves 32 at a time under the lock.
//!
//! **The end**: handles and slabs point to the *core*. Under the lock the core counts handles, used slabs, and
//! threads that enter without a handle. The cache is dead once it has no handle and no used slab. The last thread
//! that leaves a dead cache frees the core, after its call of `unlock` has returned: a lock may use its own memory
//! after other threads can take it.
//!
//! # Memory
//!
//! A slab of 4096 bytes has a header of 64 bytes for up to 64 slots, and 8 more bytes for each further 64 slots; 63
//! slots of 64 bytes fill it. `Hardened` mode adds 8 bytes per slab and 8 bytes per slot. The first chunks have four
//! slabs, later ones a 64th of the cache's slabs: at most 64 slabs and 256 KiB, or eight slabs where these are longer.
//! If the source refuses a chunk, the cache requests half of it, down to one slab (two slabs if the metadata leaves
//! no slot).
//!
//! The cache keeps one chunk without values and returns others to the source at once. If it has to request memory
//! again, it keeps that much the next time, so that a cache whose size goes up and down stops calling the source.
//! [`SlabCache::trim`] returns all chunks without values, and resets what is kept.
//!
//! With thread caches, a thread has a list of 536 bytes for each cache up to the one with the highest id that it
//! frees into. A new cache gets the lowest free id.
//!
//! # Your code
//!
//! Sources, destructors and closures are called without the lock. All of them, and the lock, may use the same cache.
//! If one of them panics, the panic reaches the caller, and the cache stays usable:
//!
//! | panics | then |
//! |---|---|
//! | the source, in an allocation | the value is dropped, the closure was not called, and nothing else has changed |
//! | the source, in a deallocation | the other chunks and the core are deallocated all the same |
//! | a destructor, or a closure of [`alloc_with`](SlabCache::alloc_with) | the slot is free |
//! | the lock, before it is taken | the slot of a box that is dropped may stay in use; a handle that is dropped stays counted |
//! | the lock, after it is released | the slot of a value that was to be stored stays in use |
//!
//! A second panic during unwinding aborts the program, and so does a panic when a thread ends and frees the slots that
//! it keeps: that is Rust's rule for destructors. A source that returns less memory than requested, and a lock that
//! admits two threads, violate the contract of their `unsafe` traits.
//!
//! # Checks
//!
//! Safe code cannot free a slot twice. The checks of `Hardened` mode for writes past the end are at the end of the
//! slot where values of several types share slots. Misuse by `unsafe` code is detected as follows:
//!
//! | mode | a free detects | an allocation detects |
//! |---|---|---|
//! | `Unchecked` | – | a link of a remote free list that leaves the slab |
//! | `Checked` | a slot that is not live; with a lock, when the remote free list is collected; with thread caches, when the slot leaves the magazine | – |
//! | `Hardened` | a pointer that is no slot, a slot that is not live, an overwritten header, a byte written behind the value; always under the lock | a byte of the slot that was written after it was freed |
//!
//! Misuse ends in a panic that names the address. The lock is not held then. In `Hardened` mode, and in `Checked`
//! mode without a lock, a box that is freed twice is detected before its value is dropped; otherwise a value with a
//! destructor was dropped twice by then.
//!
//! # Alternatives that were measured
//!
//! | idea | instead | measured |
//! |---|---|---|
//! | `slab_core::Slots`: a free list in the free slots | `slab_core::LiveWord` and `VacantWord` | a pair of `Slots` alone takes 67 instructions, checked 97; all of a pair here 35 and 47 |
//! | a lock for each free, or an atomic count of boxes | one compare-and-swap that links and counts | two atomic instructions alone took 14 ns where a pair here takes 10 |
//! | a word for the division of the slab in its header | computing it from the value's layout | 62 slots of 64 bytes in a slab; 63 |
//! | batches of 16 slots between a thread and the slabs | batches of 32 | boxes passed to another thread 130 to 195 ns; 96 to 115 ns |
//! | chunks that add an eighth to the cache | a 64th | 5 to 11 % of memory beyond the objects; 2.5 % |
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `alloc` | yes | the global allocator as the default memory source |
//! | `std` | no | thread caches; needs `alloc` |
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
// Without allocator-api2's feature `nightly` the crate names no unstable trait.
#![cfg_attr(unstable_allocator, feature(allocator_api), allow(unused_features))]
#![warn(missing_debug_implementations)]

#[cfg(test)]
extern crate std;

mod error;

mod lock;

mod config;

mod remote;

mod slab;

mod geometry;

mod guard;

mod active;

mod partial;

mod chunk;

mod chunks;

mod exits;

mod stats;

mod state;

#[cfg(feature = "std")]
mod ids;

#[cfg(feature = "std")]
mod magazine;

#[cfg(feature = "std")]
mod anchor;

#[cfg(feature = "std")]
mod thread_cache;

mod shared;

mod entry;

mod alloc;

mod free;

mod counts;

mod coerce;

mod boxed;

mod counted;

mod boxed_traits;

mod handle;

mod cache;

mod admin;

pub use boxed::SlabBox;
pub use cache::SlabCache;
#[cfg(target_has_atomic = "8")]
pub use cache::{SharedBox, SharedCache};
pub use coerce::{Coercion, OnlyConverts};
#[cfg(target_has_atomic = "8")]
pub use config::SharedConfig;
pub use config::{Config, DefaultConfig, WithLock, WithSlots, WithSource};
#[cfg(target_has_atomic = "ptr")]
pub use counted::SlabArc;
pub use counted::{Counted, SlabCounted, SlabRc};
#[cfg(target_has_atomic = "ptr")]
pub use counts::AtomicCount;
pub use counts::{Count, LocalCount};
pub use error::{CacheError, Full};
#[cfg(target_has_atomic = "8")]
pub use lock::SpinLock;
pub use lock::{LocalLock, NoLock};
pub use slab_core::{Checked, Hardened, Mode, Unchecked};
pub use slab_traits::Global;
pub use stats::Stats;

/// The examples of the README, run with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
