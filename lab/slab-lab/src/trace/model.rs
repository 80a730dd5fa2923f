//! A replayable recording, and what it says about its program.

use std::alloc::Layout;
use std::fmt;

use super::Context;

/// The alignment of `malloc`, assumed where a recording names none.
pub const MALLOC_ALIGN: usize = 16;

/// One request. Slots name the blocks: dense numbers, reused once their block is freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// A new block in a vacant slot.
    Alloc {
        /// The block's slot.
        slot: u32,
        /// The requested layout.
        layout: Layout,
    },
    /// A new block in a vacant slot, its bytes zero.
    AllocZeroed {
        /// The block's slot.
        slot: u32,
        /// The requested layout.
        layout: Layout,
    },
    /// A free.
    Free {
        /// The block's slot.
        slot: u32,
        /// The block's layout until now.
        layout: Layout,
    },
    /// A change of a block's size; the block stays in its slot.
    Realloc {
        /// The block's slot.
        slot: u32,
        /// The block's layout until now.
        layout: Layout,
        /// The block's new size; the alignment stays.
        new_size: usize,
    },
}

impl Op {
    /// Returns the size of the block that this request makes or resizes; 0 for a free.
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
    pub(super) name: String,
    pub(super) ops: Vec<Op>,
    pub(super) slots: usize,
    pub(super) peak_live_bytes: usize,
    pub(super) run: Run,
    pub(super) warnings: Warnings,
    pub(super) context: Context,
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

    /// Returns threads, times and call stacks of the requests.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Returns threads, times and call stacks of the requests, to name the functions.
    pub fn context_mut(&mut self) -> &mut Context {
        &mut self.context
    }

    /// Returns the facts about the whole run of the program.
    pub fn run(&self) -> Run {
        self.run
    }

    /// Returns the inconsistencies of the recording.
    pub fn warnings(&self) -> Warnings {
        self.warnings
    }
}

/// Facts about the whole run of the recorded program. Zero means unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Run {
    /// Milliseconds from start to end, slowed down by the recorder.
    pub milliseconds: u64,
    /// The most bytes that were resident at one time: heap, code, stacks and the recorder itself.
    pub resident_bytes: u64,
}

/// Inconsistencies of a recording. Recorders attach late and miss calls, so none of them is fatal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Warnings {
    /// Frees and reallocs of an address without a recorded block. Such a free is left out, such a
    /// realloc counts as an allocation.
    pub unknown_frees: u64,
    /// Allocations at an address whose block has no recorded free; that block is freed first.
    pub replaced_blocks: u64,
    /// Requests that the recorded allocator refused; they are left out.
    pub refused_requests: u64,
    /// Lines of processes that the recorded one forked; they are left out.
    pub foreign_lines: u64,
    /// Requests that the recorder had no room for.
    pub lost_requests: u64,
}

/// Lists the warnings; empty if there are none.
impl fmt::Display for Warnings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.unknown_frees, "frees of unknown blocks (left out)"),
            (
                self.replaced_blocks,
                "blocks without a recorded free (freed before the next one there)",
            ),
            (self.refused_requests, "requests that the recorded allocator refused (left out)"),
            (self.foreign_lines, "lines of forked processes (left out)"),
            (self.lost_requests, "requests after the recording was full (left out)"),
        ];
        let seen = counts.iter().filter(|(count, _)| *count > 0);
        let seen: Vec<_> = seen.map(|(count, what)| format!("{count} {what}")).collect();
        f.write_str(&seen.join(", "))
    }
}
