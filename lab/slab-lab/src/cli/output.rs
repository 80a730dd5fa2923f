//! Standard output.

use std::io::{self, Write};

use super::LabError;

/// Prints to standard output. A reader that has closed the pipe is not an error.
pub(super) fn print(text: &str) -> Result<(), LabError> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(LabError::Output(error)),
        _ => Ok(()),
    }
}
