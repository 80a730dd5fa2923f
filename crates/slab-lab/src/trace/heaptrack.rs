//! Raw recordings of heaptrack: `heaptrack --raw -o FILE COMMAND`.
//!
//! One record per line, named by its first character, numbers in hexadecimal. Only two matter
//! here: `+ SIZE TRACE POINTER` and `- POINTER`. There is no alignment, no realloc (it appears as a
//! free and an allocation) and no thread. The first block is the recorder's own, made before the
//! program runs, and is left out.

use std::io::BufRead;

use super::lines::number;
use super::{Fault, MALLOC_ALIGN, Trace, TraceError};

/// The first characters of all records that heaptrack writes.
const RECORDS: &[u8] = b"vxXIsmtiacRAS#+-";

/// Returns whether a text may be such a recording.
pub(super) fn is_start(text: &[u8]) -> bool {
    text.starts_with(b"v ")
}

/// Reads a recording, up to `first` operations.
pub(super) fn read(
    file: &str,
    name: &str,
    text: impl BufRead,
    first: usize,
) -> Result<Trace, TraceError> {
    let mut own_block_seen = false;
    super::text::read(file, name, text, first, |recorder, line| match record(line)? {
        Record::Alloc { .. } if !own_block_seen => {
            own_block_seen = true;
            Ok(())
        }
        Record::Alloc { size, block } => recorder.alloc(block, size, MALLOC_ALIGN as u64),
        Record::Free { block } => recorder.free(block),
        Record::Other => Ok(()),
    })
}

enum Record {
    Alloc { size: u64, block: u64 },
    Free { block: u64 },
    Other,
}

fn record(line: &[u8]) -> Result<Record, Fault> {
    const ALLOC: Fault = Fault::Line { expected: "`+ SIZE TRACE POINTER` in hexadecimal" };
    const FREE: Fault = Fault::Line { expected: "`- POINTER` in hexadecimal" };
    const OTHER: Fault = Fault::Line { expected: "a record of heaptrack's raw format" };

    match line {
        [b'+', b' ', rest @ ..] => {
            let mut fields = rest.split(|&byte| byte == b' ').map(|field| number(field, 16));
            match (fields.next(), fields.next(), fields.next(), fields.next()) {
                (Some(Some(size)), Some(Some(_)), Some(Some(block)), None) => {
                    Ok(Record::Alloc { size, block })
                }
                _ => Err(ALLOC),
            }
        }
        [b'-', b' ', digits @ ..] => {
            number(digits, 16).map(|block| Record::Free { block }).ok_or(FREE)
        }
        [first, rest @ ..] if RECORDS.contains(first) && matches!(rest, [] | [b' ', ..]) => {
            Ok(Record::Other)
        }
        _ => Err(OTHER),
    }
}
