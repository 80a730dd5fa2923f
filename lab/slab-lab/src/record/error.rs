//! Why a program could not be recorded.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::install::Missing;
use crate::trace::TraceError;

/// Why there is no recording. Displays as one line.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The program is missing or not executable.
    #[error("{program}: {}", if *exists { "is not an executable file" } else { "no such program" })]
    Program {
        /// As the user named it.
        program: String,
        /// Whether there is a file of that name.
        exists: bool,
    },
    /// The recorder is not installed.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// heaptrack has no library.
    #[error("{} has no {library} beside it; try --with valgrind", script.display())]
    Library {
        /// The library.
        library: &'static str,
        /// The script of heaptrack.
        script: PathBuf,
    },
    /// There is no temporary directory.
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
        /// The reason.
        error: io::Error,
    },
    /// The program failed.
    #[error("{program} failed with exit code {code}; nothing was replayed")]
    Failed {
        /// Its name.
        program: String,
        /// Its exit code.
        code: i32,
    },
    /// A signal ended the program.
    #[error("{program} was ended by signal {signal}; nothing was replayed")]
    Crashed {
        /// Its name.
        program: String,
        /// The signal.
        signal: i32,
    },
    /// The recording cannot be read.
    #[error("the recording of {program} cannot be read: {error}")]
    Unreadable {
        /// The program's name.
        program: String,
        /// The reason.
        error: io::Error,
    },
    /// The recording has no requests.
    #[error(
        "{program} allocated nothing that could be seen: it may be linked statically, have its own \
         allocator, or leave the work to another process"
    )]
    Silent {
        /// Its name.
        program: String,
    },
    /// The recording is refused.
    #[error(transparent)]
    Recording(#[from] TraceError),
}

impl RecordError {
    /// Returns the exit code that a shell reports for a program that failed: its own, or 128 and the
    /// signal. `None` if the program did not fail.
    pub fn program_exit_code(&self) -> Option<u8> {
        match self {
            Self::Failed { code, .. } => Some(u8::try_from(*code).unwrap_or(1)),
            Self::Crashed { signal, .. } => u8::try_from(128 + signal).ok(),
            _ => None,
        }
    }
}
