//! The loop that both text formats share: line after line into a [`Tracker`].

use std::io::BufRead;

use super::lines::Lines;
use super::tracker::Tracker;
use super::{Fault, Trace, TraceError};

/// Reads a recording line by line, up to `first` operations. `take` handles one line; its faults are
/// reported with the line's number.
pub(super) fn read(
    file: &str,
    name: &str,
    text: impl BufRead,
    first: usize,
    mut take: impl FnMut(&mut Tracker, &[u8]) -> Result<(), Fault>,
) -> Result<Trace, TraceError> {
    let mut lines = Lines::new(file, text);
    let mut tracker = Tracker::default();
    while tracker.operations() < first {
        let Some(line) = lines.next()? else { break };
        take(&mut tracker, line).map_err(|fault| lines.fault(fault))?;
    }
    if tracker.operations() == 0 {
        return Err(lines.whole(Fault::NoOperation));
    }
    Ok(tracker.finish(name))
}
