//! The counts and the findings of a check.

use slab_traits::AllocError;
use thiserror::Error;

use crate::{Op, ShadowError};

/// The counts of a run. Tests assert them, because a check that ran nothing proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use = "a run that executed nothing proves nothing"]
pub struct Report {
    /// Operations that reached the subject.
    pub executed: usize,
    /// Operations that could not run: no live block, no valid layout, or a subject that does not check.
    pub skipped: usize,
    /// Blocks handed out.
    pub allocated: usize,
    /// Blocks freed by an operation, not counting those freed at the end.
    pub freed: usize,
    /// Blocks resized, moved or not.
    pub resized: usize,
    /// Requests and regions refused.
    pub refused: usize,
    /// Misuses found by the subject.
    pub misuse_found: usize,
    /// Regions taken over.
    pub regions: usize,
    /// Times that the subject's invariants were checked.
    pub validated: usize,
}

/// A wrong result of an allocator.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Fault {
    /// A block is in the wrong place, or its content was changed.
    #[error(transparent)]
    Block(#[from] ShadowError),
    /// A zeroed block is not zero.
    #[error("byte {offset} of zeroed block {start:#x} is {found:#04x}")]
    NotZero {
        /// Where the block starts.
        start: usize,
        /// Index of the byte.
        offset: usize,
        /// The byte found.
        found: u8,
    },
    /// The usable size is below the requested size.
    #[error("a block of {size} bytes has {usable} usable bytes")]
    UsableBelowSize {
        /// Requested bytes.
        size: usize,
        /// Bytes reported as usable.
        usable: usize,
    },
    /// Used, available and metadata bytes do not sum up to the total.
    #[error(
        "{used} used + {available} available + {metadata} metadata bytes are not {total} in total"
    )]
    Statistics {
        /// Bytes used.
        used: usize,
        /// Bytes available.
        available: usize,
        /// Bytes of metadata.
        metadata: usize,
        /// Bytes in total.
        total: usize,
    },
    /// The total is not the size of all accepted regions.
    #[error("{total} bytes in total, but the regions have {given}")]
    Total {
        /// Bytes in total.
        total: usize,
        /// Bytes of all regions accepted.
        given: usize,
    },
    /// Fewer bytes are reported as used than live blocks may use.
    #[error("{used} bytes used, but live blocks may use {live}")]
    UsedBelowLive {
        /// Bytes used.
        used: usize,
        /// Usable bytes of all live blocks.
        live: usize,
    },
    /// Bytes are reported as used, but no block is live.
    #[error("{used} bytes used, but no block is live")]
    UsedWithoutBlocks {
        /// Bytes used.
        used: usize,
    },
    /// A refused request changed the number of used bytes.
    #[error("a refusal changed the used bytes from {before} to {after}")]
    RefusalUsed {
        /// Bytes used before.
        before: usize,
        /// Bytes used after.
        after: usize,
    },
    /// Before any memory was given, a request did not return `NoMemory`.
    #[error("before any memory was given, a request returned {answer:?} instead of NoMemory")]
    AnswerWithoutMemory {
        /// The error, or `None` for a block.
        answer: Option<AllocError>,
    },
    /// A misuse was not found.
    #[error("the misuse was accepted")]
    MisuseAccepted,
    /// A free of a live block with its layout was refused.
    #[error("live block {start:#x} was refused: {error}")]
    LiveRefused {
        /// Where the block starts.
        start: usize,
        /// The error returned.
        error: AllocError,
    },
    /// An invariant of the subject is broken.
    #[error("invariant violated: {0}")]
    Invariant(String),
}

/// A fault, and the operation after which it was found.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}: {fault}", match op { Some(op) => format!("step {step}, {op:?}"), None => format!("outside step {step}") })]
pub struct Violation {
    /// Index of the operation.
    pub step: usize,
    /// The operation; `None` before the first and while all blocks are freed at the end.
    pub op: Option<Op>,
    /// The fault.
    pub fault: Fault,
}
