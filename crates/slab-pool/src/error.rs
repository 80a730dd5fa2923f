//! The errors of a pool, with the numbers that explain them.

use std::io;
use std::time::Duration;

/// Why a pool cannot be built, or a buffer cannot be acquired or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// A builder was given no class.
    #[error("a pool needs at least one size class")]
    NoClasses,
    /// A builder was given more classes than a pool can have.
    #[error("{count} size classes, but a pool has at most {max}")]
    TooManyClasses {
        /// Classes given.
        count: usize,
        /// Classes possible.
        max: usize,
    },
    /// A class has no bytes.
    #[error("size class {index} has no bytes")]
    EmptyClass {
        /// The index of the class.
        index: usize,
    },
    /// A class is not larger than the one before it.
    #[error("size class {index} of {bytes} bytes follows one of {previous_bytes}: sizes must rise")]
    ClassOrder {
        /// The index of the class.
        index: usize,
        /// Its size.
        bytes: usize,
        /// The size of the class before it.
        previous_bytes: usize,
    },
    /// No allocation of this size and alignment can exist.
    #[error("{bytes} bytes aligned to {alignment} are more than an address space holds")]
    TooLarge {
        /// The size.
        bytes: usize,
        /// The alignment.
        alignment: usize,
    },
    /// The alignment is not a power of two.
    #[error("an alignment of {alignment} is not a power of two")]
    Alignment {
        /// The alignment given.
        alignment: usize,
    },
    /// The limit of outstanding bytes is below the smallest buffer.
    #[error(
        "a limit of {limit_bytes} outstanding bytes is below the smallest class of {class_bytes}"
    )]
    LimitBelowClass {
        /// The limit given.
        limit_bytes: usize,
        /// The size of the smallest class.
        class_bytes: usize,
    },
    /// An arena would have no buffers, or more than a kernel registers.
    #[error("an arena of {count} buffers, but it has at least one and at most {max}")]
    ArenaBuffers {
        /// The buffers of all classes.
        count: usize,
        /// Buffers possible.
        max: usize,
    },
    /// The request is larger than the largest class, and the pool refuses such requests.
    #[error("{requested_bytes} bytes are more than the largest buffer of {max_bytes}")]
    Oversize {
        /// Bytes requested.
        requested_bytes: usize,
        /// The size of the largest buffer.
        max_bytes: usize,
    },
    /// The buffer is larger than the limit of outstanding bytes: waiting would not help.
    #[error("a buffer of {buffer_bytes} bytes is more than the limit of {limit_bytes} outstanding")]
    ExceedsLimit {
        /// Size of the buffer that the request needs.
        buffer_bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// The limit of outstanding bytes is reached, or other requests wait.
    #[error(
        "a buffer of {buffer_bytes} bytes has to wait: {outstanding_bytes} of {limit_bytes} are \
         outstanding, {waiting} wait"
    )]
    WouldWait {
        /// Size of the buffer that the request needs.
        buffer_bytes: usize,
        /// Bytes handed out.
        outstanding_bytes: usize,
        /// The limit.
        limit_bytes: usize,
        /// The number of requests that wait.
        waiting: usize,
    },
    /// The request was not served within its timeout.
    #[error("no buffer of {buffer_bytes} bytes came free within {waited:?}")]
    TimedOut {
        /// Size of the buffer that the request needs.
        buffer_bytes: usize,
        /// The timeout.
        waited: Duration,
    },
    /// The allocator has no memory.
    #[error("the allocator has no {bytes} bytes aligned to {alignment}")]
    OutOfMemory {
        /// The size.
        bytes: usize,
        /// The alignment.
        alignment: usize,
    },
    /// A write would go beyond the visible bytes.
    #[error("{count} bytes at {offset} go beyond the length of {len}")]
    OutOfBounds {
        /// The offset of the write.
        offset: usize,
        /// Bytes to be written.
        count: usize,
        /// The buffer's length.
        len: usize,
    },
    /// There is no such class.
    #[error("there is no size class {class}: the pool has {count}")]
    NoSuchClass {
        /// The class that was requested.
        class: usize,
        /// The number of classes.
        count: usize,
    },
}

impl From<PoolError> for io::Error {
    /// Returns an error of the corresponding kind, with the `PoolError` inside.
    fn from(error: PoolError) -> Self {
        let kind = match error {
            PoolError::WouldWait { .. } => io::ErrorKind::WouldBlock,
            PoolError::TimedOut { .. } => io::ErrorKind::TimedOut,
            PoolError::OutOfMemory { .. } => io::ErrorKind::OutOfMemory,
            _ => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}
