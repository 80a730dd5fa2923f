//! Records the memory requests of a program, for a replay by slab-lab. Needs neither `std` nor a heap.
//!
//! There are three ways to record:
//!
//! - `slab-lab record --with slab-record -- ./program` loads this crate into any dynamically linked
//!   program of a 64-bit Linux, ahead of the C library (`LD_PRELOAD`).
//! - [`Recorder`] wraps the `#[global_allocator]` of a Rust program. With [`ToFile`] it writes the same
//!   file, also in a statically linked program.
//! - [`Recorder`] with a [`Stream`] sends the same bytes through a function of yours: over a serial
//!   line, semihosting or a network, from firmware without files.
//!
//! From the bottom up:
//!
//! ```text
//! format    the bytes of a recording
//! recorder  Recorder, a global allocator that records; the trait Sink
//! stream    Stream, a sink that calls a function
//! linux     ToFile, a sink that writes a mapped file; call stacks by frame pointers
//! preload   malloc and its relatives, for LD_PRELOAD; only if compiled with --cfg slab_preload
//! ```
//!
//! # Examples
//!
//! ```
//! use std::alloc::System;
//!
//! use slab_record::{Recorder, Stream};
//!
//! fn send(bytes: &[u8]) {
//!     // Firmware would write to its serial line here.
//! }
//!
//! #[global_allocator]
//! static HEAP: Recorder<System, Stream> = Recorder::new(System, Stream::new(send));
//!
//! fn main() {
//!     assert_eq!(vec![1, 2, 3].len(), 3);
//! }
//! ```
#![no_std]
#![warn(missing_debug_implementations)]

pub mod format;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod linux;
#[cfg(all(slab_preload, target_os = "linux", target_pointer_width = "64"))]
mod preload;
mod recorder;
mod stream;

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub use linux::ToFile;
pub use recorder::{Recorder, Request, Sink};
pub use stream::Stream;
