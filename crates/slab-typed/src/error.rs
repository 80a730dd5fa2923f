//! Errors: refused operations.

use slab_traits::Refused;
use thiserror::Error;

/// Why an operation was refused. The allocator is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SlabError {
    /// The slab was never made, or was forgotten by [`shrink_to`](crate::SlabAllocator::shrink_to), or lies beyond the
    /// bound of a [`SecondaryMap`](crate::SecondaryMap::set_slots_max).
    #[error("slab index {0} is out of range (allocator has {1} slabs)")]
    SlabIndexOutOfRange(
        /// The slab.
        usize,
        /// The slab ids of the allocator, released ones below the last included; or the blocks that the map accepts.
        usize,
    ),
    /// The slot lies beyond the end of its slab.
    #[error("slot index {0} is out of range for slab {1} (capacity {2})")]
    SlotIndexOutOfRange(
        /// The slot.
        usize,
        /// Its slab.
        usize,
        /// Slots of a slab.
        usize,
    ),
    /// The slab was released. All its values had been removed before.
    #[error("slab {slab} was released")]
    SlabReleased {
        /// The slab.
        slab: usize,
    },
    /// The slot holds no value: it was removed, or the slot was never filled.
    #[error("slot {slot} in slab {slab} is already free")]
    SlotAlreadyFree {
        /// The slab.
        slab: usize,
        /// The slot within the slab.
        slot: usize,
    },
    /// The slot holds a later value than the one the handle was made for.
    #[error(
        "handle of generation {generation} is stale: slot {slot} in slab {slab} is in generation {current}"
    )]
    StaleHandle {
        /// The slab.
        slab: usize,
        /// The slot within the slab.
        slot: usize,
        /// The generation of the handle.
        generation: u32,
        /// The generation of the slot.
        current: u32,
    },
    /// One handle was passed twice to an operation that needs distinct values.
    #[error("slot {slot} in slab {slab} was passed twice")]
    DuplicateHandle {
        /// The slab.
        slab: usize,
        /// The slot within the slab.
        slot: usize,
    },
    /// The memory source refused a request.
    #[error("no memory for {bytes} bytes aligned to {align}")]
    OutOfMemory {
        /// Bytes requested.
        bytes: usize,
        /// Alignment requested, in bytes.
        align: usize,
    },
    /// The slab exceeds the handles or the address space.
    #[error("slab {slab} of {slab_capacity} slots exceeds what handles can name")]
    IndexSpaceExhausted {
        /// The slab.
        slab: usize,
        /// Slots of a slab.
        slab_capacity: usize,
    },
}

/// A value that could not be stored, and the reason.
///
/// `?` converts it to a [`SlabError`] and drops the value.
///
/// # Examples
///
/// ```
/// use bumpalo::Bump;
/// use slab_typed::{SlabAllocator, SlabError, SlotHandle};
///
/// let arena = Bump::new();
/// arena.set_allocation_limit(Some(0));
/// let mut names: SlabAllocator<String, SlotHandle, _> = SlabAllocator::new_in(64, &arena);
/// let error = names.try_insert("Ada".to_owned()).unwrap_err();
/// assert!(matches!(error.error(), SlabError::OutOfMemory { .. }));
/// assert_eq!(error.into_value(), "Ada");
/// ```
pub type InsertError<T> = Refused<T, SlabError>;

impl<T> From<Refused<T, Self>> for SlabError {
    fn from(refused: Refused<T, Self>) -> Self {
        refused.into_error()
    }
}

/// Why [`SharedSlab::take`](crate::SharedSlab::take) returned no value.
#[cfg(feature = "std")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TakeError {
    /// The key leads to no value.
    #[error("the key leads to no value")]
    NotFound,
    /// The value was removed, but a guard or a pin may read it. The last of them drops it.
    #[error("the value was removed, and is dropped when its last reader is done")]
    StillRead,
}
