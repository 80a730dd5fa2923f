//! Who has the buffers: for finding those that never come back.

use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A buffer that was handed out and has not come back; see
/// [`BufferPool::outstanding`](crate::BufferPool::outstanding).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outstanding {
    location: &'static Location<'static>,
    bytes: usize,
    since: Instant,
}

impl Outstanding {
    /// Returns where it was acquired.
    pub fn location(&self) -> &'static Location<'static> {
        self.location
    }

    /// Returns its capacity.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns how long ago it was acquired.
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }
}

/// All buffers that are out, by ticket.
#[derive(Debug, Default)]
pub struct Leaks {
    live: Mutex<BTreeMap<u64, Outstanding>>,
    last_ticket: AtomicU64,
}

impl Leaks {
    /// Notes a buffer, and returns its ticket.
    pub fn note(&self, bytes: usize, location: &'static Location<'static>) -> u64 {
        let ticket = self.last_ticket.fetch_add(1, Ordering::Relaxed) + 1;
        self.live.lock().insert(ticket, Outstanding { location, bytes, since: Instant::now() });
        ticket
    }

    /// Strikes a buffer off.
    pub fn strike(&self, ticket: u64) {
        self.live.lock().remove(&ticket);
    }

    /// Returns the buffers that are out, oldest first.
    pub fn list(&self) -> Vec<Outstanding> {
        self.live.lock().values().cloned().collect()
    }
}
