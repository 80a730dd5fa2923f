//! Why a command cannot be carried out. Each displays as one line.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use thiserror::Error;

use crate::record::RecordError;
use crate::replay::ReplayError;
use crate::trace::TraceError;

/// The reason for which a command stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LabError {
    /// A recording is no good.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// A replay cannot start.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A program cannot be recorded.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// No contender of this name.
    #[error("no allocator is named {name}; there are {known}")]
    UnknownAllocator {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// No embedded trace of this name.
    #[error("no embedded trace is named {name}; there are {known}")]
    UnknownTrace {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A file cannot be written.
    #[error("{}: cannot be written: {error}", file.display())]
    Write {
        /// Which file.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The drawing library failed.
    #[error("cannot be drawn: {0}")]
    Drawing(String),
    /// Standard output cannot be written.
    #[error("standard output: {0}")]
    Output(io::Error),
    /// A worker lost its lab.
    #[error("worker: {0}")]
    Worker(io::Error),
}

impl LabError {
    /// Returns the code with which the lab ends: that of a recorded program if it failed, else 2.
    pub(super) fn exit_code(&self) -> ExitCode {
        let programs = match self {
            Self::Record(error) => error.program_exit_code(),
            _ => None,
        };
        ExitCode::from(programs.unwrap_or(2))
    }
}
