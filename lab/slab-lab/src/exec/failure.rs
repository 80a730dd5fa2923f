//! How a contender can fail a trace.

use std::alloc::Layout;

use slab_traits::{AllocError, RegionError};
use thiserror::Error;

/// Why a contender failed a trace. Operations are counted from zero.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Failure {
    /// The machine has no memory for the region.
    #[error("no memory for a region of {size} bytes")]
    NoRegion {
        /// The size of the region.
        size: usize,
    },
    /// The allocator refuses the region.
    #[error("region refused: {0}")]
    RegionRefused(#[from] RegionError),
    /// The allocator refuses a request.
    #[error(
        "operation {operation}: {} bytes, align {}: {error}",
        layout.size(), layout.align()
    )]
    Refused {
        /// The operation.
        operation: usize,
        /// The requested layout.
        layout: Layout,
        /// The allocator's error.
        error: AllocError,
    },
    /// The heap refuses a request of one of several threads.
    #[error("no memory for a request of one of the threads")]
    NoMemory,
    /// A block is misaligned.
    #[error("operation {operation}: misaligned block, align {align} was requested")]
    Misaligned {
        /// The operation.
        operation: usize,
        /// The requested alignment.
        align: usize,
    },
    /// A block is not inside the region.
    #[error("operation {operation}: block outside the region")]
    Outside {
        /// The operation.
        operation: usize,
    },
    /// A block overlaps a live block.
    #[error("operation {operation}: block overlaps a live block")]
    Overlap {
        /// The operation.
        operation: usize,
    },
    /// A zeroed block is not zero.
    #[error("operation {operation}: byte {offset} of a zeroed block is not zero")]
    NotZeroed {
        /// The operation.
        operation: usize,
        /// The first wrong byte.
        offset: usize,
    },
    /// The content of a block has changed.
    #[error("operation {operation}: byte {offset} of the block was overwritten")]
    Overwritten {
        /// The operation.
        operation: usize,
        /// The first wrong byte.
        offset: usize,
    },
}
