//! Traits that let byte and page allocators be swapped for one another, and the adapters that
//! turn any of them into a [`GlobalAlloc`](core::alloc::GlobalAlloc) and an `Allocator`, of
//! [allocator-api2](allocator_api2::alloc::Allocator) and of [`core::alloc`].
//!
//! The traits are object-safe: `Box<dyn ByteAllocator>` is how a program picks its allocator at
//! run time. This crate knows no allocator; it names what all of them can do.
//!
//! * [`BaseAllocator`] receives memory, as a pointer range or as an address range.
//! * [`ByteAllocator`] hands out blocks of any [`Layout`](core::alloc::Layout).
//! * [`PageAllocator`] hands out runs of pages.
//! * [`Locked`] shares a `ByteAllocator` behind any [`lock_api::RawMutex`]; [`Local`] is the same
//!   adapter for one thread. A [`Fault`] that the allocator finds ends the program; a
//!   [`FaultHandler`] says how.
//! * [`Refused`] hands back the value of a request that was refused, with the reason.
//! * `StdSource` makes any allocator of [`core::alloc`] a memory source of crates that ask for
//!   allocator-api2's trait, slab-typed and slab-cache among them.
//!
//! # `core::alloc::Allocator`
//!
//! Since Rust 1.100 the trait is stable, and `Box::new_in` and `Vec::new_in` take a [`Locked`] heap, a
//! reference to one, or an `Arc` of one. A build script finds out whether the compiler has the trait, so
//! there is no feature to switch on; older compilers do without. allocator-api2's feature `nightly`, with
//! which its trait is that of `core`, may be on or off.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `std` | yes | a [`Fault`] in a `Locked` heap is written to standard error before the program aborts |
//! | `alloc` | with `std` | [`Global`] as a memory source: the global allocator; [`ByteAllocator`] for `Box<A>` |
//!
//! # Examples
//!
//! A bump allocator in a few lines, used through the trait object:
//!
//! ```
//! use core::alloc::Layout;
//! use core::ptr::NonNull;
//! use slab_traits::{AllocError, AllocResult, BaseAllocator, ByteAllocator, RegionError};
//!
//! /// Hands out memory from the front of one region and never takes any back.
//! #[derive(Default)]
//! struct Bump {
//!     free: Option<NonNull<[u8]>>,
//!     total_bytes: usize,
//!     used_bytes: usize,
//! }
//!
//! impl BaseAllocator for Bump {
//!     unsafe fn add_region(&mut self, region: NonNull<[u8]>) -> Result<(), RegionError> {
//!         if self.free.is_some() {
//!             return Err(RegionError::TooManyRegions { limit: 1 });
//!         }
//!         self.free = Some(region);
//!         self.total_bytes = region.len();
//!         Ok(())
//!     }
//! }
//!
//! // SAFETY: each block is cut from the free rest of the region, so no two overlap.
//! unsafe impl ByteAllocator for Bump {
//!     fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
//!         let free = self.free.ok_or(AllocError::NoMemory)?;
//!         let start = free.cast::<u8>();
//!         let pad = start.align_offset(layout.align());
//!         let size = pad.checked_add(layout.size()).ok_or(AllocError::NoMemory)?;
//!         let rest = free.len().checked_sub(size).ok_or(AllocError::NoMemory)?;
//!         // SAFETY: `size <= free.len()`, so both pointers stay in the region or one past it.
//!         let (block, after) = unsafe { (start.add(pad), start.add(size)) };
//!         self.free = Some(NonNull::slice_from_raw_parts(after, rest));
//!         self.used_bytes += layout.size();
//!         Ok(block)
//!     }
//!
//!     unsafe fn dealloc(&mut self, _block: NonNull<u8>, layout: Layout) {
//!         self.used_bytes -= layout.size();
//!     }
//!
//!     fn total_bytes(&self) -> usize {
//!         self.total_bytes
//!     }
//!
//!     fn used_bytes(&self) -> usize {
//!         self.used_bytes
//!     }
//! }
//!
//! let mut memory = [0u8; 256];
//! let mut bump = Bump::default();
//! // SAFETY: `memory` outlives `bump` and is used through it alone.
//! unsafe { bump.add_region(NonNull::from(&mut memory[..])) }?;
//! let heap: &mut dyn ByteAllocator = &mut bump;
//! let block = heap.alloc(Layout::new::<u64>()).expect("256 bytes hold a u64");
//! assert!(block.cast::<u64>().is_aligned());
//! assert_eq!(heap.alloc(Layout::new::<[u8; 512]>()), Err(AllocError::NoMemory));
//! # Ok::<(), RegionError>(())
//! ```
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(unstable_allocator, feature(allocator_api))]
#![warn(missing_debug_implementations)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

/// The examples of the README, compiled with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod adapter;
mod allocator;
mod error;
mod fault;
mod local;
mod refused;
mod report;
mod source;
#[cfg(core_allocator)]
mod std_source;
mod traits;

pub use adapter::{Local, Locked, OomHook};
pub use error::{AllocError, AllocResult, RegionError};
pub use fault::Fault;
pub use local::LocalMutex;
pub use refused::Refused;
pub use report::FaultHandler;
pub use source::Global;
#[cfg(core_allocator)]
pub use std_source::StdSource;
pub use traits::{BaseAllocator, ByteAllocator, PageAllocator, PageCounts, region_at};
