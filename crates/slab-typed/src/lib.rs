//! Values of one type behind 8-byte handles that stay valid through compaction.
//!
//! * [`SlabAllocator`] stores the values. A [`SlotHandle`] names one of them. A [`TypedHandle`] of one map does not
//!   compile on another.
//! * `SharedSlab` stores values that several threads insert, read and remove at once.
//! * [`SecondaryMap`] and [`SparseSecondaryMap`] store more values behind the same handles.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | slab | the unit in which memory is acquired and released: `slab_capacity` slots |
//! | chunk | one block of memory with up to 1024 slots; a slab consists of one or more |
//! | held | its memory is acquired and not released yet |
//! | live, dead, vacant, retired | a slot with a value; without one; that can be filled; that never can be again |
//! | fresh, cleared, carved | a chunk no slot of which was filled; none of which is live; whose slots are in use |
//! | untouched | the slots of one carved chunk that were never filled |
//! | floor | the generation at which the slots of a vacant slab start |
//! | worn | past half of the generations |
//!
//! # Design
//!
//! A chunk begins with the generations of its slots; the slots follow. The *directory* has the start of each chunk. A
//! handle is an index, of 22 bits for the chunk and 10 for the slot, and a generation.
//!
//! **Looking up** loads the start of the chunk and the generation of the slot, and compares it with the handle's. The
//! generation of a live slot is odd, and so is that of a handle, so one compare finds dead slots and stale handles. A
//! released chunk starts, for the directory, at a static table of zeroes, which no handle matches.
//!
//! **Inserting** fills the slot vacated last, from a list whose links lie in the dead slots and count the slots after
//! them; if it is empty, the next untouched slot. **Removing** raises the generation and adds the slot to the list. The
//! next handle for untouched slots is kept ready, so filling them reads nothing from the chunk. There are no other counts:
//! the length of the list gives the number of values, and generations say which slots are live. Iteration reads 64
//! generations at a time; while no slot is vacant, it does not test them. Two levels of bits lead it from one held chunk
//! to the next.
//!
//! **Releasing** a slab keeps the highest of its generations as the floor for the next slab with this id, so stale handles
//! stay stale. A slot has 2³¹ − 1 lives; then it is *retired*, and its slab's id with it when the slab is released. Ids
//! forgotten by [`shrink_to`](SlabAllocator::shrink_to) start above the highest generation that was forgotten. Worn ids
//! are not forgotten, so that one worn slot does not wear all later ones.
//!
//! # Reserved address space
//!
//! With the feature `vm`, on Unix, an allocator can reserve address space for its first chunks: the generations of all of
//! them, and then their slots. The index of a handle is the position in both, so looking up needs one compare with the
//! length of the directory, and no directory. It is otherwise the same: chunks are acquired and released, and keep their
//! floors. The memory of a released chunk goes back to the system, but its addresses stay readable, and its generations
//! even. Slots beyond the reservation lie in chunks from the memory source.
//!
//! # Memory sources and panics
//!
//! A memory source may refuse, and it may panic. All bookkeeping is done before it gets a block back. If it panics then,
//! the other chunks of the slab are deallocated all the same, counts are right, lists are rebuilt, and every value can be
//! read. A second panic during the first one's unwinding aborts the program, as in a `Vec` whose elements panic when
//! dropped.
//!
//! Handles can name 2²² − 1 chunks: 4.3 thousand million values in slabs of a multiple of 1024 slots, but only 4 million
//! in slabs of one slot.
//!
//! # Rejected alternatives
//!
//! | idea | measured |
//! |---|---|
//! | a bitmap of live slots beside the generations (`slab_core::LiveMap`) | removal and insertion 1.10 to 1.17 times slower |
//! | a count of live slots per chunk | 1.2 times slower |
//! | a counter of values | 1.1 times slower; the list counts itself |
//! | a chunk size that suits the slab capacity, with a shift loaded from memory | 1.2 times slower |
//! | `slab_core::FreeList` | not measured: it would look up again the slot that the handle led to |
//! | the head of the list and its length in separate fields | removal and insertion 1.04 to 1.1 times slower |
//! | a list of vacant slots per chunk | 0.7 to 1.2 ns more per removal |
//! | linking the slots of a fresh chunk in advance | insertion 2.4 times slower |
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `alloc` | yes | the global allocator as the default memory source; `SparseSecondaryMap` |
//! | `serde` | no | serialisation of allocators, maps and handles; needs `alloc` |
//! | `std` | no | `SharedSlab`, for several threads; needs `alloc` |
//! | `vm` | no | on Unix, reserved address space: `SlabAllocator::new_reserved` |
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(unstable_allocator, feature(allocator_api))]
#![warn(missing_debug_implementations)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

// Modules from the bottom up:
//
// error             refused operations, inconsistent bookkeeping
// geometry          the division of indices into slabs, chunks and slots
// handle            handles and keys
// storage           raw memory: chunks, slots, lists; all unsafe code
// entry             a vacant slot whose key is known before its value
// slab              constructors, insertion and removal
// counts            counts of values, slots and bytes
// locate            from handles to slabs and slots, and back
// read              access to values
// iter              iterators
// defragment        moves values out of the emptiest slabs
// memory_policy     acquires and releases slabs
// secondary         more values behind the same handles
// sparse_secondary  the same in a tree, for few values
// serde             serialisation
// shared            the same for several threads
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
pub mod secondary;
#[cfg(feature = "serde")]
mod serde;
#[cfg(feature = "std")]
pub mod shared;
mod slab;
#[cfg(feature = "alloc")]
pub mod sparse_secondary;
mod storage;

pub use entry::VacantEntry;
pub use error::{InsertError, SlabError};
pub use handle::{Key, SlotHandle, TypedHandle};
pub use iter::{Drain, Entries, IntoIter, Iter, IterMut};
pub use secondary::SecondaryMap;
#[cfg(feature = "std")]
pub use shared::SharedSlab;
pub use slab::SlabAllocator;
pub use slab_core::Inconsistency;
pub use slab_traits::Global;
#[cfg(feature = "alloc")]
pub use sparse_secondary::SparseSecondaryMap;

/// Runs the examples of the README as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
