//! What can be refused, and the numbers that say why.

use std::io;
use std::time::Duration;

/// Why a pool cannot be built, or a buffer not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// A builder was given no class.
    #[error("a pool needs at least one size class")]
    NoClasses,
    /// A builder was given more classes than a pool can have.
    #[error("{count} size classes, where {max} are possible")]
    TooManyClasses {
        /// Classes given.
        count: usize,
        /// Classes possible.
        max: usize,
    },
    /// A class has no bytes.
    #[error("size class {index} has no bytes")]
    EmptyClass {
        /// Which of the classes.
        index: usize,
    },
    /// A class is not larger than the one before it.
    #[error("size class {index} of {bytes} bytes follows one of {previous_bytes}: sizes must rise")]
    ClassOrder {
        /// Which of the classes.
        index: usize,
        /// Its size.
        bytes: usize,
        /// The size of the class before it.
        previous_bytes: usize,
    },
    /// No allocation of that size and alignment can exist.
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
    /// The limit of outstanding bytes does not allow for a single buffer.
    #[error(
        "a limit of {limit_bytes} outstanding bytes is below the smallest class of {class_bytes}"
    )]
    LimitBelowClass {
        /// The limit given.
        limit_bytes: usize,
        /// The size of the smallest class.
        class_bytes: usize,
    },
    /// The request is larger than the largest class, and the pool refuses such requests.
    #[error("{requested_bytes} bytes are more than the largest buffer of {max_bytes}")]
    Oversize {
        /// Bytes asked for.
        requested_bytes: usize,
        /// The largest buffer there is.
        max_bytes: usize,
    },
    /// The buffer alone is larger than the limit of outstanding bytes: waiting would not help.
    #[error("a buffer of {buffer_bytes} bytes is more than the limit of {limit_bytes} outstanding")]
    ExceedsLimit {
        /// Size of the buffer that the request needs.
        buffer_bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// The limit of outstanding bytes is reached, or others wait already.
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
        /// Requests that wait.
        waiting: usize,
    },
    /// The limit of outstanding bytes stayed reached for as long as the caller would wait.
    #[error("no buffer of {buffer_bytes} bytes came free within {waited:?}")]
    TimedOut {
        /// Size of the buffer that the request needs.
        buffer_bytes: usize,
        /// How long the caller was ready to wait.
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
        /// Where the write was to begin.
        offset: usize,
        /// Bytes to be written.
        count: usize,
        /// The buffer's length.
        len: usize,
    },
    /// There is no such class.
    #[error("there is no size class {class} among {count}")]
    NoSuchClass {
        /// The class asked for.
        class: usize,
        /// Classes that there are.
        count: usize,
    },
}

impl From<PoolError> for io::Error {
    /// Returns an error of the kind that fits, with the original inside.
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
