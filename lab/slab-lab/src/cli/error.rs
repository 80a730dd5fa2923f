//! Why a command fails. Each error displays as one line.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use thiserror::Error;

use crate::record::RecordError;
use crate::replay::ReplayError;
use crate::trace::TraceError;

/// Why a command failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LabError {
    /// A recording is refused.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// A replay cannot start.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A program cannot be recorded.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A recording without call stacks.
    #[error("{trace}: the recording has no call stacks; record with --stacks")]
    NoStacks {
        /// The name of the trace.
        trace: String,
    },
    /// An unknown allocator.
    #[error("no allocator is named {name}; there are {known}")]
    UnknownAllocator {
        /// The unknown name.
        name: String,
        /// The known names.
        known: String,
    },
    /// An unknown embedded trace.
    #[error("no embedded trace is named {name}; there are {known}")]
    UnknownTrace {
        /// The unknown name.
        name: String,
        /// The known names.
        known: String,
    },
    /// A file cannot be written.
    #[error("{}: cannot be written: {error}", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// The reason.
        error: io::Error,
    },
    /// The drawing library failed.
    #[error("cannot be drawn: {0}")]
    Drawing(String),
    /// Standard output cannot be written.
    #[error("standard output: {0}")]
    Output(io::Error),
    /// The lab of a worker ended.
    #[error("worker: {0}")]
    Worker(io::Error),
}

impl LabError {
    /// Returns the exit code: that of a recorded program that failed, else 2.
    pub(super) fn exit_code(&self) -> ExitCode {
        let programs = match self {
            Self::Record(error) => error.program_exit_code(),
            _ => None,
        };
        ExitCode::from(programs.unwrap_or(2))
    }
}

/// Returns the first paragraph of an error of the arguments as one line.
pub(super) fn in_one_line(text: &str) -> String {
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    line.strip_prefix("error: ").map(str::to_owned).unwrap_or(line)
}
