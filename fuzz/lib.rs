//! What the fuzz targets share: the count of operations, and the check of the parsers.

use std::cell::Cell;
use std::io::Read;

use slab_lab::trace::{self, OPERATIONS_MAX, Trace, TraceError, binary};

/// Adds operations to the number that the process reports when it ends: an input that is refused at its
/// first byte is a run too, and runs alone say little.
pub fn count(operations: usize) {
    /// Reports as the main thread, which runs all inputs, ends.
    struct Operations(Cell<u64>);
    impl Drop for Operations {
        fn drop(&mut self) {
            eprintln!("operations: {}", self.0.get());
        }
    }
    thread_local! {
        static OPERATIONS: Operations = const { Operations(Cell::new(0)) };
    }
    OPERATIONS.with(|all| all.0.set(all.0.get() + operations as u64));
}

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
    count(first.ops().len());
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
