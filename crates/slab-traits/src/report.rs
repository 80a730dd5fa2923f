//! How a fault ends a program: with one line of text, without an allocation and without a lock.
#![cfg_attr(
    all(feature = "std", any(unix, windows)),
    expect(unsafe_code, reason = "standard error is written to without its lock")
)]

use core::fmt;
use core::mem;

use crate::Fault;

/// What a heap does when it has found a [`Fault`]: see
/// [`Locked::with_fault_handler`](crate::Locked::with_fault_handler).
pub type FaultHandler = fn(fault: &Fault) -> !;

/// The handler of a heap that is given none: says what happened and ends the program.
#[cold]
pub(crate) fn report(fault: &Fault) -> ! {
    end(format_args!("{fault}"))
}

/// Ends the program if it is dropped, which unwinding does: the contracts of `GlobalAlloc` and of
/// `Allocator` forbid that a panic leaves a method.
#[must_use]
pub(crate) struct AbortOnUnwind;

impl AbortOnUnwind {
    /// Takes it away once nothing can unwind any more.
    #[inline(always)]
    pub(crate) fn disarm(self) {
        mem::forget(self);
    }
}

impl Drop for AbortOnUnwind {
    #[cold]
    fn drop(&mut self) {
        // Without `std` this panics during a panic, which ends the program too.
        end(format_args!("a panic may not leave an allocator"))
    }
}

#[cfg(not(feature = "std"))]
fn end(message: fmt::Arguments<'_>) -> ! {
    panic!("slabworks: {message}")
}

/// Writes one line to standard error and aborts. It must not allocate, since the heap may be the
/// program's own, and must not panic, since the report of a panic allocates.
#[cfg(feature = "std")]
fn end(message: fmt::Arguments<'_>) -> ! {
    let mut line = Line { bytes: [0; LINE_BYTES], len: 0 };
    // A line never refuses.
    let _ = fmt::write(&mut line, format_args!("slabworks: {message}\n"));
    write_to_stderr(&line.bytes[..line.len]);
    std::process::abort()
}

/// More than the longest fault takes.
#[cfg(feature = "std")]
const LINE_BYTES: usize = 512;

/// Text on the stack, cut off where it would not fit.
#[cfg(feature = "std")]
struct Line {
    bytes: [u8; LINE_BYTES],
    len: usize,
}

#[cfg(feature = "std")]
impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let rest = &mut self.bytes[self.len..];
        let count = text.len().min(rest.len());
        rest[..count].copy_from_slice(&text.as_bytes()[..count]);
        self.len += count;
        Ok(())
    }
}

/// Writes past the lock of [`std::io::stderr`], which this thread may hold, or one that waits for it.
/// A program without standard error is not told anything.
#[cfg(all(feature = "std", unix))]
fn write_to_stderr(line: &[u8]) {
    use std::io::Write;
    use std::os::fd::FromRawFd;

    const STDERR: std::os::fd::RawFd = 2;
    // SAFETY: the descriptor of standard error belongs to no object that could close it meanwhile, and
    // `ManuallyDrop` leaves it open.
    let mut file = mem::ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(STDERR) });
    let _lost = file.write_all(line);
}

/// As on Unix.
#[cfg(all(feature = "std", windows))]
fn write_to_stderr(line: &[u8]) {
    use std::io::Write;
    use std::os::windows::io::{AsRawHandle, FromRawHandle};

    let handle = std::io::stderr().as_raw_handle();
    if handle.is_null() {
        return;
    }
    // SAFETY: the handle of standard error is open, and `ManuallyDrop` leaves it open.
    let mut file = mem::ManuallyDrop::new(unsafe { std::fs::File::from_raw_handle(handle) });
    let _lost = file.write_all(line);
}

/// Targets that have no other way.
#[cfg(all(feature = "std", not(any(unix, windows))))]
fn write_to_stderr(line: &[u8]) {
    use std::io::Write;

    let _lost = std::io::stderr().write_all(line);
}
