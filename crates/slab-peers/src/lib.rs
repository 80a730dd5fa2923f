//! Rival allocators behind the traits of [`slab_traits`], for the lab and the benches.
//!
//! * [`contenders`] is the registry: every allocator that takes part in a comparison, ours and the
//!   rivals, each one block long. Adding a rival is adding its block.
//! * [`AxCompat`] goes the other way: it gives any [`ByteAllocator`](slab_traits::ByteAllocator) the
//!   traits of `axallocator`, so that an ArceOS kernel can swap it in.
//!
//! The wrappers are thin: on the hot path each is one call. What a wrapper adds there, and which
//! statistics a rival does not keep, is said at its type. Statistics that a rival does not keep are
//! reported as zero used bytes rather than counted here, because counting would slow it down.
//!
//! Each rival is a cargo feature of its own, all of them on by default.
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
//!     // SAFETY: `memory` outlives each heap, and one heap at a time uses it.
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

#[cfg(feature = "axallocator")]
pub use ax_compat::AxCompat;
pub use contender::{Contender, Side, contenders};
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
