//! What an allocator finds wrong with a free, or with its memory.

use thiserror::Error;

use crate::AllocError;

/// A mistake of the program that an allocator found: a free that names no live block, or memory that
/// was written by code that does not own it.
///
/// It is plain data, so that it can be kept, and displayed without an allocation: its text is one line
/// that names the mistake first and then the numbers.
///
/// # Examples
///
/// ```
/// use slab_traits::{AllocError, Fault};
///
/// let fault = Fault::DoubleFree { address: 0x1000, block_bytes: 80 };
/// assert_eq!(fault.to_string(), "double free of block 0x1000 (80 bytes)");
/// assert_eq!(AllocError::from(fault), AllocError::NotAllocated);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum Fault {
    /// The block was freed before, and its memory has not been handed out again since. Where the
    /// allocator cannot tell this from a slot that was never handed out, it reports this too.
    #[error("double free of block {address:#x} ({block_bytes} bytes)")]
    DoubleFree {
        /// The address freed.
        address: usize,
        /// Usable bytes of the block.
        block_bytes: usize,
    },
    /// The address lies inside a block instead of at its start.
    #[error(
        "pointer into a block: {address:#x} lies in the {block_bytes} bytes at {block_address:#x}"
    )]
    Interior {
        /// The address freed.
        address: usize,
        /// Where the block starts.
        block_address: usize,
        /// Usable bytes of the block.
        block_bytes: usize,
    },
    /// The address lies outside the memory from which the allocator serves blocks.
    #[error("foreign pointer: {address:#x} lies in no region of this heap")]
    Foreign {
        /// The address freed.
        address: usize,
    },
    /// The address lies in a region, but no block starts there: its memory is free or was never
    /// handed out.
    #[error("not allocated: no live block starts at {address:#x}")]
    NotLive {
        /// The address freed.
        address: usize,
    },
    /// The layout differs from the one that the block was allocated with.
    #[error(
        "wrong layout: block {address:#x} freed with {size} bytes aligned to {align}, allocated \
         with {size_min} to {size_max} bytes"
    )]
    WrongLayout {
        /// The address freed.
        address: usize,
        /// Size passed to the free.
        size: usize,
        /// Alignment passed to the free.
        align: usize,
        /// The smallest size that a block of this place and length is allocated with.
        size_min: usize,
        /// The largest such size.
        size_max: usize,
    },
    /// Free memory was written. Found in `Hardened` mode only.
    #[error(
        "written after it was freed, at offset {offset}: free block {address:#x} ({block_bytes} \
         bytes)"
    )]
    WrittenAfterFree {
        /// Where the free block starts.
        address: usize,
        /// Usable bytes of the free block.
        block_bytes: usize,
        /// Offset of the first byte that is not as the allocator left it.
        offset: usize,
    },
    /// A live block was written past its end. Found in `Hardened` mode only.
    #[error("written past its end, at offset {offset}: block {address:#x} ({size} bytes)")]
    WrittenPastEnd {
        /// Where the block starts.
        address: usize,
        /// Bytes that the block was allocated with.
        size: usize,
        /// Offset of the first byte behind them that is not as the allocator left it.
        offset: usize,
    },
    /// The allocator refused a request as the mistake of its user and gave no [`Fault`] of its own.
    #[error("block {address:#x} freed or resized with {size} bytes aligned to {align}: {error}")]
    Refused {
        /// The address passed, or 0 if the request was for a new block.
        address: usize,
        /// Size passed.
        size: usize,
        /// Alignment passed.
        align: usize,
        /// The allocator's answer.
        error: AllocError,
    },
}

impl From<Fault> for AllocError {
    /// Drops the numbers. A wrong layout is an invalid parameter, written memory is
    /// [`AllocError::Damaged`], and a wrong address is not allocated.
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::WrongLayout { .. } => Self::InvalidParam,
            Fault::WrittenAfterFree { .. } | Fault::WrittenPastEnd { .. } => Self::Damaged,
            Fault::Refused { error, .. } => error,
            Fault::DoubleFree { .. }
            | Fault::Interior { .. }
            | Fault::Foreign { .. }
            | Fault::NotLive { .. } => Self::NotAllocated,
        }
    }
}
