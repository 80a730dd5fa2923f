//! A sink that calls a function with the bytes of the recording.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::format::Header;
use crate::recorder::{Request, Sink};

/// Sends a recording through a function of the user.
///
/// The function is called with the header once, and then with one record at a time. It must not
/// allocate from the allocator that is recorded. Where several threads or cores allocate, the
/// function must take the records one after the other, and `thread` tells them apart; without it all
/// requests count as one thread's, and a resize must not be interrupted by another one.
pub struct Stream {
    write: fn(&[u8]),
    thread: Option<fn() -> u64>,
    ticks: Option<fn() -> u64>,
    started: AtomicBool,
}

impl Stream {
    /// Makes a stream for one thread, without times.
    pub const fn new(write: fn(&[u8])) -> Self {
        Self { write, thread: None, ticks: None, started: AtomicBool::new(false) }
    }

    /// Adds the number of the current thread or core, below 2³⁶.
    #[must_use]
    pub const fn with_threads(self, thread: fn() -> u64) -> Self {
        Self { thread: Some(thread), ..self }
    }

    /// Adds a clock in nanoseconds.
    #[must_use]
    pub const fn with_clock(self, ticks: fn() -> u64) -> Self {
        Self { ticks: Some(ticks), ..self }
    }
}

impl Sink for Stream {
    fn take(&self, request: Request) {
        let ticks = self.ticks.map_or(0, |ticks| ticks());
        // A load first: some processors have no atomic exchange, and one thread sends the header.
        if !self.started.load(Ordering::Acquire) {
            self.started.store(true, Ordering::Release);
            // Ticks are nanoseconds: two moments say so.
            let (start_ticks, start_ns) = (ticks, ticks);
            let (last_ticks, last_ns) = match self.ticks {
                Some(_) => (ticks + 1, ticks + 1),
                None => (0, 0),
            };
            let header = Header { start_ticks, start_ns, last_ticks, last_ns, ..Header::default() };
            (self.write)(&header.to_bytes());
        }
        let thread = self.thread.map_or(0, |thread| thread());
        (self.write)(&request.record(0, thread, ticks).to_bytes());
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("started", &self.started).finish_non_exhaustive()
    }
}
