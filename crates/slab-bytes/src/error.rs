//! What can be wrong with a free, and with the heap itself.

use slab_traits::AllocError;
use thiserror::Error;

/// The reason for which a block was not taken back. The heap is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FreeError {
    /// The address lies in no region of this heap, or in a region's bookkeeping.
    #[error("address {address:#x} lies in no region of this heap")]
    Foreign {
        /// The address passed.
        address: usize,
    },
    /// The address lies in a region, but no live block starts there: it was freed already, lies
    /// inside a large block, or was never handed out.
    #[error("no live block starts at {address:#x}")]
    NotLive {
        /// The address passed.
        address: usize,
    },
    /// The address lies inside a slot instead of at its start.
    #[error("address {address:#x} lies inside the slot of {slot_bytes} bytes at {slot_start:#x}")]
    Interior {
        /// The address passed.
        address: usize,
        /// Where the slot starts.
        slot_start: usize,
        /// Bytes of the slot.
        slot_bytes: usize,
    },
    /// The slot is free: a double free, or it was never handed out.
    #[error("the slot of {slot_bytes} bytes at {address:#x} is free already")]
    DoubleFree {
        /// The address passed.
        address: usize,
        /// Bytes of the slot.
        slot_bytes: usize,
    },
    /// The layout is not one for which this block could have been handed out.
    #[error(
        "a layout of {size} bytes aligned to {align} does not fit the block of {block_bytes} bytes \
         at {address:#x}"
    )]
    WrongLayout {
        /// The address passed.
        address: usize,
        /// Bytes of the block, rounding included.
        block_bytes: usize,
        /// Size passed.
        size: usize,
        /// Alignment passed.
        align: usize,
    },
    /// The block was written past its end. Found in `Hardened` mode only.
    #[error(
        "the block of {size} bytes at {address:#x} was written past its end, at offset {offset}"
    )]
    Overrun {
        /// The address passed.
        address: usize,
        /// Size passed.
        size: usize,
        /// Offset of the first byte behind that size that is not as the heap left it.
        offset: usize,
    },
}

impl From<FreeError> for AllocError {
    /// Drops the numbers: what concerns the layout or the content is an invalid parameter, what
    /// concerns the address is not allocated.
    fn from(error: FreeError) -> Self {
        match error {
            FreeError::WrongLayout { .. } | FreeError::Overrun { .. } => Self::InvalidParam,
            _ => Self::NotAllocated,
        }
    }
}

/// A broken invariant of the heap's bookkeeping, as
/// [`validate`](crate::SlabByteAllocator::validate) found it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what}: expected {expected}, found {found} (at {address:#x})")]
pub struct Inconsistency {
    /// The invariant.
    pub(crate) what: &'static str,
    /// Where it is broken; 0 for a statistic.
    pub(crate) address: usize,
    /// What it says.
    pub(crate) expected: usize,
    /// What is the case.
    pub(crate) found: usize,
}
