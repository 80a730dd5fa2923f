//! Recordings of valgrind: `valgrind --tool=memcheck --trace-malloc=yes --log-file=FILE COMMAND`.
//!
//! One call per line, after the process number: `--12-- malloc(24) = 0x4D2B100`. Sizes are decimal,
//! addresses hexadecimal. Realloc, calloc and alignments are kept. Forked processes write into the
//! same file; only the first process is read. The log has no times.

use std::io::BufRead;

use super::lines::number;
use super::tracker::Tracker;
use super::{Fault, MALLOC_ALIGN, Trace, TraceError};

/// Returns whether a text may be such a recording.
pub(super) fn is_start(text: &[u8]) -> bool {
    message(text).is_some()
}

/// Reads a recording, up to `first` operations.
pub(super) fn read(
    file: &str,
    name: &str,
    text: impl BufRead,
    first: usize,
) -> Result<Trace, TraceError> {
    const LOG: Fault = Fault::Line { expected: "a line of valgrind's log; use --log-file" };

    let mut recorded_process = None;
    super::text::read(file, name, text, first, |tracker, line| {
        let Message { traced, process, text } = message(line).ok_or(LOG)?;
        if !traced {
            Ok(())
        } else if *recorded_process.get_or_insert(process) == process {
            take(tracker, call(text)?)
        } else {
            tracker.warnings.foreign_lines += 1;
            Ok(())
        }
    })
}

/// A line of the log.
struct Message<'a> {
    /// Whether it is of the kind that traces calls, `--12--` instead of `==12==`.
    traced: bool,
    process: u64,
    text: &'a [u8],
}

fn message(line: &[u8]) -> Option<Message<'_>> {
    let (mark, rest) = line.split_at_checked(2)?;
    if !matches!(mark, b"--" | b"==" | b"**") {
        return None;
    }
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let process = number(&rest[..digits], 10)?;
    let text = rest[digits..].strip_prefix(mark)?;
    Some(Message { traced: mark == b"--", process, text: text.strip_prefix(b" ").unwrap_or(text) })
}

/// A call that is read.
#[derive(Debug, PartialEq, Eq)]
enum Call {
    Alloc {
        size: u64,
        align: u64,
        block: u64,
    },
    AllocZeroed {
        size: u64,
        block: u64,
    },
    Realloc {
        old: u64,
        size: u64,
        new: u64,
    },
    Free {
        block: u64,
    },
    /// A request that the allocator refused.
    Refused,
    Other,
}

fn take(tracker: &mut Tracker, call: Call) -> Result<(), Fault> {
    match call {
        Call::Alloc { size, align, block } => tracker.alloc(block, size, align),
        Call::AllocZeroed { size, block } => tracker.alloc_zeroed(block, size),
        Call::Realloc { old, size, new } => tracker.realloc(old, new, size),
        Call::Free { block: 0 } | Call::Other => Ok(()),
        Call::Free { block } => tracker.free(block),
        Call::Refused => {
            tracker.warnings.refused_requests += 1;
            Ok(())
        }
    }
}

