//! What can be refused, and why.

use core::error::Error;
use core::fmt;

use thiserror::Error;

/// The reason for which an operation was refused. The allocator is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SlabError {
    /// The handle or place lies in a slab that was never made, or that was forgotten by
    /// [`shrink_to`](crate::SlabAllocator::shrink_to); or beyond the bound of a
    /// [`SecondaryMap`](crate::SecondaryMap::set_slots_max).
    #[error("slab index {0} is out of range (allocator has {1} slabs)")]
    SlabIndexOutOfRange(
        /// The slab.
        usize,
        /// How many slabs the allocator tells apart, released ones below the last included; or the
        /// blocks that the map accepts.
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
    /// The slab was released, and all that was in it had been freed before.
    #[error("slab {slab} was released")]
    SlabReleased {
        /// The slab.
        slab: usize,
    },
    /// The slot holds no value: it was freed, or never filled.
    #[error("slot {slot} in slab {slab} is already free")]
    SlotAlreadyFree {
        /// The slab.
        slab: usize,
        /// The slot within the slab.
        slot: usize,
    },
    /// The slot holds another value than the one that the handle was made for.
    #[error(
        "handle of generation {generation} is stale: slot {slot} in slab {slab} is in generation {current}"
    )]
    StaleHandle {
        /// The slab.
        slab: usize,
        /// The slot within the slab.
        slot: usize,
        /// The generation asked for.
        generation: u32,
        /// The generation of the value in the slot.
        current: u32,
    },
    /// One handle was passed twice where each has to name a value of its own.
    #[error("slot {slot} in slab {slab} was asked for twice")]
    DuplicateHandle {
        /// The slab.
        slab: usize,
        /// The slot within the slab.
        slot: usize,
    },
    /// The memory source refused.
    #[error("no memory for {bytes} bytes aligned to {align}")]
    OutOfMemory {
        /// Bytes asked for.
        bytes: usize,
        /// Alignment asked for, in bytes.
        align: usize,
    },
    /// A slab or the allocator would exceed what a handle or an address can name.
    #[error("slab {slab} of {slab_capacity} slots exceeds what handles can name")]
    IndexSpaceExhausted {
        /// The slab that was to be made.
        slab: usize,
        /// Slots of a slab.
        slab_capacity: usize,
    },
}

/// A value that could not be stored, and why not.
///
/// Turns into a [`SlabError`] with `?`, which drops the value.
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
/// let error = names.allocate("Ada".to_owned()).unwrap_err();
/// assert!(matches!(error.reason(), SlabError::OutOfMemory { .. }));
/// assert_eq!(error.into_value(), "Ada");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct InsertError<T> {
    value: T,
    reason: SlabError,
}

impl<T> InsertError<T> {
    #[cold]
    pub(crate) fn new(value: T, reason: SlabError) -> Self {
        Self { value, reason }
    }

    /// Returns why the value was not stored.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::{SlabAllocator, SlabError};
    ///
    /// let mut names: SlabAllocator<String> = SlabAllocator::new(usize::MAX); // More than handles can name.
    /// let error = names.allocate("Ada".to_owned()).unwrap_err();
    /// assert!(matches!(error.reason(), SlabError::IndexSpaceExhausted { .. }));
    /// ```
    pub fn reason(&self) -> &SlabError {
        &self.reason
    }

    /// Returns the value.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names: SlabAllocator<String> = SlabAllocator::new(usize::MAX); // More than handles can name.
    /// let error = names.allocate("Ada".to_owned()).unwrap_err();
    /// assert_eq!(error.into_value(), "Ada");
    /// ```
    pub fn into_value(self) -> T {
        self.value
    }
}

impl<T> From<InsertError<T>> for SlabError {
    fn from(error: InsertError<T>) -> Self {
        error.reason
    }
}

impl<T> fmt::Debug for InsertError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InsertError").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for InsertError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl<T> Error for InsertError<T> {}

/// A broken invariant of an allocator's bookkeeping, as
/// [`validate`](crate::SlabAllocator::validate) found it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what}: expected {expected}, found {found} (at {at})")]
pub struct Inconsistency {
    /// The invariant.
    pub(crate) what: &'static str,
    /// The slot index or chunk at which it is broken; 0 for a sum.
    pub(crate) at: usize,
    /// What it says.
    pub(crate) expected: usize,
    /// What is the case.
    pub(crate) found: usize,
}
