//! The messages between the lab and its workers: one JSON value per line.

use serde::{Deserialize, Serialize};

use super::Samples;

/// A request to a worker. The trace comes before the first one: its length in bytes as eight
/// little-endian bytes, then the trace in the lab's own format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Do the checking pass.
    Check,
    /// Replay once untimed, then timed.
    Round {
        /// The number of timed replays.
        repetitions: u32,
    },
    /// Find the smallest region in which the trace runs.
    Arena,
    /// Do a checking pass and sample the heap.
    Sample,
    /// Do a checking pass and look at the pages.
    Pins,
    /// Replay on several threads, once untimed, then timed.
    Threads {
        /// The division of the requests.
        division: Division,
        /// The number of timed replays.
        repetitions: u32,
    },
}

/// How requests are divided among the threads of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Division {
    /// One thread makes all requests.
    Single,
    /// The threads of the recording make the requests that they made.
    Recorded,
    /// Each of so many threads makes all requests.
    Copies(u32),
}

/// The answer of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The checking pass found nothing wrong.
    Checked {
        /// The footprint; see the crate's documentation. `None` without a region.
        footprint_bytes: Option<usize>,
    },
    /// The time of all timed replays together.
    Timed {
        /// Nanoseconds.
        nanoseconds: u64,
    },
    /// The time of all timed replays on threads together.
    TimedThreads {
        /// Nanoseconds from the first request to the end of the last thread.
        nanoseconds: u64,
        /// The requests of all threads in these replays.
        requests: u64,
        /// How many of them found the lock taken; `None` without a lock.
        contended: Option<u64>,
    },
    /// The smallest region.
    Arena {
        /// Its size; `None` without a region.
        bytes: Option<usize>,
    },
    /// The heap over time.
    Sampled(Samples),
    /// For each call stack, and last for unknown ones, the empty bytes of pages that its blocks keep.
    Pinned(Vec<u64>),
    /// The allocator or the worker failed.
    Failed {
        /// The reason.
        reason: String,
    },
}
