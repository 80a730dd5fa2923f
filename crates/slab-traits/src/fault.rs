//! Mistakes of the program that an allocator finds.

use thiserror::Error;

use crate::AllocError;

/// A mistake of the program that an allocator found: a free of something that is not a live block, or memory
/// that was written by code that does not own it.
///
/// It is plain data, and displaying it does not allocate. The text is one line: the mistake, then the numbers.
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
    /// The block was freed before, and its memory was not handed out again since. A slot that was never handed
    /// out is reported as this too, if the allocator cannot tell the two apart.
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
    /// The address lies in a region, but no live block starts there: the memory is free or was never handed
    /// out.
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
        /// The smallest size that the block can have been allocated with.
        size_min: usize,
        /// The largest size that the block can have been allocated with.
        size_max: usize,
    },
    /// Free memory was written. Found in `Hardened` mode, and by heaps that keep links in free memory.
    #[error(
        "written after it was freed, at offset {offset}: free block {address:#x} ({block_bytes} \
         bytes)"
    )]
    WrittenAfterFree {
        /// Where the free block starts.
        address: usize,
        /// Usable bytes of the free block.
        block_bytes: usize,
        /// Offset of the first byte that was changed.
        offset: usize,
    },
    /// A live block was written past its end. Found in `Hardened` mode only.
    #[error("written past its end, at offset {offset}: block {address:#x} ({size} bytes)")]
    WrittenPastEnd {
        /// Where the block starts.
        address: usize,
        /// Bytes that the block was allocated with.
        size: usize,
        /// Offset of the first byte behind them that was changed.
        offset: usize,
    },
    /// The allocator refused a request as a mistake of the program, without a more precise [`Fault`].
    #[error("block {address:#x} freed or resized with {size} bytes aligned to {align}: {error}")]
    Refused {
        /// The address passed, or 0 if the request was for a new block.
        address: usize,
        /// Size passed.
        size: usize,
        /// Alignment passed.
        align: usize,
        /// The error that the allocator returned.
        error: AllocError,
    },
}

impl From<Fault> for AllocError {
    /// Drops the numbers. A wrong layout becomes [`AllocError::InvalidParam`], memory that was written
    /// [`AllocError::Damaged`], and a wrong address [`AllocError::NotAllocated`].
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
