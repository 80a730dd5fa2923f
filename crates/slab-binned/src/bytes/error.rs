//! What can be wrong with a free.

use slab_traits::AllocError;
use thiserror::Error;

/// The reason for which a block was not taken back. The heap is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FreeError {
    /// The address lies in no page of this heap.
    #[error("address {address:#x} lies in no page of this heap")]
    Foreign {
        /// The address passed.
        address: usize,
    },
    /// No live block starts at the address: it lies inside a block, or was never handed out.
    #[error("no live block starts at {address:#x}")]
    NotLive {
        /// The address passed.
        address: usize,
    },
    /// The block was freed already.
    #[error("the block of {block_bytes} bytes at {address:#x} is free already")]
    DoubleFree {
        /// The address passed.
        address: usize,
        /// Bytes of the block.
        block_bytes: usize,
    },
    /// The layout is larger than the block.
    #[error("a layout of {size} bytes does not fit the {usable_bytes} at {address:#x}")]
    WrongLayout {
        /// The address passed.
        address: usize,
        /// Size passed.
        size: usize,
        /// Bytes that the block has from this address on.
        usable_bytes: usize,
    },
}

impl From<FreeError> for AllocError {
    /// Drops the numbers: what concerns the layout is an invalid parameter, what concerns the address
    /// is not allocated.
    fn from(error: FreeError) -> Self {
        match error {
            FreeError::WrongLayout { .. } => Self::InvalidParam,
            _ => Self::NotAllocated,
        }
    }
}
