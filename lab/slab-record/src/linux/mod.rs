//! A sink that writes a mapped file, on 64-bit Linux. From the bottom up:
//!
//! ```text
//! system   the calls of the C library, and the clock of the records
//! file     ToFile: the mapped file
//! modules  the mapped files of the process, whose functions a call stack names
//! stacks   call stacks by frame pointers, each written once
//! ```
#![expect(unsafe_code, reason = "calls of the C library, and a file that is mapped into memory")]

mod file;
mod modules;
mod stacks;
pub(crate) mod system;

pub use file::ToFile;
#[cfg(slab_preload)]
pub(crate) use stacks::frame_pointer;
