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
//! **The end**: handles and slabs point to the *core*, which holds the lock, the state behind it and the
//! source. Under the lock it counts handles, used slabs and the threads that enter without a handle: those
//! that free, and those that drop a handle. The cache is dead once there is no handle and no used slab. The
//! core is freed by the last thread that leaves a dead cache, after its call of `unlock` has returned: a lock
//! may use its own memory after others can take it.
//!
//! # Memory
//!
//! A slab of 4096 bytes has a header of 64 bytes for up to 64 slots, and 8 more bytes for each further 64
//! slots; 63 slots of 64 bytes fill it. `Hardened` mode adds 8 bytes a slab and 8 bytes a slot. A chunk has
//! four slabs at first, and a 64th of the cache's slabs later: up to 64 slabs and 256 KiB, but eight slabs
//! where these are longer. Where the source refuses a chunk, the cache asks for half of it, down to one slab
//! (two slabs where the record leaves no slot).
//!
//! A chunk without values goes back to the source at once, except one. Memory that was given back and then
//! requested again is kept the next time, so that a cache whose number of values swings stops asking;
//! [`SlabCache::reclaim`] gives back all chunks without values, and forgets that.
//!
//! With caches of threads, a thread has a list of 280 bytes for each cache up to the highest-numbered one
//! that it frees into. A cache has the lowest number that no other cache with caches of threads has.
//!
//! # Your code
//!
//! No source, destructor or closure is called with the lock held, and all of them, and the lock, may use the
//! same cache. If one of them panics, the panic reaches the caller, and the cache stays usable:
//!
//! | panics | then |
//! |---|---|
//! | the source, asked for memory | the value is dropped, the closure was not called, nothing else has changed |
//! | the source, given memory back | the other chunks and the core are given back all the same |
//! | a destructor, a closure of [`alloc_with`](SlabCache::alloc_with) | the slot is free |
//! | the lock, before it is taken | the slot of a box that is dropped may stay in use, a handle that is dropped stays counted |
//! | the lock, after it is released | the slot of a value that was to be stored stays in use |
//!
//! A second panic while one unwinds ends the program, as does a panic when a thread ends and gives back what it
//! keeps: that is Rust's rule for destructors. A source that returns less than it was asked for, and a lock that
//! admits two threads, break the contract of their `unsafe` traits.
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
// Without allocator-api2's feature `nightly` the crate names no unstable trait.
#![cfg_attr(unstable_allocator, feature(allocator_api), allow(unused_features))]
#![warn(missing_debug_implementations)]

#[cfg(test)]
extern crate std;

mod boxed;
mod boxed_traits;
mod cache;
mod chunk;
mod chunks;
mod error;
mod exits;
mod front;
mod geometry;
mod guard;
mod handle;
#[cfg(feature = "std")]
mod ids;
mod inside;
mod lock;
#[cfg(feature = "std")]
mod magazine;
mod on_drop;
mod partial;
mod release;
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
