//! Why a delta is not taken, read or applied.

extern crate alloc;

use alloc::vec::Vec;

use thiserror::Error;

use crate::RollbackError;
use crate::snapshot::PlanError;

/// The reason for which a delta was not taken, read or applied. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DeltaError {
    /// The checkpoint that it was to start at is not kept.
    #[error(transparent)]
    Checkpoint(#[from] RollbackError),
    /// There is no memory for it, or the memory source refused.
    #[error("no memory for {bytes} bytes")]
    OutOfMemory {
        /// Bytes asked for.
        bytes: usize,
    },
    /// It was taken by another version.
    #[error("the delta has version {found}; this crate applies version {supported}")]
    Version {
        /// Version of the delta.
        found: u32,
        /// Version that can be applied.
        supported: u32,
    },
    /// It is shorter than it says, or longer.
    #[error("the delta has {found} bytes; its contents end at byte {expected}")]
    Length {
        /// Where its contents end, or where a number was expected.
        expected: usize,
        /// Bytes that there are.
        found: usize,
    },
    /// It was changed after it was taken.
    #[error("the delta was taken with checksum {expected:016x}; its contents have {found:016x}")]
    Checksum {
        /// The checksum that it was taken with.
        expected: u64,
        /// The checksum of its contents.
        found: u64,
    },
    /// The allocator is not where the delta starts.
    #[error("the delta starts at digest {expected:016x}; the allocator is at {found:016x}")]
    Base {
        /// Digest of the state that the delta starts at.
        expected: u64,
        /// Digest of the allocator.
        found: u64,
    },
    /// The pages that it changes held other bytes before than at the sender.
    #[error(
        "the changed pages have digest {expected:016x} at the sender, and would have {found:016x} here"
    )]
    Content {
        /// Digest of the pages at the sender.
        expected: u64,
        /// Digest of the pages here, if the delta was applied.
        found: u64,
    },
    /// It needs more memory than is permitted.
    #[error("the delta needs {bytes} bytes; the budget is {budget}")]
    OverBudget {
        /// Bytes that it needs.
        bytes: u64,
        /// Bytes permitted.
        budget: u64,
    },
    /// It contradicts itself or the state that it starts at: it was made up.
    #[error("the delta contradicts itself: expected that {what} (number {number})")]
    Broken {
        /// The expectation.
        what: &'static str,
        /// The index, chunk, class, page or count of which it is not true.
        number: u64,
    },
}

impl From<PlanError> for DeltaError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Broken { what, number } => Self::Broken { what, number },
            PlanError::OutOfMemory { bytes } => Self::OutOfMemory { bytes },
        }
    }
}

/// Adds a value to a list.
pub(super) fn push<T>(values: &mut Vec<T>, value: T) -> Result<(), DeltaError> {
    values.try_reserve(1).map_err(|_| no_memory::<T>(values.len() + 1))?;
    values.push(value);
    Ok(())
}

/// Returns the error for a list of so many values that finds no memory.
pub(super) fn no_memory<T>(count: usize) -> DeltaError {
    DeltaError::OutOfMemory { bytes: count.saturating_mul(size_of::<T>()) }
}
