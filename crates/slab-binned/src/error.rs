//! The reasons for which operations are refused.

use thiserror::Error;

/// The reason for which an operation was refused. Nothing has changed: no block, no statistic, no
/// fingerprint and no log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BinnedError {
    /// A block of no bytes was requested.
    #[error("a block of 0 bytes was requested; the smallest has 1")]
    ZeroSize,
    /// The size is larger than any block can be, on every platform the same.
    #[error("a block of {size} bytes was requested; the largest has {max}")]
    TooLarge {
        /// Bytes requested.
        size: usize,
        /// Bytes of the largest block.
        max: usize,
    },
    /// The alignment is no power of two, or larger than any block's.
    #[error("an alignment of {align} was requested; it must be a power of two up to {max}")]
    BadAlign {
        /// Alignment requested.
        align: usize,
        /// The largest alignment.
        max: usize,
    },
    /// Another chunk would exceed the cap.
    #[error(
        "a block of {size} bytes needs {needed} bytes beside the {storage} of storage; the cap is \
         {cap}"
    )]
    OverCap {
        /// Bytes requested.
        size: usize,
        /// Bytes of whole pages that would have to be acquired.
        needed: usize,
        /// Bytes acquired so far.
        storage: usize,
        /// The cap in bytes.
        cap: usize,
    },
    /// The memory source refused.
    #[error("the memory source refused {bytes} bytes")]
    OutOfMemory {
        /// Bytes asked of the source.
        bytes: usize,
    },
    /// All indices are in use.
    #[error("there are {count} indices, the most possible")]
    TooManyBlocks {
        /// Indices handed out so far.
        count: u32,
    },
    /// The id's index was never handed out.
    #[error("block {index}:… was never handed out: there are {count} indices so far")]
    UnknownIndex {
        /// Index of the id.
        index: u32,
        /// Indices handed out so far.
        count: u32,
    },
    /// The block was freed, and its index is not in use.
    #[error("block {index}:{generation} was freed already")]
    AlreadyFreed {
        /// Index of the id.
        index: u32,
        /// Generation of the id.
        generation: u32,
    },
    /// The block was freed, and its index was used again since.
    #[error("block {index}:{generation} is stale: its index has reached generation {current}")]
    Stale {
        /// Index of the id.
        index: u32,
        /// Generation of the id.
        generation: u32,
        /// Generation of the index now.
        current: u32,
    },
    /// The generation was never handed out.
    #[error("block {index}:{generation} was never handed out: its index has generation {current}")]
    Forged {
        /// Index of the id.
        index: u32,
        /// Generation of the id.
        generation: u32,
        /// Generation of the index now.
        current: u32,
    },
    /// The write reaches beyond the bytes of the block that were requested.
    #[error(
        "a write of {len} bytes at offset {offset} reaches beyond the {block_len} bytes of block \
         {index}:{generation}"
    )]
    WriteTooLong {
        /// Bytes to be written.
        len: usize,
        /// Offset in the block of the first of them.
        offset: usize,
        /// Bytes of the block that were requested.
        block_len: usize,
        /// Index of the block.
        index: u32,
        /// Generation of the block.
        generation: u32,
    },
}

/// A broken invariant, as `validate` found it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("invariant violated: {what} (number {number})")]
pub struct Inconsistency {
    pub(crate) what: &'static str,
    pub(crate) number: u64,
}

impl Inconsistency {
    pub(crate) fn new(what: &'static str, number: impl Into<u64>) -> Self {
        Self { what, number: number.into() }
    }

    pub(crate) fn check(
        holds: bool,
        what: &'static str,
        number: impl Into<u64>,
    ) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self::new(what, number)) }
    }
}

impl From<(&'static str, u32)> for Inconsistency {
    fn from((what, number): (&'static str, u32)) -> Self {
        Self::new(what, number)
    }
}
