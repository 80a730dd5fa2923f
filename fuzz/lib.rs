//! Code that the fuzz targets share: the count of operations, and the check of the trace parsers.

use std::cell::Cell;
use std::io::Read;

use slab_binned::{BlockAllocator, BlockId, Global, Journal};
use slab_lab::trace::{self, OPERATIONS_MAX, Trace, TraceError, binary};

/// Adds to the number of operations that the process reports when it ends. The number of runs says little,
/// because an input that is refused at its first byte counts as a run.
pub fn count(operations: usize) {
    /// Reports when the main thread ends, which runs all inputs.
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

/// Runs a short program on a deterministic allocator: allocates, writes, frees and trims. Live blocks are kept in `live`.
///
/// # Panics
///
/// If the allocator refuses any of it.
pub fn run_on_ids<J: Journal>(
    blocks: &mut BlockAllocator<Global, J>,
    live: &mut Vec<BlockId>,
    program: &[u8],
) {
    for (step, &byte) in program.iter().enumerate() {
        let size = [10, 48, 200, 2048, 5000, 70_000][usize::from(byte) % 6] + step;
        match byte {
            0..=180 => live.push(blocks.alloc(size).expect("memory")),
            181..=190 => drop(blocks.trim()),
            _ if live.is_empty() => {}
            _ => {
                let id = live.swap_remove(step % live.len());
                blocks.write(id, b"dead").expect("live");
                blocks.free(id).expect("live");
            }
        }
    }
}

/// Reads a recording. If the parser accepts it, writes it in the lab's own format and reads it again.
///
/// # Panics
///
/// If the second reading gives other requests, or if the text of an error is not one line.
pub fn read_and_rewrite(recording: impl Read) {
    let first = match read(recording) {
        Ok(first) => first,
        Err(error) => return assert!(!error.to_string().contains('\n'), "{error:?}"),
    };
    count(first.ops().len());
    let mut written = Vec::new();
    binary::write(&first, &mut written, binary::FAST).expect("a write into a vector succeeds");
    let second =
        read(&written[..]).expect("an accepted recording is accepted again after it was written");
    assert_eq!(first.ops(), second.ops());
    assert_eq!(first.slots(), second.slots());
    assert_eq!(first.peak_live_bytes(), second.peak_live_bytes());
}

fn read(recording: impl Read) -> Result<Trace, TraceError> {
    trace::read("fuzz", "fuzz", recording, OPERATIONS_MAX)
}
