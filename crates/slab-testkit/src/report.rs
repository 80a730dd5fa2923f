//! What a check did, and what it found.

use slab_traits::AllocError;
use thiserror::Error;

use crate::{Op, ShadowError};

/// What a run did. Tests assert these numbers: a check that ran nothing proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use = "a run that executed nothing proves nothing"]
pub struct Report {
    /// Operations that reached the subject.
    pub executed: usize,
    /// Operations that had nothing to act on: no live block, no valid layout, no check to test.
    pub skipped: usize,
    /// Blocks handed out.
    pub allocated: usize,
    /// Blocks taken back by an operation, not counting those freed at the end.
    pub freed: usize,
    /// Blocks resized, moved or not.
    pub resized: usize,
    /// Requests and regions refused.
    pub refused: usize,
    /// Misuses found by the subject.
    pub misuse_found: usize,
    /// Regions taken over.
    pub regions: usize,
    /// Times the subject's invariants were walked.
    pub validated: usize,
}

/// What an allocator did wrong.
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
    /// The usable size is below the size asked for.
    #[error("a block of {size} bytes has {usable} usable ones")]
    UsableBelowSize {
        /// Bytes asked for.
        size: usize,
        /// Bytes said to be usable.
        usable: usize,
    },
    /// Used, available and metadata bytes do not sum up to the total.
    #[error("{used} used + {available} available + {metadata} metadata is not {total} in total")]
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
    /// The total is not what the accepted regions hold.
    #[error("{total} bytes in total, where the regions hold {given}")]
    Total {
        /// Bytes in total.
        total: usize,
        /// Bytes of all regions accepted.
        given: usize,
    },
    /// Fewer bytes are said to be used than live blocks may use.
    #[error("{used} bytes used, where live blocks may use {live}")]
    UsedBelowLive {
        /// Bytes used.
        used: usize,
        /// Usable bytes of all live blocks.
        live: usize,
    },
    /// Bytes are said to be used though no block is live.
    #[error("{used} bytes used, where no block is live")]
    UsedByNobody {
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
    /// A request before any memory was given was not answered with `NoMemory`.
    #[error("before any memory was given, a request was answered with {answer:?}")]
    AnswerWithoutMemory {
        /// The refusal, or `None` for a block.
        answer: Option<AllocError>,
    },
    /// A misuse was not found.
    #[error("the misuse was accepted")]
    MisuseAccepted,
    /// A live block, given back with its own layout, was refused.
    #[error("live block {start:#x} was refused: {error}")]
    LiveRefused {
        /// Where the block starts.
        start: usize,
        /// The answer.
        error: AllocError,
    },
    /// An invariant of the subject is broken.
    #[error("invariant broken: {0}")]
    Invariant(String),
}

/// A fault, and the operation after which it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}: {fault}", match op { Some(op) => format!("step {step}, {op:?}"), None => format!("outside step {step}") })]
pub struct Violation {
    /// Index of the operation.
    pub step: usize,
    /// The operation; `None` before the first and while all blocks are freed at the end.
    pub op: Option<Op>,
    /// What was wrong.
    pub fault: Fault,
}
