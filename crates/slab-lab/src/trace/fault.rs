//! What can be wrong with a recording, and where.

use std::fmt;
use std::io;

use thiserror::Error;

/// A recording that cannot be read. Displays as one line.
#[derive(Debug, Error)]
#[error("{file}{place}: {fault}")]
#[non_exhaustive]
pub struct TraceError {
    /// The file as the user named it.
    pub file: String,
    /// Where reading stopped.
    pub place: Place,
    /// What is wrong there.
    pub fault: Fault,
}

/// A place in a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The file as a whole.
    File,
    /// A line of a text format, from one; of the decompressed text if the file is compressed.
    Line(u64),
    /// A byte of a binary format, from zero; of the decompressed contents after the magic.
    Byte(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => Ok(()),
            Self::Line(line) => write!(f, ":{line}"),
            Self::Byte(byte) => write!(f, ": byte {byte}"),
        }
    }
}

/// What is wrong with a recording.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Fault {
    /// The file cannot be read, or its compression is damaged.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
    /// It has the form of no recording known here.
    #[error(
        "not a recording: neither heaptrack raw nor valgrind --trace-malloc nor a slab-lab trace"
    )]
    Foreign,
    /// The text ends without a line end.
    #[error("the file ends in the middle of a line")]
    UnfinishedLine,
    /// A line longer than any recorder writes.
    #[error("a line is longer than {limit} bytes")]
    LongLine {
        /// Bytes of a line that are accepted.
        limit: usize,
    },
    /// A line that no recorder writes.
    #[error("expected {expected}")]
    Line {
        /// The form a line of this kind has.
        expected: &'static str,
    },
    /// The text holds no request at all.
    #[error("the recording holds no allocation")]
    NoOperation,
    /// The version of our format is not known.
    #[error("version {found} of the trace format is not known, only {known} is")]
    Version {
        /// What the file says.
        found: u8,
        /// What is known here.
        known: u8,
    },
    /// The binary contents stop before the operations they announce.
    #[error("the file ends after {read} of {announced} operations")]
    Truncated {
        /// Operations that were read.
        read: u64,
        /// Operations that the header announces.
        announced: u64,
    },
    /// Bytes follow the last operation.
    #[error("bytes follow the last operation")]
    Trailing,
    /// A number that does not end within 64 bits.
    #[error("a number is longer than 64 bits")]
    LongNumber,
    /// A trace's name that is too long or no text.
    #[error("the trace's name is not text of at most {limit} bytes")]
    Name {
        /// Bytes that are accepted.
        limit: usize,
    },
    /// A request too large to be replayed.
    #[error("a block of {size} bytes is larger than the {limit} that can be replayed")]
    LargeBlock {
        /// Bytes asked for.
        size: u64,
        /// Bytes that are accepted.
        limit: u64,
    },
    /// An alignment that is no power of two, or too large.
    #[error("{align} is not an alignment: a power of two up to {limit}")]
    Alignment {
        /// What the recording says.
        align: u64,
        /// The largest accepted.
        limit: u64,
    },
    /// A slot of our format that holds no block.
    #[error("slot {slot} holds no block")]
    VacantSlot {
        /// The slot named.
        slot: u64,
    },
    /// More requests than are kept in memory.
    #[error("more than {limit} operations; import the first ones with --first")]
    ManyOperations {
        /// Requests that are accepted.
        limit: usize,
    },
    /// More blocks alive than are kept in memory.
    #[error("more than {limit} blocks live at one time")]
    ManyBlocks {
        /// Blocks that are accepted.
        limit: usize,
    },
}

impl Fault {
    /// Says where it happened.
    pub(super) fn at(self, file: &str, place: Place) -> TraceError {
        TraceError { file: file.to_owned(), place, fault: self }
    }
}
