//! The list of the buffers that are handed out, for finding those that are never released.

use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A buffer that was handed out and is not released yet; see
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

/// The buffers that are handed out, by ticket.
#[derive(Debug, Default)]
pub struct Leaks {
    live: Mutex<BTreeMap<u64, Outstanding>>,
    last_ticket: AtomicU64,
}

impl Leaks {
    /// Adds a buffer, and returns its ticket.
    pub fn insert(&self, bytes: usize, location: &'static Location<'static>) -> u64 {
        let ticket = self.last_ticket.fetch_add(1, Ordering::Relaxed) + 1;
        self.live.lock().insert(ticket, Outstanding { location, bytes, since: Instant::now() });
        ticket
    }

    /// Removes a buffer.
    pub fn remove(&self, ticket: u64) {
        self.live.lock().remove(&ticket);
    }

    /// Returns the buffers, oldest first.
    pub fn list(&self) -> Vec<Outstanding> {
        self.live.lock().values().cloned().collect()
    }
}
