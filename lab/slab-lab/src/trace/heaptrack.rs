//! Raw recordings of heaptrack: `heaptrack --raw -o FILE COMMAND`.
//!
//! One record per line, named by its first character, numbers in hexadecimal. Read are
//! `+ SIZE TRACE POINTER`, `- POINTER`, and of the whole run `c MILLISECONDS`, `R RESIDENT_PAGES`
//! and `I PAGE_BYTES …`. Alignments and threads are not recorded, and a realloc appears as a free
//! and an allocation. The first block is heaptrack's own and is left out.

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
    let mut page_bytes = 4096;
    super::text::read(file, name, text, first, |tracker, line| match record(line)? {
        Record::Alloc { .. } if !own_block_seen => {
            own_block_seen = true;
            Ok(())
        }
        Record::Alloc { size, block } => tracker.alloc(block, size, MALLOC_ALIGN as u64),
        Record::Free { block } => tracker.free(block),
        Record::Time { milliseconds } => {
            tracker.run.milliseconds = milliseconds;
            Ok(())
        }
        Record::Resident { pages } => {
            let bytes = pages.saturating_mul(page_bytes);
            tracker.run.resident_bytes = tracker.run.resident_bytes.max(bytes);
            Ok(())
        }
        Record::System { page_bytes: bytes } => {
            page_bytes = bytes;
            Ok(())
        }
        Record::Other => Ok(()),
    })
}

enum Record {
    Alloc { size: u64, block: u64 },
    Free { block: u64 },
    Time { milliseconds: u64 },
    Resident { pages: u64 },
    System { page_bytes: u64 },
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
        [b'c' | b'R' | b'I', b' ', rest @ ..] => Ok(about_the_run(line[0], rest)),
        [first, rest @ ..] if RECORDS.contains(first) && matches!(rest, [] | [b' ', ..]) => {
            Ok(Record::Other)
        }
        _ => Err(OTHER),
    }
}

/// Reads what a record says about the whole run. An unreadable number is left out: the requests are
/// sound without it.
fn about_the_run(kind: u8, rest: &[u8]) -> Record {
    let digits = rest.split(|&byte| byte == b' ').next().unwrap_or_default();
    match (kind, number(digits, 16)) {
        (b'c', Some(milliseconds)) => Record::Time { milliseconds },
        (b'R', Some(pages)) => Record::Resident { pages },
        (b'I', Some(page_bytes)) => Record::System { page_bytes },
        _ => Record::Other,
    }
}
