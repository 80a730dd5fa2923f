//! The difference between two peers, as one of them sees it.

extern crate alloc;

use alloc::vec::Vec;
use core::fmt;

use crate::journal::{OpLog, Operation};
use crate::{BlockId, Config};

/// The most bytes that an [`OperationSummary`] has of a write, and a report of a difference.
pub const SHOWN_BYTES: usize = 32;

/// Operations of each peer in a report, from the first that differs on.
pub const SHOWN_OPERATIONS: usize = 4;

/// Operations on the blocks before, the last of them.
const HISTORY_OPERATIONS: usize = 8;

/// An operation as peers show it to each other: of a long write, only the start.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperationSummary {
    /// A block was handed out.
    Alloc {
        /// Bytes requested.
        size: usize,
        /// Alignment requested.
        align: usize,
        /// Whether zeros were requested.
        zeroed: bool,
        /// The block.
        id: BlockId,
    },
    /// A block was freed.
    Free {
        /// The block.
        id: BlockId,
    },
    /// Bytes were written into a block.
    Write {
        /// The block.
        id: BlockId,
        /// Offset in the block of the first byte written.
        offset: usize,
        /// How many were written.
        len: usize,
        /// The first of them, at most 32.
        start: Vec<u8>,
    },
    /// Memory was given back.
    Trim {
        /// Pages given back.
        released_pages: usize,
    },
}

impl OperationSummary {
    /// Returns the block that the operation was about.
    pub fn block(&self) -> Option<BlockId> {
        match *self {
            Self::Alloc { id, .. } | Self::Free { id } | Self::Write { id, .. } => Some(id),
            Self::Trim { .. } => None,
        }
    }
}

impl From<Operation<'_>> for OperationSummary {
    fn from(operation: Operation<'_>) -> Self {
        match operation {
            Operation::Alloc { size, align, zeroed, id } => Self::Alloc { size, align, zeroed, id },
            Operation::Free { id } => Self::Free { id },
            Operation::Write { id, offset, bytes } => {
                let start = bytes[..bytes.len().min(SHOWN_BYTES)].to_vec();
                Self::Write { id, offset, len: bytes.len(), start }
            }
            Operation::Trim { released_pages } => Self::Trim { released_pages },
        }
    }
}

impl fmt::Display for OperationSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Alloc { size, align, zeroed, id } => {
                write!(f, "{}", Operation::Alloc { size, align, zeroed, id })
            }
            Self::Free { id } => write!(f, "{}", Operation::Free { id }),
            Self::Write { id, offset, len, start: ref bytes } => {
                write!(f, "{}", Operation::Write { id, offset, bytes })?;
                if len > bytes.len() { write!(f, "… ({len} bytes)") } else { Ok(()) }
            }
            Self::Trim { released_pages } => write!(f, "{}", Operation::Trim { released_pages }),
        }
    }
}

/// The bytes in which two writes differ.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ByteDifference {
    /// Offset in the block of the first byte that differs.
    pub offset: usize,
    /// Our bytes from there on, at most 32.
    pub ours: Vec<u8>,
    /// Theirs.
    pub theirs: Vec<u8>,
}

/// The first difference between our log and that of a peer, as a
/// [`DivergenceSearch`](super::DivergenceSearch) found it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerDivergence {
    /// The allocators have different configurations: their operations cannot be compared.
    Config {
        /// Our configuration.
        ours: Config,
        /// The peer's.
        theirs: Config,
    },
    /// The logs start at different fingerprints.
    Start {
        /// Fingerprint before our first operation.
        ours: u64,
        /// Fingerprint before the peer's.
        theirs: u64,
    },
    /// The operations with this number differ, in their arguments or in their outcome.
    #[non_exhaustive]
    Operation {
        /// Number of the operation, counted from 0: the logs share as many.
        at: usize,
        /// Our operation and up to three that follow it; none if our log has ended.
        ours: Vec<OperationSummary>,
        /// The peer's.
        theirs: Vec<OperationSummary>,
        /// The bytes that differ, where both wrote to the same place.
        bytes: Option<ByteDifference>,
        /// The last shared operations on the blocks of these operations, at most eight, with their numbers.
        history: Vec<(usize, OperationSummary)>,
    },
    /// All operations are equal, but not the fingerprints behind them: a block lies in another place.
    End {
        /// Fingerprint after our last operation.
        ours: u64,
        /// Fingerprint after the peer's.
        theirs: u64,
    },
}

impl PeerDivergence {
    /// Returns the number of the operation that differs.
    pub fn at(&self) -> Option<usize> {
        match *self {
            Self::Operation { at, .. } => Some(at),
            _ => None,
        }
    }

    /// Returns the block that our operation was about, or the peer's if our log has ended.
    pub fn block(&self) -> Option<BlockId> {
        let Self::Operation { ours, theirs, .. } = self else { return None };
        ours.first().or(theirs.first())?.block()
    }
}

impl fmt::Display for PeerDivergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config { ours, theirs } => {
                write!(f, "the configurations differ: {ours:?}, theirs {theirs:?}")
            }
            Self::Start { ours, theirs } => {
                write!(f, "our log starts at fingerprint {ours:016x}, theirs at {theirs:016x}")
            }
            Self::End { ours, theirs } => write!(
                f,
                "the operations are equal; our log ends at fingerprint {ours:016x}, theirs at {theirs:016x}"
            ),
            Self::Operation { at, ours, theirs, bytes, history } => {
                write!(f, "the logs differ at operation {at}")?;
                if let Some(ByteDifference { offset, ours, theirs }) = bytes {
                    write!(f, ", from byte {offset} of the block on:\n    ours   ")?;
                    hex(f, ours)?;
                    write!(f, "\n    theirs ")?;
                    hex(f, theirs)?;
                }
                write!(f, "\nour operations from there on:")?;
                list(f, ours)?;
                write!(f, "\ntheirs:")?;
                list(f, theirs)?;
                write!(f, "\nthe last that both did with these blocks:")?;
                history.iter().try_for_each(|(at, operation)| write!(f, "\n    {at}: {operation}"))
            }
        }
    }
}

fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn list(f: &mut fmt::Formatter<'_>, operations: &[OperationSummary]) -> fmt::Result {
    if operations.is_empty() {
        return write!(f, "\n    the end");
    }
    operations.iter().try_for_each(|operation| write!(f, "\n    {operation}"))
}

/// Returns the last operations before `at` on some blocks, with their numbers. *O*(`at`).
pub fn history(
    log: &OpLog,
    at: usize,
    blocks: [Option<BlockId>; 2],
) -> Vec<(usize, OperationSummary)> {
    let concerns = |operation: &Operation<'_>| match *operation {
        Operation::Alloc { id, .. } | Operation::Free { id } | Operation::Write { id, .. } => {
            blocks.contains(&Some(id))
        }
        Operation::Trim { .. } => false,
    };
    let mut last = alloc::collections::VecDeque::new();
    for (number, operation) in log.operations().take(at).enumerate() {
        if concerns(&operation) {
            if last.len() == HISTORY_OPERATIONS {
                last.pop_front();
            }
            last.push_back((number, operation));
        }
    }
    last.into_iter().map(|(number, operation)| (number, operation.into())).collect()
}
