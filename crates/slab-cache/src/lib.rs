//! An object cache: boxes that free themselves from anywhere by masking their own address, over aligned
//! slabs that come and go.
//!
//! * [`SlabCache`] makes values; its handles can be cloned, and shared between threads.
//! * [`SlabBox`] owns one, is one pointer wide, and may outlive every handle.
//!
//! # Design
//!
//! A *slab* is a block aligned to its own size: a header, one bit per slot, and the slots. Slabs are
//! cut from *chunks* of up to 64, because a system allocator spends up to twice the memory on one block
//! that is aligned to its size; the chunk's record takes the place of the last slots of its last slab.
//!
//! **Allocating** takes the lowest bit of the *front*, a word of vacant slots of one slab. When the word
//! is used up, the front takes over what was freed in its slab meanwhile, else the fullest of the other
//! slabs with free slots, else one without values, else a new chunk; the source is called without the
//! lock. **Freeing** masks the address, clears the slot's bit, and counts. Each slab has a floor: when
//! its count gets there, the slab is moved to another of four lists by fullness, or given back.
//!
//! **With a lock**, freeing does not take it. The slot goes to a list in the slab's header by one
//! compare-and-swap, whoever frees it; the list's word also counts down to when somebody has to look
//! after the slab, which is about every sixteenth free and takes the lock. Targets without
//! compare-and-swap free under the lock.
//!
//! **With caches of threads** (feature `std`), `SlabCache::with_thread_caches`, each thread has a stack
//! of up to 32 slots for each cache, and moves 16 at a time, under the lock.
//!
//! **The end**: the core that handles and slabs point to counts handles, used slabs and chunks on their
//! way back to the source, all under the lock. Who ends the last of them ends the core.
//!
//! # Memory
//!
//! A slab of 4096 bytes has a header of 64 bytes with up to 63 slots, of which 63 of 64 bytes fill it;
//! 8 more bytes for each 64 slots. In `Hardened` mode it is 8 more, and 8 for each slot. Chunks start at four slabs, and add a 64th
//! to a large cache, up to 64 slabs or 256 KiB; where the source has no room for that, they are
//! smaller.
//!
//! A chunk without values goes back to the source at once, but for one. Memory that was given back and
//! had to be asked for again is kept the next time, so that a cache whose number of values swings
//! settles; [`SlabCache::reclaim`] gives back all there is, and forgets.
//!
//! # Checks
//!
//! Safe code cannot free a slot twice. What `unsafe` code gets wrong is found
//!
//! | mode | by a free | by an allocation |
//! |---|---|---|
//! | `Unchecked` | – | that a list of freed slots leaves the slab |
//! | `Checked` | that the slot is not live; with a lock, once the list of freed slots is read; with caches of threads, once the slot leaves the thread's | – |
//! | `Hardened` | that it is no slot, is not live, that the header was overwritten, or a byte behind the value; always under the lock | a byte of the slot that was written since it was freed |
//!
//! Finding something is a panic that names the address, without the lock. In `Hardened` mode, and in
//! `Checked` mode without a lock, a box that is freed wrongly is found before its value is dropped; else
//! a value with a destructor is dropped twice by then.
//!
//! # What is not used, and why
//!
//! | idea | instead | measured |
//! |---|---|---|
//! | `slab_core::Slots`: a free list in the dead slots | `slab_core::LiveWord` and `VacantWord` | a pair of `Slots` alone takes 67 instructions, checked 97; all of a pair here 35 and 47 |
//! | a lock for each free, or an atomic count of boxes | one compare-and-swap that links and counts | two atomic instructions alone took 14 ns where a pair here takes 10 |
//! | chunks that add an eighth to the cache | a 64th | 5 to 11 % of memory beyond the objects; 2.5 % |
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `alloc` | yes | the global allocator as the default memory source |
//! | `std` | no | caches of threads; needs `alloc` |
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(missing_debug_implementations)]

#[cfg(test)]
extern crate std;

mod boxed;
mod boxed_traits;
mod cache;
mod chunk;
mod chunks;

mod error;
mod front;
mod geometry;
mod guard;
mod lock;
#[cfg(feature = "std")]
mod magazine;
mod partial;
mod remote;
mod shared;
mod slab;
mod state;
mod stats;

pub use boxed::SlabBox;
pub use cache::SlabCache;
pub use error::{CacheError, Full};
pub use lock::NoLock;
pub use slab_core::{Checked, Hardened, Mode, Unchecked};
pub use slab_traits::Global;
pub use stats::Stats;

/// The examples of the README, run with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
