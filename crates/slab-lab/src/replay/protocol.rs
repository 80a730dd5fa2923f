//! What is said between the lab and its workers: one JSON value per line.

use serde::{Deserialize, Serialize};

use super::Samples;

/// What a worker is asked to do. Before the first one it is sent the trace: its length in bytes, eight
/// of them, little-endian, then the trace in the lab's own format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// The checking pass.
    Check,
    /// One untimed replay, then timed ones.
    Round {
        /// How many timed ones.
        repetitions: u32,
    },
    /// The smallest region in which the trace runs.
    Arena,
    /// A checking pass, looked at now and then.
    Sample,
}

/// What a worker answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The checking pass found nothing wrong.
    Checked {
        /// See the crate's documentation; `None` for an allocator without a region.
        footprint_bytes: Option<usize>,
    },
    /// All timed replays together.
    Timed {
        /// Nanoseconds.
        nanoseconds: u64,
    },
    /// The smallest region.
    Arena {
        /// `None` for an allocator without a region.
        bytes: Option<usize>,
    },
    /// The heap over time.
    Sampled(Samples),
    /// The allocator failed.
    Failed {
        /// In words.
        reason: String,
    },
}
