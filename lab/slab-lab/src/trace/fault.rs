//! Why a recording is refused, and where in the file.

use std::fmt;
use std::io;

use thiserror::Error;

/// A recording that cannot be read. Displays as one line.
#[derive(Debug, Error)]
#[error("{file}{place}: {fault}")]
#[non_exhaustive]
pub struct TraceError {
    /// The file, as the user named it.
    pub file: String,
    /// The place where reading stopped.
    pub place: Place,
    /// The reason.
    pub fault: Fault,
}

/// A place in a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The file as a whole.
    File,
    /// A line of a text format, counted from one in the decompressed text.
    Line(u64),
    /// A byte of the binary format, counted from zero in the decompressed contents.
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

/// The reason why a recording is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Fault {
    /// The file cannot be read, or its compression is damaged.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The file is empty.
    #[error("the file is empty")]
    Empty,
    /// The format is none of those that are read.
    #[error(
        "not a recording: neither heaptrack raw nor valgrind --trace-malloc nor slab-record nor a \
         slab-lab trace"
    )]
    Foreign,
    /// The text does not end with a line end.
    #[error("the file ends in the middle of a line")]
    UnfinishedLine,
    /// A line longer than any recorder writes.
    #[error("a line is longer than {limit} bytes")]
    LongLine {
        /// The longest accepted line.
        limit: usize,
    },
    /// A line that no recorder writes.
    #[error("expected {expected}")]
    Line {
        /// The form of a line of this kind.
        expected: &'static str,
    },
    /// The recording holds no request.
    #[error("the recording holds no allocation")]
    NoOperation,
    /// The version of the lab's format is unknown.
    #[error("version {found} of the trace format is unknown; known are 1 to {known}")]
    Version {
        /// The version of the file.
        found: u8,
        /// The newest known version.
        known: u8,
    },
    /// The binary contents end before the last announced operation.
    #[error("the file ends after {read} of {announced} operations")]
    Truncated {
        /// Operations read.
        read: u64,
        /// Operations announced by the header.
        announced: u64,
    },
    /// Bytes follow the last operation.
    #[error("bytes follow the last operation")]
    Trailing,
    /// An operation of no known kind.
    #[error("an operation of no known kind")]
    Kind,
    /// A number that does not end within 64 bits.
    #[error("a number is longer than 64 bits")]
    LongNumber,
    /// The trace's name is too long or is not text.
    #[error("the trace's name is not text of at most {limit} bytes")]
    Name {
        /// The longest accepted name.
        limit: usize,
    },
    /// A request too large to be replayed.
    #[error("a block of {size} bytes is larger than the {limit} that can be replayed")]
    LargeBlock {
        /// The requested size.
        size: u64,
        /// The largest accepted size.
        limit: u64,
    },
    /// The alignment is not a power of two, or is too large.
    #[error("{align} is not an alignment: a power of two up to {limit}")]
    Alignment {
        /// The recorded alignment.
        align: u64,
        /// The largest accepted alignment.
        limit: u64,
    },
    /// An operation of the lab's format names a vacant slot.
    #[error("slot {slot} holds no block")]
    VacantSlot {
        /// The named slot.
        slot: u64,
    },
    /// More requests than a trace may have.
    #[error("more than {limit} operations; import the first ones with --first")]
    ManyOperations {
        /// The most requests of a trace.
        limit: usize,
    },
    /// More threads than a trace may have.
    #[error("more than {limit} threads")]
    ManyThreads {
        /// The most threads.
        limit: usize,
    },
    /// Call stacks that are too large, or that name a frame which is missing.
    #[error("the call stacks are too large, or name a frame that is not there")]
    Stacks,
    /// More live blocks than a trace may have.
    #[error("more than {limit} blocks live at one time")]
    ManyBlocks {
        /// The most live blocks.
        limit: usize,
    },
}

impl Fault {
    /// Adds the file and the place.
    pub(crate) fn at(self, file: &str, place: Place) -> TraceError {
        TraceError { file: file.to_owned(), place, fault: self }
    }
}
