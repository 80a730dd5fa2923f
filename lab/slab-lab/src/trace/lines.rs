//! The lines of a text of any length, in bounded memory.

use std::io::{BufRead, Read as _};

use super::{Fault, Place, TraceError};

/// Longer than any line of a recorder: the longest is the recorded program's command line.
const LINE_BYTES_MAX: usize = 1 << 18;

/// The lines of a recording, each without its end.
pub(super) struct Lines<'a, R> {
    file: &'a str,
    text: R,
    line: Vec<u8>,
    number: u64,
}

impl<'a, R: BufRead> Lines<'a, R> {
    pub(super) fn new(file: &'a str, text: R) -> Self {
        Self { file, text, line: Vec::new(), number: 0 }
    }

    /// Returns the next line, or `None` after the last one.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, TraceError> {
        self.number += 1;
        self.line.clear();
        let mut bounded = self.text.by_ref().take(LINE_BYTES_MAX as u64);
        let outcome = bounded.read_until(b'\n', &mut self.line);
        match outcome {
            Err(error) => Err(self.fault(error.into())),
            Ok(0) => Ok(None),
            Ok(_) if self.line.ends_with(b"\n") => {
                let end = self.line.len() - 1;
                Ok(Some(&self.line[..end]))
            }
            Ok(LINE_BYTES_MAX) => Err(self.fault(Fault::LongLine { limit: LINE_BYTES_MAX })),
            Ok(_) => Err(self.fault(Fault::UnfinishedLine)),
        }
    }

    /// Adds the current line to a fault.
    pub(super) fn fault(&self, fault: Fault) -> TraceError {
        fault.at(self.file, Place::Line(self.number))
    }

    /// Adds the file to a fault.
    pub(super) fn whole(&self, fault: Fault) -> TraceError {
        fault.at(self.file, Place::File)
    }
}

/// Reads an unsigned number written without sign, prefix or spaces.
pub(super) fn number(digits: &[u8], radix: u32) -> Option<u64> {
    let digits = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?;
    u64::from_str_radix(digits, radix).ok()
}