fn call(text: &[u8]) -> Result<Call, Fault> {
    const CALL: Fault = Fault::Line { expected: "`NAME(ARGUMENTS) = 0xADDRESS`" };

    let Some(open) = text.iter().position(|&byte| byte == b'(') else { return Ok(Call::Other) };
    let (name, rest) = (&text[..open], &text[open + 1..]);
    let kind = match name {
        b"malloc" | b"calloc" | b"realloc" | b"memalign" | b"free" => name,
        // The mangled names of C++'s operators new and delete, in all their variants.
        [b'_', b'Z', b'n', b'w' | b'a', ..] => b"new",
        [b'_', b'Z', b'd', b'l' | b'a', ..] => b"free",
        _ => return Ok(Call::Other),
    };
    let close = rest.iter().position(|&byte| byte == b')').ok_or(CALL)?;
    let (arguments, after) = (&rest[..close], &rest[close + 1..]);
    let mut arguments = arguments.split(|&byte| byte == b',').map(argument);
    let first = arguments.next().flatten().ok_or(CALL)?;
    let second = arguments.next().map(|second| second.ok_or(CALL)).transpose()?;
    // A warning can cut a line short, but only for sizes that no allocator grants.
    let result = after.strip_prefix(b" = 0x").map(|digits| number(digits, 16).ok_or(CALL));
    let result = result.transpose()?.filter(|&address| address != 0);

    Ok(match (kind, second, result) {
        (b"free", ..) => Call::Free { block: first },
        // A realloc of nothing, or to nothing, shows the call that it became.
        (b"realloc", Some(_), None) if after.starts_with(b"malloc(") => call(after)?,
        (b"realloc", Some(0), None) if after.starts_with(b"free(") => Call::Free { block: first },
        (_, _, None) => Call::Refused,
        (b"realloc", Some(size), Some(new)) => Call::Realloc { old: first, size, new },
        (b"calloc", Some(each), Some(block)) => {
            let size = first.checked_mul(each);
            Call::AllocZeroed { size: size.unwrap_or(u64::MAX), block }
        }
        (b"memalign", Some(size), Some(block)) => Call::Alloc { size, align: first, block },
        (b"new", Some(align), Some(block)) => Call::Alloc { size: first, align, block },
        (b"malloc" | b"new", None, Some(block)) => {
            Call::Alloc { size: first, align: MALLOC_ALIGN as u64, block }
        }
        _ => return Err(CALL),
    })
}

/// Reads `24`, `0x4D2B100`, `al 64` or `size 128`.
fn argument(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii();
    let text = text.strip_prefix(b"al ").or_else(|| text.strip_prefix(b"size ")).unwrap_or(text);
    match text.strip_prefix(b"0x") {
        Some(digits) => number(digits, 16),
        None => number(text, 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_call_is_understood() {
        let understood = |text: &str| call(text.as_bytes()).expect(text);
        let alloc = |size, align, block| Call::Alloc { size, align, block };
        assert_eq!(understood("malloc(24) = 0xAB0"), alloc(24, 16, 0xAB0));
        assert_eq!(understood("_Znwm(5) = 0x40"), alloc(5, 16, 0x40));
        assert_eq!(understood("_Znam(6) = 0x40"), alloc(6, 16, 0x40));
        let aligned = "_ZnwmSt11align_val_t(size 128, al 64) = 0x40";
        assert_eq!(understood(aligned), alloc(128, 64, 0x40));
        assert_eq!(understood("memalign(al 4096, size 300) = 0x1000"), alloc(300, 4096, 0x1000));
        assert_eq!(understood("calloc(3,7) = 0x40"), Call::AllocZeroed { size: 21, block: 0x40 });
        let resized = Call::Realloc { old: 0x40, size: 100, new: 0x80 };
        assert_eq!(understood("realloc(0x40,100) = 0x80"), resized);
        assert_eq!(understood("realloc(0x0,8)malloc(8) = 0x40"), alloc(8, 16, 0x40));
        assert_eq!(understood("realloc(0x40,0)free(0x40)"), Call::Free { block: 0x40 });
        assert_eq!(understood("free(0x40)"), Call::Free { block: 0x40 });
        assert_eq!(understood("_ZdlPvm(0x40)"), Call::Free { block: 0x40 });
        assert_eq!(understood("malloc(18446744073709551615)Argument 'size'"), Call::Refused);
        assert_eq!(understood("malloc(99) = 0x0"), Call::Refused);
        assert_eq!(understood("realloc(0x40,99) = 0x0"), Call::Refused);
        assert_eq!(understood("malloc_usable_size(0x40) = 21"), Call::Other);
        assert_eq!(understood(" = 0"), Call::Other);
    }

    #[test]
    fn nonsense_is_an_error() {
        let nonsense = ["malloc(", "malloc()", "malloc(x) = 0x1", "malloc(-1) = 0x1", "free(0xZZ)"];
        for text in nonsense.into_iter().chain(["malloc(1,2) = 0x3", "realloc(0x1) = 0x2"]) {
            assert!(call(text.as_bytes()).is_err(), "{text}");
        }
    }
}
