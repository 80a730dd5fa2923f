//! How an allocator can fail a trace.

use std::alloc::Layout;

use slab_traits::{AllocError, RegionError};
use thiserror::Error;

/// The reason for which an allocator did not get through a trace. Operations are counted from zero.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Failure {
    /// The machine has no memory for the region.
    #[error("no memory for a region of {size} bytes")]
    NoRegion {
        /// Bytes wanted.
        size: usize,
    },
    /// The allocator does not accept the region.
    #[error("region refused: {0}")]
    RegionRefused(#[from] RegionError),
    /// The allocator answered with an error.
    #[error(
        "operation {operation}: {} bytes, align {}: {error}",
        layout.size(), layout.align()
    )]
    Refused {
        /// Which operation.
        operation: usize,
        /// What was asked for.
        layout: Layout,
        /// What it answered.
        error: AllocError,
    },
    /// A block does not start at a multiple of its alignment.
    #[error("operation {operation}: misaligned block, asked for align {align}")]
    Misaligned {
        /// Which operation.
        operation: usize,
        /// What was asked for.
        align: usize,
    },
    /// A block does not lie in the region.
    #[error("operation {operation}: block outside of the region")]
    Outside {
        /// Which operation.
        operation: usize,
    },
    /// A block shares bytes with another live one.
    #[error("operation {operation}: block overlaps a live block")]
    Overlap {
        /// Which operation.
        operation: usize,
    },
    /// A block that was to be zero is not.
    #[error("operation {operation}: byte {offset} of a zeroed block is not zero")]
    NotZeroed {
        /// Which operation.
        operation: usize,
        /// First wrong byte.
        offset: usize,
    },
    /// A block lost what was written into it.
    #[error("operation {operation}: byte {offset} of the block was overwritten")]
    Overwritten {
        /// Which operation.
        operation: usize,
        /// First wrong byte.
        offset: usize,
    },
}
