//! The errors of allocators.

use thiserror::Error;

/// The reason why an allocator refused a request.
///
/// It carries no numbers and is as wide as a pointer, so that a result with a block fits two registers on hot
/// paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
#[repr(usize)]
pub enum AllocError {
    /// This allocator can never serve the request: a null region, a size near `isize::MAX`, a layout that does
    /// not fit the block.
    #[error("the request is invalid for this allocator")]
    InvalidParam,
    /// The memory offered overlaps memory that the allocator already owns.
    #[error("the memory overlaps memory that the allocator already owns")]
    MemoryOverlap,
    /// No free memory fits the request.
    #[error("no free memory fits the request")]
    NoMemory,
    /// The pointer is not the start of a live block of this allocator: a double free, a pointer into a block,
    /// or a foreign pointer.
    #[error("the pointer is not the start of a live block of this allocator")]
    NotAllocated,
    /// Memory of the allocator was written by code that does not own it.
    /// [`ByteAllocator::take_fault`](crate::ByteAllocator::take_fault) returns the address.
    #[error("memory of this allocator was written by code that does not own it")]
    Damaged,
}

/// The result of an allocator operation.
pub type AllocResult<T = ()> = Result<T, AllocError>;

/// The reason why a memory region was refused. The allocator and the region are unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum RegionError {
    /// The region starts at address zero.
    #[error("a region of {size} bytes may not start at address 0")]
    Null {
        /// Bytes offered.
        size: usize,
    },
    /// The region runs past the end of the address space or is longer than `isize::MAX`.
    #[error("a region of {size} bytes from {start:#x} runs past the end of the address space")]
    AddressOverflow {
        /// First address offered.
        start: usize,
        /// Bytes offered.
        size: usize,
    },
    /// The region cannot hold the allocator's metadata and one block.
    #[error(
        "a region of {size} bytes from {start:#x} is too small: {required} bytes are needed there"
    )]
    TooSmall {
        /// First address offered.
        start: usize,
        /// Bytes offered.
        size: usize,
        /// Bytes that would be enough at the same start.
        required: usize,
    },
    /// The region shares bytes with a region that the allocator already owns.
    #[error(
        "a region of {size} bytes from {start:#x} overlaps the region of {other_size} bytes from \
         {other_start:#x}"
    )]
    Overlap {
        /// First address offered.
        start: usize,
        /// Bytes offered.
        size: usize,
        /// First address of the region already owned.
        other_start: usize,
        /// Bytes of the region already owned.
        other_size: usize,
    },
    /// No region of the allocator starts there, or it is not shorter than the memory that should extend it.
    #[error("no region of less than {size} bytes starts at {start:#x}")]
    NotExtensible {
        /// First address offered.
        start: usize,
        /// Bytes offered.
        size: usize,
    },
    /// The allocator cannot manage another region.
    #[error("no more than {limit} regions can be managed")]
    TooManyRegions {
        /// Regions that the allocator can manage.
        limit: usize,
    },
}

impl From<RegionError> for AllocError {
    /// Drops the numbers: an overlap becomes `MemoryOverlap`, every other error `InvalidParam`.
    fn from(error: RegionError) -> Self {
        match error {
            RegionError::Overlap { .. } => Self::MemoryOverlap,
            _ => Self::InvalidParam,
        }
    }
}

impl From<AllocError> for allocator_api2::alloc::AllocError {
    fn from(_: AllocError) -> Self {
        Self
    }
}
