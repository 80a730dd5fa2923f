//! Replays the allocations of real programs over every allocator and compares them.
//!
//! From the bottom up:
//!
//! ```text
//! words    numbers as text
//! machine  the machine and the time of a measurement
//! trace    recordings and their formats            a recording in, a Trace out
//! exec     one heap runs one Trace                 the only raw memory
//! replay   every contender in a separate process, rounds interleaved, medians;
//!          and the advice: which allocator to take, or to keep malloc
//! plot     a heap over time as an SVG drawing
//! html     a replay as one page
//! record   runs a program under heaptrack or valgrind
//! cli      arguments, tables, exit codes
//! ```
//!
//! `trace` knows no allocator, `exec` no process, `replay` no terminal, and `html` measures nothing.
//!
//! # Measurements
//!
//! *Time.* Each contender first does a checking pass, untimed. Then follow rounds: in each round
//! every contender replays the trace a few times, one contender after the other, in an order that
//! rotates from round to round, so that a slow moment of the machine affects all of them. A replay is
//! the requests through `Box<dyn ByteAllocator>` and one byte written into each new or resized block,
//! because a program uses the blocks that it requests. The same loop runs in the same rounds over an
//! allocator that does nothing ([`exec::Idle`]). The median of that is the cost of the harness and is
//! subtracted from the median of each contender.
//!
//! *Footprint.* The 4 KiB pages of the region in which the checking pass changed any byte, in blocks
//! or in metadata, plus the size of the allocator's own value outside the region. The region is
//! generous ([`replay::region_bytes`]), so a contender that spreads over it has a large footprint.
//!
//! *Smallest region.* The least memory in which the whole trace runs, by bisection.

pub mod cli;
pub mod exec;
pub mod html;
pub mod machine;
pub mod plot;
pub mod record;
pub mod replay;
pub mod trace;
mod words;
