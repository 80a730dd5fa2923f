//! Recordings of what real programs asked their allocators for, and their readers. From the bottom up:
//!
//! ```text
//! context    threads, times and call stacks of the requests
//! model      Op and Trace: a recording that can be replayed
//! fault      why a file is refused
//! builder    requests in, a Trace out; checks the invariants of a Trace
//! tracker    addresses in, slots out
//! lines      the lines of a text, in bounded memory
//! text       the loop that both text formats share
//! heaptrack, valgrind, recorded, binary   the formats
//! open       finds out format and compression
//! embedded   the traces inside the program
//! profile    counts over a trace
//! sites      counts by call stack
//! ```
//!
//! Every reader ends in [`TraceBuilder`], which refuses what would break a [`Trace`], so a replay
//! never asks whether a block is live.

pub mod binary;
mod builder;
mod context;
mod embedded;
mod fault;
mod heaptrack;
mod lines;
mod model;
mod open;
mod profile;
mod recorded;
mod sites;
mod text;
mod tracker;
mod valgrind;

pub use builder::{BLOCK_BYTES_MAX, LIVE_BLOCKS_MAX, OPERATIONS_MAX, TraceBuilder};
pub use context::{Context, Stacks, THREADS_MAX};
pub use embedded::{embedded, embedded_descriptions, embedded_names};
pub use fault::{Fault, Place, TraceError};
pub use model::{MALLOC_ALIGN, Op, Run, Trace, Warnings};
pub use open::{open, read};
pub use profile::{BUFFER_BYTES, Bin, BufferUse, Profile, SizeUse, YOUNG_REQUESTS};
pub use sites::{MOMENTS, SiteUse, call_site, site_uses};
