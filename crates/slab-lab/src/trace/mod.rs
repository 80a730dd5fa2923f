//! What a real program asked its allocator for, and how such recordings are read.
//!
//! ```text
//! recording ── open ──> heaptrack │ valgrind ──> Recorder ──> TraceBuilder ──> Trace
//!                       binary ─────────────────────────────────┘
//! ```
//!
//! Every reader ends in [`TraceBuilder`], which is where a recording's inconsistencies stop: a
//! [`Trace`] can be replayed without asking again whether a block lives.

pub mod binary;
mod builder;
mod embedded;
mod fault;
mod heaptrack;
mod lines;
mod open;
mod profile;
mod recorder;
mod text;
mod valgrind;

use std::alloc::Layout;

pub use builder::{BLOCK_BYTES_MAX, LIVE_BLOCKS_MAX, OPERATIONS_MAX, TraceBuilder};
pub use embedded::{embedded, embedded_names};
pub use fault::{Fault, Place, TraceError};
pub use open::{open, read};
pub use profile::{Bin, Profile};
pub use recorder::Oddities;

/// The alignment of `malloc`, for recordings that name none.
pub const MALLOC_ALIGN: usize = 16;

/// One request. Blocks are named by slots: dense numbers that are used again once a block is freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// A new block in a vacant slot.
    Alloc {
        /// Where the block is kept.
        slot: u32,
        /// What is asked for.
        layout: Layout,
    },
    /// A new block in a vacant slot, its bytes zero.
    AllocZeroed {
        /// Where the block is kept.
        slot: u32,
        /// What is asked for.
        layout: Layout,
    },
    /// The end of a block.
    Free {
        /// Where the block was kept.
        slot: u32,
        /// What it was last allocated or resized with.
        layout: Layout,
    },
    /// A block changes its size and stays in its slot.
    Realloc {
        /// Where the block is kept.
        slot: u32,
        /// What it was last allocated or resized with.
        layout: Layout,
        /// Its size from now on; the alignment stays.
        new_size: usize,
    },
}

impl Op {
    /// Returns the size of the block that this makes or resizes; 0 for a free.
    pub fn new_bytes(&self) -> usize {
        match *self {
            Self::Alloc { layout, .. } | Self::AllocZeroed { layout, .. } => layout.size(),
            Self::Realloc { new_size, .. } => new_size,
            Self::Free { .. } => 0,
        }
    }
}

/// A replayable recording.
///
/// # Invariants
///
/// - **T1 (slots)**: every operation's slot is below `slots`.
/// - **T2 (lives)**: an allocation names a vacant slot; a free or realloc names an occupied one and
///   carries the layout its block was last allocated or resized with.
/// - **T3 (sizes)**: every size, also a new one, makes a valid layout with its block's alignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    name: String,
    ops: Vec<Op>,
    slots: usize,
    peak_live_bytes: usize,
    oddities: Oddities,
}

impl Trace {
    /// Returns the name under which results are reported.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Renames the trace.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Returns the requests, in order.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Returns the most blocks that live at one time, which is also the number of slots.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Returns the most bytes that live at one time, as asked for, without any rounding.
    pub fn peak_live_bytes(&self) -> usize {
        self.peak_live_bytes
    }

    /// Returns what did not add up in the recording.
    pub fn oddities(&self) -> Oddities {
        self.oddities
    }
}
