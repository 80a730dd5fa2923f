//! Why a snapshot was refused.

use thiserror::Error;

/// The reason for which a snapshot was not restored. Nothing was kept.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// It was taken by another version.
    #[error("the snapshot has version {found}; this crate restores version {supported}")]
    Version {
        /// Version of the snapshot.
        found: u32,
        /// Version that can be restored.
        supported: u32,
    },
    /// It needs more memory than is permitted.
    #[error("the snapshot needs {bytes} bytes; the budget is {budget}")]
    OverBudget {
        /// Bytes that it needs.
        bytes: u64,
        /// Bytes permitted.
        budget: u64,
    },
    /// The memory source refused.
    #[error("the memory source refused {bytes} bytes")]
    OutOfMemory {
        /// Bytes asked of the source.
        bytes: usize,
    },
    /// It has no fingerprint, and the restored allocator is to have one.
    #[error("the snapshot has no fingerprint: an allocator without a journal took it")]
    NoFingerprint,
    /// It was changed after it was taken.
    #[error("the snapshot was taken with checksum {expected:016x}; its contents have {found:016x}")]
    Checksum {
        /// The checksum that it was taken with.
        expected: u64,
        /// The checksum of its contents.
        found: u64,
    },
    /// It contradicts itself: it was made up.
    #[error("the snapshot contradicts itself: expected that {what} (number {number})")]
    Broken {
        /// The expectation.
        what: &'static str,
        /// The index, chunk, class, page or count of which it is not true.
        number: u64,
    },
}
