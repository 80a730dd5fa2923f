//! What a cache refuses, and what it finds.

use core::fmt;

use thiserror::Error;

/// The reason for which a cache refused a request, or what is wrong in it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The memory source refused.
    #[error("the memory source has no {bytes} bytes aligned to {align}")]
    OutOfMemory {
        /// Bytes asked for.
        bytes: usize,
        /// Alignment asked for.
        align: usize,
    },
    /// The pointer leads into no slab of the cache.
    #[error("{address:#x} lies in no slab of this cache")]
    ForeignPointer {
        /// The pointer's address.
        address: usize,
    },
    /// The pointer leads into a slab, but not to the start of a slot.
    #[error("no slot starts at {address:#x}")]
    NotASlot {
        /// The pointer's address.
        address: usize,
    },
    /// The slot holds no value: it was freed before, or never handed out.
    #[error("the slot at {address:#x} is not live: it was freed twice, or never handed out")]
    NotLive {
        /// The slot's address.
        address: usize,
    },
    /// The header of the slab was overwritten, or the pointer belongs to no cache at all.
    #[error("the slab of {address:#x} has no intact header")]
    CorruptHeader {
        /// The address of the slot that was to be used.
        address: usize,
    },
    /// A freed slot was written to.
    #[error("byte {offset} of the free slot at {address:#x} was written to")]
    WriteAfterFree {
        /// The slot's address.
        address: usize,
        /// The first byte that was written.
        offset: usize,
    },
    /// Somebody wrote past the end of a value. The slot is not used again.
    #[error("byte {offset} from {address:#x} on was written to, behind a value of {size} bytes")]
    Overrun {
        /// The value's address.
        address: usize,
        /// Bytes of the value.
        size: usize,
        /// The first byte behind it that was written, counted from the address.
        offset: usize,
    },
    /// The list of slots freed without the lock leads nowhere a list may lead: a slot in it was
    /// written to, or freed twice.
    #[error("the list of freed slots in the slab at {address:#x} was overwritten")]
    CorruptList {
        /// The slab's address.
        address: usize,
    },
}

/// Ends an operation that found a caller's mistake. Never called with the lock held.
#[cold]
pub(crate) fn report(error: &CacheError) -> ! {
    panic!("slab-cache: {error}");
}

/// What could not be stored because there is no memory: handed back.
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
        f.write_str("no slot is free, and the memory source has no more")
    }
}

impl<T> core::error::Error for Full<T> {}
