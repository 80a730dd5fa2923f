//! Why a program could not be recorded.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::install::Missing;
use crate::trace::TraceError;

/// The reason for which there is no recording. Displays as one line.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// No such program.
    #[error("{program}: {}", if *exists { "is not an executable file" } else { "no such program" })]
    Program {
        /// As the user named it.
        program: String,
        /// Whether there is a file of that name.
        exists: bool,
    },
    /// No recorder, or not the one that was asked for.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// heaptrack is there, but not the library that does the work.
    #[error("{} has no {library} beside it; try --with valgrind", script.display())]
    Library {
        /// What is missing.
        library: &'static str,
        /// The part that is there.
        script: PathBuf,
    },
    /// There is no place for the recording.
    #[error("no temporary directory: {0}")]
    Temporary(io::Error),
    /// Interrupts cannot be handled.
    #[error("interrupts cannot be handled: {0}")]
    Interrupts(ctrlc::Error),
    /// The recorder does not start.
    #[error("{what} cannot be started: {error}")]
    Start {
        /// The recorder.
        what: &'static str,
        /// Why.
        error: io::Error,
    },
    /// The program ended with an error of its own.
    #[error("{program} failed with exit code {code}; nothing was replayed")]
    Failed {
        /// Its name.
        program: String,
        /// What it returned.
        code: i32,
    },
    /// The program was killed.
    #[error("{program} was ended by signal {signal}; nothing was replayed")]
    Crashed {
        /// Its name.
        program: String,
        /// By what.
        signal: i32,
    },
    /// The recording cannot be read.
    #[error("the recording of {program} cannot be read: {error}")]
    Unreadable {
        /// The program's name.
        program: String,
        /// Why.
        error: io::Error,
    },
    /// The recording is empty.
    #[error(
        "{program} allocated nothing that could be seen: it may be linked statically, bring an \
         allocator of its own, or leave the work to another process"
    )]
    Silent {
        /// Its name.
        program: String,
    },
    /// The recording is no good.
    #[error(transparent)]
    Recording(#[from] TraceError),
}

impl RecordError {
    /// Returns what a shell would see had the program run alone: its own code, or 128 and the signal.
    /// Nothing if it was not the program that failed.
    pub fn program_exit_code(&self) -> Option<u8> {
        match self {
            Self::Failed { code, .. } => Some(u8::try_from(*code).unwrap_or(1)),
            Self::Crashed { signal, .. } => u8::try_from(128 + signal).ok(),
            _ => None,
        }
    }
}
