//! Traits for byte and page allocators over memory that you give them, and an adapter that makes any of
//! them a [`GlobalAlloc`](core::alloc::GlobalAlloc) and an `Allocator`, of
//! [allocator-api2](allocator_api2::alloc::Allocator) and of [`core::alloc`].
//!
//! The traits are object-safe, so that a program can choose its allocator at run time as a
//! `Box<dyn ByteAllocator>`. This crate contains no allocator.
//!
//! Its modules, from the bottom up:
//!
//! * `error`: [`AllocError`] and [`RegionError`].
//! * `fault`: [`Fault`], a mistake of the program that an allocator found.
//! * `refused`: [`Refused`] hands back the value of a refused request, with the reason.
//! * `base`: [`BaseAllocator`] receives memory, as a pointer range or as an address range.
//! * `byte`: [`ByteAllocator`] hands out blocks of any [`Layout`](core::alloc::Layout).
//! * `page`: [`PageAllocator`] hands out runs of pages.
//! * `forward`: pointers to allocators are allocators.
//! * `source`: [`Global`], the default memory source of the other crates.
//! * `report`: ends the program because of a fault, with one line.
//! * `local`, [`locks`]: [`LocalMutex`] and the other locks.
//! * `adapter`: [`Locked`] puts a `ByteAllocator` behind a lock and makes it a `GlobalAlloc`; [`Local`] is
//!   the same for one thread.
//! * `allocator`: makes `Locked` an `Allocator`.
//! * `std_source`: `StdSource` makes any allocator of [`core::alloc`] a memory source for crates that take
//!   allocator-api2's trait, such as slab-typed and slab-cache.
//!
//! A *region* is memory that the user gives to an allocator, a *block* is memory that `alloc` returned, and
//! it is *live* until it is freed.
//!
//! # `core::alloc::Allocator`
//!
//! The trait is stable since Rust 1.100; `Box::new_in` and `Vec::new_in` take a [`Locked`] heap, a reference
//! to one, or an `Arc` of one. A build script detects whether the compiler has the trait, so there is no
//! feature to switch on. The feature `nightly` of allocator-api2, with which its trait is the one of `core`,
//! may be on or off.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `std` | yes | a [`Fault`] in a `Locked` heap is written to standard error before the program aborts |
//! | `alloc` | with `std` | [`Global`] is the global allocator; [`ByteAllocator`] for `Box<A>` |
//! | `spin` | no | `locks::Spin` |
//! | `parking_lot` | no | `locks::ParkingLot`, and `std` |
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
//! // SAFETY: each block is cut from the free part of the region, so no two overlap.
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

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod adapter;
mod allocator;
mod base;
mod byte;
mod error;
mod fault;
mod forward;
mod local;
pub mod locks;
mod page;
mod refused;
mod report;
mod source;
#[cfg(core_allocator)]
mod std_source;

pub use adapter::{Local, Locked, OomHook};
pub use base::{BaseAllocator, region_at};
pub use byte::ByteAllocator;
pub use error::{AllocError, AllocResult, RegionError};
pub use fault::Fault;
pub use local::LocalMutex;
pub use page::{PageAllocator, PageCounts};
pub use refused::Refused;
pub use report::{FaultHandler, abort_on_unwind};
pub use source::Global;
#[cfg(core_allocator)]
pub use std_source::StdSource;
