//! What a segment refuses, and what it finds.

use thiserror::Error;

use crate::CorruptLink;

/// The reason for which a segment refused a request, or what is wrong in it. A refused request
/// changed nothing. Slots are named by their index.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SlotError {
    /// Too few bytes are free: a full segment has none, and a buffer may be too small for one slot.
    #[error("{required} bytes are required, {available} are available")]
    OutOfMemory {
        /// Bytes that would be enough, alignment and map included.
        required: usize,
        /// Bytes there are.
        available: usize,
    },
    /// No slot of that layout can exist.
    #[error("a layout of {size} bytes aligned to {align} is too large for a slot")]
    LayoutTooLarge {
        /// Bytes asked for.
        size: usize,
        /// Alignment asked for.
        align: usize,
    },
    /// The pointer is not the start of one of the slots.
    #[error("no slot starts at {address:#x}: {slot_count} of {stride} bytes lie from {start:#x}")]
    InvalidPointer {
        /// The pointer's address.
        address: usize,
        /// Where the first slot starts.
        start: usize,
        /// Number of slots.
        slot_count: u32,
        /// Bytes from one slot to the next.
        stride: usize,
    },
    /// The slot was never handed out.
    #[error("slot {slot} was never handed out")]
    NeverAllocated {
        /// The slot.
        slot: u32,
    },
    /// The slot is free already.
    #[error("slot {slot} is free already")]
    DoubleFree {
        /// The slot.
        slot: u32,
    },
    /// The link in a dead slot was overwritten.
    #[error(transparent)]
    CorruptLink(#[from] CorruptLink),
    /// A dead slot was written to.
    #[error("byte {offset} of dead slot {slot} was written to")]
    WriteAfterFree {
        /// The slot.
        slot: u32,
        /// The first byte known to be written; 0 if it was the link.
        offset: usize,
    },
    /// Somebody wrote past the end of a live slot.
    #[error("somebody wrote past the end of slot {slot}")]
    Overrun {
        /// The slot.
        slot: u32,
    },
    /// The map and the list disagree about how many slots are live.
    #[error("{tracked} slots are tracked as live, {counted} are counted")]
    Miscount {
        /// Live slots in the map.
        tracked: u32,
        /// Slots handed out and not listed as free.
        counted: u32,
    },
}
