//! A byte heap over raw memory regions: any [`Layout`](core::alloc::Layout), any number of regions,
//! every free checked in constant time.
//!
//! [`SlabByteAllocator`] implements the traits of [`slab_traits`]: wrap it in a
//! [`Locked`](slab_traits::Locked) for a `GlobalAlloc` or an `Allocator`, or use its
//! [`PageAllocator`](slab_traits::PageAllocator) face.
//!
//! # Design
//!
//! A region is cut into *granules* of 1024 bytes. Beside them, outside the memory that users see,
//! lies one *line* of 32 bytes a granule. A line says what its granule belongs to:
//!
//! * a *segment*: up to 16 granules cut into at most 64 slots of one class. One word in the line of
//!   its first granule says which slots are live. There is no free list and nothing is written
//!   into dead slots, so a user who writes there damages nothing;
//! * a *block* larger than 4096 bytes, or aligned beyond a granule, or a run of *pages*;
//! * a *free run*, marked at both ends, so that it merges with its neighbours in constant time, and
//!   filed in a bin of runs of about its length.
//!
//! Granules that were never needed are *fresh*: they follow the region's *frontier*, and their lines are not
//! initialised yet. A request that no free run serves moves the frontier.
//!
//! **An allocation** finds its class in a table and takes the lowest vacant slot of the class's *active segment*. When
//! that is full, the class makes another segment the active one: one with vacant slots, or a new one.
//!
//! **A free** goes from the address to the region (the one used last, else a search), to the line,
//! to the segment's head, to the slot: by a multiplication that fails for a pointer into a slot.
//! The slot's bit in the live word is the double-free check. A segment whose last slot is freed
//! becomes the class's spare one, or its granules go back to the free runs. A freed run is
//! *cached* whole for the next request of its length; the cache is bounded in runs and in granules. Cached runs
//! are merged before many fresh granules are taken into use, and when memory is short.
//!
//! **When memory is short** spare segments and cached runs are made free, then segments are made as small as
//! can be, then a block borrows a slot of a larger class; only then the answer is `NoMemory`. A block that
//! shrinks stays where it is then. An empty heap makes all of its memory free before it serves a request.
//!
//! **The same operations** give blocks at the same offsets, on every machine, for regions of equal sizes, of two granules at
//! least, at addresses that are equal modulo the largest alignment asked for.
//!
//! **A fault** is a refused request or damaged memory: a [`Fault`], which is stored for
//! [`take_fault`](slab_traits::ByteAllocator::take_fault). No method panics for a mistake of the program.
//!
//! # A heap without classes
//!
//! [`UnitByteAllocator`] is a second heap, for those who count bytes or instructions of the worst case. It has no classes,
//! segments or headers: a block is a row of *units* of 16 bytes, and two bits per unit say where blocks and free runs start
//! and end (`Compact` has a third). Its policy is [`Compact`] or [`Bounded`].
//!
//! | | `SlabByteAllocator` | `UnitByteAllocator<Compact>` | `UnitByteAllocator<Bounded>` |
//! |---|---|---|---|
//! | choose it for | speed | the smallest memory | a bound for each request, and a [region that is never too small](UnitByteAllocator::region_for) |
//! | rounds a size up to | a class, at most a fifth more | 16 bytes | 16 bytes |
//! | bookkeeping | 3.1 % | 2.4 % | 1.6 % |
//! | checks a free's size to | its class | 16 bytes | 16 bytes |
//! | writes to freed memory | do not damage the heap | may damage the links of free memory; zeros and readable addresses are found before they do harm | as `Compact` |
//!
//! # Hot paths
//!
//! Everything a hot path asks of a class lies in one cache line; a line is read field by field,
//! because a wide load that follows a narrow store would wait for the cache.
#![no_std]
#![warn(missing_debug_implementations)]

#[cfg(test)]
extern crate std;

mod backing;
mod block;
mod class;
mod class_state;
mod error;
mod fault;
mod free;
mod growth;
mod hardened;
mod heap;
mod line;
mod pages;
mod quarantine;
mod region;
mod region_index;
mod region_set;
mod resize;
mod runs;
mod slack;
mod small;
mod units;
mod validate;

/// The examples of the README, compiled with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use error::Inconsistency;
pub use heap::SlabByteAllocator;
pub use slab_traits::Fault;
pub use units::{Bounded, Compact, Policy, UnitByteAllocator};
