//! The name of a checkpoint, and why a rollback is refused.

use thiserror::Error;

/// The name of a state that [`rollback`](crate::BlockAllocator::rollback) can go back to.
///
/// It has a number, which no other checkpoint of the allocator gets, and a digest of the state: fingerprint,
/// counts and lists. A checkpoint of another allocator is refused unless number and digest are equal, as they
/// are where a replica has done the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    number: u64,
    digest: u64,
}

impl Checkpoint {
    /// Returns the checkpoint with a number and a digest, as [`number`](Self::number) and
    /// [`digest`](Self::digest) returned them.
    pub const fn from_parts(number: u64, digest: u64) -> Self {
        Self { number, digest }
    }

    /// Returns how many checkpoints the allocator had taken before.
    pub const fn number(self) -> u64 {
        self.number
    }

    /// Returns the digest of the state.
    pub const fn digest(self) -> u64 {
        self.digest
    }
}

/// The reason for which a rollback was refused. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RollbackError {
    /// The checkpoint was not taken yet.
    #[error("checkpoint {number} was never taken: the next one is {next}")]
    Unknown {
        /// Number of the checkpoint.
        number: u64,
        /// Number of the next checkpoint.
        next: u64,
    },
    /// The checkpoint is no longer kept: there are more recent ones than the limit, or there was no memory to
    /// keep what changed since.
    #[error("checkpoint {number} was dropped: {kept} are kept, of at most {limit}")]
    Dropped {
        /// Number of the checkpoint.
        number: u64,
        /// Checkpoints that are kept.
        kept: usize,
        /// The most that are kept.
        limit: usize,
    },
    /// A rollback went back to before the checkpoint.
    #[error("checkpoint {number} was undone by a rollback; the last one before it is {last}")]
    Undone {
        /// Number of the checkpoint.
        number: u64,
        /// Number of the last checkpoint before it that is kept.
        last: u64,
    },
    /// Another allocator took the checkpoint, or it was made up.
    #[error(
        "checkpoint {number} has digest {found:016x}; this allocator took it with {expected:016x}"
    )]
    Foreign {
        /// Number of the checkpoint.
        number: u64,
        /// Digest of this allocator's checkpoint with that number.
        expected: u64,
        /// Digest of the checkpoint.
        found: u64,
    },
}
