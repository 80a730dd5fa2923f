//! Magazines for each thread or CPU in front of one locked heap: a heap for many cores, with every free checked.
//!
//! [`LocalHeap`] is a `GlobalAlloc` over any heap that is a [`Backing`], such as `SlabByteAllocator` of slab-bytes.
//!
//! # Words
//!
//! * A *magazine* is a bounded stack of free blocks of one size class. [`Magazines`] are those of one thread or CPU.
//! * A *batch* is half of a full magazine, the unit in which blocks change between magazines, depot and heap.
//! * The *depot* of a class keeps full batches for all threads, behind a lock that is only tried.
//! * The *block map* has a byte for each 16 bytes of a region, which says which blocks are live and which wait.
//! * A *seat* says which magazines belong to the code that runs, and keeps everything else away from them.
//!
//! # Design
//!
//! **An allocation** finds its class, takes the newest block of the magazine and marks it live in the map. If the
//! magazine is empty it gets a batch from the depot, else from the heap under its lock: blocks side by side, so that
//! threads share few cache lines of the map.
//!
//! **A free** finds the block's byte in the map, which must say "live, of this class", marks it waiting, and pushes the
//! block onto the magazine of the *freeing* thread. If that is full, a batch of its oldest blocks goes to the depot, or
//! back to the heap.
//!
//! **Blocks without magazines**: large ones, and all in code without a seat (early boot, a thread that ends), come from
//! the heap and go back to it, under its lock. Their byte in the map is zero, and the heap checks their frees itself.
//!
//! **When memory is short** the magazines of the caller, those of ended threads and the depot are given back to the
//! heap before an allocation fails.
//!
//! **Re-entry**: a signal handler or an exception that interrupts this code finds no magazines, and only tries the lock
//! of the heap. If that is held, its allocation fails, and a block that it frees is lost, see [`LocalHeap::lost_blocks`].
//!
//! # Modules
//!
//! From the bottom up:
//!
//! * `stack`: [`Stack`], a bounded stack of plain values.
//! * `depot`: [`Depot`], a shared stack of batches with decay.
//! * `backing`: [`Backing`], what is asked of the heap below, and [`Class`].
//! * `block_map`: the byte map.
//! * `regions`: regions with a map, and the numbers of their units.
//! * `magazines`: [`Magazines`].
//! * `seat`: [`Seat`], and [`CpuSeat`] for kernels.
//! * `thread_seat`: [`ThreadSeat`] for programs with `std`.
//! * `heap`: [`LocalHeap`], its hot paths and its interface.
//! * `exchange`: batches between magazines, depot and heap.
//! * `slow`: all requests that the hot paths leave.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `std` | yes | `ThreadSeat` and `thread_seat!`; a fault is written to standard error before the program aborts |
#![no_std]
#![warn(missing_debug_implementations)]

#[cfg(any(test, feature = "std"))]
extern crate std;

/// Compiles the examples of the README.
#[cfg(all(doctest, feature = "std"))]
#[doc = include_str!("../README.md")]
struct Readme;

mod backing;
mod block_map;
mod depot;
#[cfg(not(loom))]
mod exchange;
#[cfg(not(loom))]
mod heap;
#[cfg(not(loom))]
mod magazines;
#[cfg(not(loom))]
mod regions;
#[cfg(not(loom))]
mod seat;
#[cfg(not(loom))]
mod slow;
mod stack;
#[cfg(all(feature = "std", not(loom)))]
mod thread_seat;

pub use backing::{Backing, Class};
#[doc(hidden)]
pub use block_map::{BlockMap, Mark};
pub use depot::{Depot, Refusal};
#[cfg(not(loom))]
pub use heap::{LocalHeap, OomHook};
#[cfg(not(loom))]
pub use magazines::Magazines;
#[cfg(not(loom))]
pub use seat::{Attachment, Cpu, CpuSeat, Seat};
pub use stack::Stack;
#[cfg(all(feature = "std", not(loom)))]
pub use thread_seat::ThreadSeat;

/// The parts of which `thread_seat!` makes a seat.
#[cfg(all(feature = "std", not(loom)))]
#[doc(hidden)]
pub mod thread_seat_parts {
    pub use crate::thread_seat::{Current, Pool};
}
