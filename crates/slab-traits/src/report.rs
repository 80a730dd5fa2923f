//! Ends the program because of a fault: writes one line, without an allocation and without a lock.
#![cfg_attr(
    all(feature = "std", any(unix, windows)),
    expect(unsafe_code, reason = "standard error is written to without its lock")
)]

use core::fmt;
use core::mem;

use crate::Fault;

/// A function that is called when a heap has found a [`Fault`]: see
/// [`Locked::with_fault_handler`](crate::Locked::with_fault_handler).
pub type FaultHandler = fn(fault: &Fault) -> !;

/// The default handler: reports the fault and ends the program.
#[cold]
pub(crate) fn report(fault: &Fault) -> ! {
    end(format_args!("{fault}"))
}

/// Runs `action`. A panic that would leave it ends the program, as the contracts of `GlobalAlloc` and
/// `Allocator` require.
#[inline(always)]
pub fn abort_on_unwind<T>(action: impl FnOnce() -> T) -> T {
    let guard = AbortOnUnwind;
    let outcome = action();
    guard.disarm();
    outcome
}

/// Ends the program if it is dropped, which happens only by unwinding: the contracts of `GlobalAlloc` and
/// `Allocator` forbid that a panic leaves a method.
#[must_use]
pub(crate) struct AbortOnUnwind;

impl AbortOnUnwind {
    /// Removes the guard when no more code can panic.
    #[inline(always)]
    pub(crate) fn disarm(self) {
        mem::forget(self);
    }
}

impl Drop for AbortOnUnwind {
    #[cold]
    fn drop(&mut self) {
        // Without `std`, `end` panics during a panic, which also ends the program.
        end(format_args!("a panic may not leave an allocator"))
    }
}

#[cfg(not(feature = "std"))]
fn end(message: fmt::Arguments<'_>) -> ! {
    panic!("slabworks: {message}")
}

/// Writes one line to standard error and aborts. It must not allocate, because the heap may be the global
/// allocator, and must not panic, because the report of a panic allocates.
#[cfg(feature = "std")]
fn end(message: fmt::Arguments<'_>) -> ! {
    let mut line = Line { bytes: [0; LINE_BYTES], len: 0 };
    // Writing to a `Line` never fails.
    let _ = fmt::write(&mut line, format_args!("slabworks: {message}\n"));
    write_to_stderr(&line.bytes[..line.len]);
    std::process::abort()
}

/// More than the text of the longest fault.
#[cfg(feature = "std")]
const LINE_BYTES: usize = 512;

/// Text on the stack, truncated if it does not fit.
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

/// Writes without the lock of [`std::io::stderr`], which this thread, or a thread that waits for it, may hold.
/// Errors are ignored, for a program may have no standard error.
#[cfg(all(feature = "std", unix))]
fn write_to_stderr(line: &[u8]) {
    use std::io::Write;
    use std::os::fd::FromRawFd;

    const STDERR: std::os::fd::RawFd = 2;
    // SAFETY: no object owns the descriptor of standard error and could close it, and `ManuallyDrop` does not
    // close it either.
    let mut file = mem::ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(STDERR) });
    let _lost = file.write_all(line);
}

/// Writes without the lock of [`std::io::stderr`], as on Unix.
#[cfg(all(feature = "std", windows))]
fn write_to_stderr(line: &[u8]) {
    use std::io::Write;
    use std::os::windows::io::{AsRawHandle, FromRawHandle};

    let handle = std::io::stderr().as_raw_handle();
    if handle.is_null() {
        return;
    }
    // SAFETY: the handle of standard error is open, and `ManuallyDrop` does not close it.
    let mut file = mem::ManuallyDrop::new(unsafe { std::fs::File::from_raw_handle(handle) });
    let _lost = file.write_all(line);
}

/// Writes through [`std::io::stderr`], on targets without another way.
#[cfg(all(feature = "std", not(any(unix, windows))))]
fn write_to_stderr(line: &[u8]) {
    use std::io::Write;

    let _lost = std::io::stderr().write_all(line);
}
