//! The errors of a segment.

use thiserror::Error;

use crate::CorruptLink;

/// The reason why a segment refused a request, or the fault that it found. A refused request has changed
/// nothing. Slots are named by their index.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SlotError {
    /// The segment is full, or the buffer is too small for one slot.
    #[error("{required} bytes are required, {available} are available")]
    OutOfMemory {
        /// Bytes that would be enough, including alignment and live map.
        required: usize,
        /// Bytes that are available.
        available: usize,
    },
    /// No slot of that layout can exist.
    #[error("a layout of {size} bytes aligned to {align} is too large for a slot")]
    LayoutTooLarge {
        /// Requested size in bytes.
        size: usize,
        /// Requested alignment.
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
    /// A live slot was written past its end.
    #[error("slot {slot} was written past its end")]
    Overrun {
        /// The slot.
        slot: u32,
    },
    /// The live map and the free list disagree about how many slots are live.
    #[error(
        "invariant violated: the live map has {tracked} live slots, the free list implies {counted}"
    )]
    Miscount {
        /// Live slots in the map.
        tracked: u32,
        /// Slots handed out and not listed as free.
        counted: u32,
    },
}
