//! Errors: a request that a cache refuses, and misuse by `unsafe` code that it detects.

use core::fmt;

use thiserror::Error;

/// Why a cache refused a request, or the misuse that it detected.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The memory source has no block of this layout.
    #[error("the memory source has no {bytes} bytes aligned to {align}")]
    OutOfMemory {
        /// Bytes requested.
        bytes: usize,
        /// Alignment requested.
        align: usize,
    },
    /// The pointer lies in no slab of the cache.
    #[error("{address:#x} lies in no slab of this cache")]
    ForeignPointer {
        /// The pointer's address.
        address: usize,
    },
    /// The pointer lies in a slab, but not at the start of a slot.
    #[error("{address:#x} is not the start of a slot")]
    NotASlot {
        /// The pointer's address.
        address: usize,
    },
    /// The slot holds no value: it was freed before, or never allocated.
    #[error("the slot at {address:#x} is not live: it was freed twice, or never allocated")]
    NotLive {
        /// The slot's address.
        address: usize,
    },
    /// The header of the slab was overwritten, or the pointer lies in no slab at all.
    #[error("the header of the slab around {address:#x} was overwritten, or there is no slab")]
    CorruptHeader {
        /// The address of the slot.
        address: usize,
    },
    /// A slot was written to after it was freed.
    #[error("write after free: byte {offset} of the free slot at {address:#x} was overwritten")]
    WriteAfterFree {
        /// The slot's address.
        address: usize,
        /// The first byte that was overwritten.
        offset: usize,
    },
    /// The program wrote past the end of a value. The slot is not used again.
    #[error(
        "overrun: byte {offset} of the value at {address:#x} was written, and it has {size} bytes"
    )]
    Overrun {
        /// The value's address.
        address: usize,
        /// Bytes of the value.
        size: usize,
        /// The first byte behind the value that was written, counted from its address.
        offset: usize,
    },
    /// The remote free list of a slab is damaged: a slot in it was written to after it was freed, or was
    /// freed twice.
    #[error("the list of freed slots in the slab at {address:#x} was overwritten")]
    CorruptList {
        /// The slab's address.
        address: usize,
    },
}

/// Panics with misuse that was detected. Called without the lock.
#[cold]
pub(crate) fn report(error: &CacheError) -> ! {
    panic!("slab-cache: {error}");
}

/// Panics if misuse was detected. Called without the lock.
pub(crate) fn report_any(error: Option<CacheError>) {
    if let Some(error) = error {
        report(&error);
    }
}

/// The value or closure that was not stored because there is no memory.
///
/// # Examples
///
/// ```
/// use slab_cache::Full;
///
/// let Full(value) = Full("handed back");
/// assert_eq!(value, "handed back");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Full<T>(pub T);

impl<T> fmt::Debug for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Full(..)")
    }
}

impl<T> fmt::Display for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no slot is free and the memory source has no more memory")
    }
}

impl<T> core::error::Error for Full<T> {}
