//! The loop that all textual recordings have in common: line after line into a [`Recorder`].

use std::io::BufRead;

use super::lines::Lines;
use super::recorder::Recorder;
use super::{Fault, Trace, TraceError};

/// Reads a recording line by line, up to `first` operations. `take` does what a line says; a fault of
/// its is reported with the line's number.
pub(super) fn read(
    file: &str,
    name: &str,
    text: impl BufRead,
    first: usize,
    mut take: impl FnMut(&mut Recorder, &[u8]) -> Result<(), Fault>,
) -> Result<Trace, TraceError> {
    let mut lines = Lines::new(file, text);
    let mut recorder = Recorder::default();
    while recorder.operations() < first {
        let Some(line) = lines.next()? else { break };
        take(&mut recorder, line).map_err(|fault| lines.fault(fault))?;
    }
    if recorder.operations() == 0 {
        return Err(lines.whole(Fault::NoOperation));
    }
    Ok(recorder.finish(name))
}
