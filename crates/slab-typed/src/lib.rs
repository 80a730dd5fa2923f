//! Values of one type behind 8-byte handles that outlive compaction.
//!
//! * [`SlabAllocator`] keeps the values, [`SlotHandle`] names one, and [`TypedHandle`] makes a handle
//!   of one map a compile error on another.
//! * [`SecondaryMap`] keeps more values behind the same handles.
//!
//! # Design
//!
//! A slab is a row of *chunks* of at most 1024 slots; a chunk is one block of memory, its generations
//! first and its slots behind them. The *directory* holds the start of each chunk. A handle is an
//! index, 22 bits for the chunk and 10 for the slot, and a generation.
//!
//! **Looking up** loads the chunk's start and the slot's generation, and compares that with the
//! handle's. Generations are odd while the slot is live, and so are those of handles, so that one
//! compare finds dead and stale alike. A chunk that was released starts, for the directory, at a
//! static table of zeroes: a handle into it is found stale by the same compare.
//!
//! **Storing** takes the slot freed last, from a list whose links lie in the dead slots and say how
//! long the list is; else the next slot that was never filled. **Freeing** moves the generation on and
//! puts the slot on the list. For slots that were never filled the handle given out next is kept ready,
//! so that storing there reads nothing of the chunk. No count is kept besides: the list's length says how many values there
//! are, and which slots are live is what their generations say. A pass over 64 generations at a time
//! finds them for iteration; while nothing is vacant, iteration does not look at all. A bit for each chunk says
//! whether it is held, and a bit for 64 of these whether any is: so a pass goes from one held chunk to the next.
//!
//! **Releasing** a slab keeps the highest of its generations, from which the id's next life starts. So
//! a stale handle stays stale for ever. A slot has 2³¹ − 1 lives; then it is *retired*, and its id when
//! the slab is released. Ids that were forgotten by [`shrink_to`](SlabAllocator::shrink_to) start
//! above the highest generation that was forgotten. Ids with a slot that has spent more than half of its lives are
//! not forgotten, so that one such slot does not wear all slots to come.
//!
//! # Memory sources, and panics
//!
//! A source may refuse, and it may unwind. Before it is given a block back all bookkeeping is done, and if it
//! unwinds the other chunks of the slab go back all the same: counts are right, lists are made anew, and every
//! value can be read. When the allocator is dropped, all further memory goes back as well. A second panic while the
//! first one unwinds aborts the program, as it does in a `Vec` whose elements panic in their drops.
//!
//! Handles can name 2²² − 1 chunks: 4.3 thousand million values in slabs of 1024 or multiples of that,
//! and no more than 4 million in slabs of one.
//!
//! # What is not used, and why
//!
//! | idea | measured |
//! |---|---|
//! | a bitmap of live slots beside the generations (`slab_core::LiveMap`) | removal + insertion 1.10 to 1.17 times slower |
//! | a count of live slots a chunk | 1.2 times slower |
//! | a counter of values | 1.1 times slower; the list counts itself |
//! | a chunk size that suits the slab capacity, shifted by a number from memory | 1.2 times slower |
//! | `slab_core::FreeList` | not measured: its resolver would look up again what the handle led to |
//! | the list's first slot in a field apart from its length, for a shorter chain of loads | removal + insertion 1.04 to 1.1 times slower: instructions decide |
//! | a list of vacant slots a chunk | 0.7 to 1.2 ns a removal more |
//! | linking a fresh chunk beforehand | insertion 2.4 times slower |
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `alloc` | yes | the global allocator as the default memory source |
//! | `serde` | no | serialisation of allocators and handles; needs `alloc` |
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(unstable_allocator, feature(allocator_api))]
#![warn(missing_debug_implementations)]

#[cfg(feature = "serde")]
extern crate alloc;

mod counts;
mod defragment;
mod entry;
mod error;
mod geometry;
mod handle;
mod iter;
mod locate;
mod memory_policy;
mod read;
mod secondary;
#[cfg(feature = "serde")]
mod serde;
mod slab;
mod storage;

pub use entry::VacantEntry;
pub use error::{Inconsistency, InsertError, SlabError};
pub use handle::{Key, SlotHandle, TypedHandle};
pub use iter::{Drain, Entries, IntoIter, Iter, IterMut};
pub use secondary::SecondaryMap;
pub use slab::SlabAllocator;
pub use slab_traits::Global;

/// The examples of the README, run with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
