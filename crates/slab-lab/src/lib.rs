//! Replays the allocations of real programs over every allocator and compares them.
//!
//! ```text
//! trace    recordings and their formats            a recording in, a Trace out
//! exec     one heap runs one Trace                 the only raw memory
//! replay   every contender in a process of its own, rounds interleaved, medians
//!          and what they recommend
//! plot     a heap over time as an SVG drawing
//! html     a replay as one page
//! machine  what it says about itself
//! record   a program under heaptrack or valgrind
//! cli      arguments, tables, exit codes
//! ```
//!
//! `trace` knows no allocator; `exec` no process; `replay` no terminal; `html` measures nothing.
//!
//! # What is measured
//!
//! *Time.* A contender first runs a checking pass, untimed. Then come rounds: in each round every
//! contender replays the trace a few times, one contender after the other, the order rotated from
//! round to round, so that a slow moment of the machine hits all of them. A replay is the requests
//! through `Box<dyn ByteAllocator>` and one byte written into each new or resized block, because a
//! program that asks for a block uses it. The same loop runs in the same rounds over an allocator
//! that does nothing (see [`exec::Idle`]); the median of that is the harness's own cost and is
//! subtracted from the median of each contender.
//!
//! *Footprint.* The 4 KiB pages of the region in which the checking pass changed any byte, be it in
//! a block or in bookkeeping, plus the size of the allocator's own value outside of the region. The
//! region is generous (see [`replay::region_bytes`]), so a contender that spreads over it pays. It
//! is not the least memory that would do; the smallest arena is.

pub mod cli;
pub mod exec;
pub mod html;
pub mod machine;
pub mod plot;
pub mod record;
pub mod replay;
pub mod trace;
mod words;
