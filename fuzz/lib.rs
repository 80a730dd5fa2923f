//! What the fuzz targets of the parsers share.

use std::io::Read;

use slab_lab::trace::{self, OPERATIONS_MAX, Trace, TraceError, binary};

/// Reads a recording, which may be refused. One that is accepted has to survive the lab's own
/// format: what is written is read as the same requests.
///
/// # Panics
///
/// If it does not, or if a refusal is not one line.
pub fn read_and_rewrite(recording: impl Read) {
    let first = match read(recording) {
        Ok(first) => first,
        Err(error) => return assert!(!error.to_string().contains('\n'), "{error:?}"),
    };
    let mut written = Vec::new();
    binary::write(&first, &mut written, binary::FAST).expect("a vector takes everything");
    let second = read(&written[..]).expect("what was accepted once is accepted again");
    assert_eq!(first.ops(), second.ops());
    assert_eq!(first.slots(), second.slots());
    assert_eq!(first.peak_live_bytes(), second.peak_live_bytes());
}

fn read(recording: impl Read) -> Result<Trace, TraceError> {
    trace::read("fuzz", "fuzz", recording, OPERATIONS_MAX)
}
