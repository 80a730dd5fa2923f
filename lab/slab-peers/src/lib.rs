//! Rival allocators behind the traits of [`slab_traits`], for the lab and the benches.
//!
//! ```text
//! rivals      one wrapper per rival
//! contender   contenders(): the registry of all allocators that are compared, ours and the rivals
//! shared      shared_contenders(): the heaps that several threads use at once
//! ax_compat   AxCompat: any slab_traits::ByteAllocator behind the traits of axallocator
//! ```
//!
//! Each wrapper adds one call to the hot path; its type names exceptions. Used bytes that a rival
//! does not count are reported as zero: counting them in the wrapper would slow the rival down.
//! Each rival is a cargo feature, on by default.
//!
//! # Examples
//!
//! ```
//! use std::alloc::Layout;
//! use std::ptr::NonNull;
//!
//! let mut memory = vec![0u64; 64 * 1024];
//! let (first, bytes) = (NonNull::from(&mut memory[0]), memory.len() * 8);
//! let region = NonNull::slice_from_raw_parts(first.cast::<u8>(), bytes);
//! for contender in slab_peers::contenders() {
//!     // SAFETY: `memory` outlives the heap, and one heap at a time uses it.
//!     let mut heap = unsafe { contender.build(region) }?;
//!     let layout = Layout::new::<[u64; 12]>();
//!     let block = heap.alloc(layout).expect("512 KiB hold 96 bytes");
//!     // SAFETY: the block came from this heap with this layout.
//!     unsafe { heap.dealloc(block, layout) };
//! }
//! # Ok::<(), slab_traits::RegionError>(())
//! ```
#![warn(missing_debug_implementations)]

#[cfg(feature = "axallocator")]
mod ax_compat;
mod contender;
mod rivals;
mod shared;

#[cfg(feature = "axallocator")]
pub use ax_compat::AxCompat;
pub use contender::{Checks, Contender, Side, contenders};
#[cfg(feature = "axallocator")]
pub use rivals::AxSlab;
#[cfg(feature = "buddy")]
pub use rivals::Buddy;
#[cfg(feature = "linked-list")]
pub use rivals::LinkedList;
#[cfg(feature = "rlsf")]
pub use rivals::Rlsf;
pub use rivals::System;
#[cfg(feature = "talc")]
pub use rivals::Talc;
pub use shared::{SharedContender, SharedHeap, shared_contenders};
