//! What an allocator remembers of its operations: nothing, a fingerprint, or a log.
//!
//! Which of them is a type parameter, so that an allocator that remembers nothing has no code for it.

#[cfg(feature = "alloc")]
mod diverge;
mod fingerprint;
#[cfg(feature = "alloc")]
mod log;
#[cfg(feature = "alloc")]
mod replay;
#[cfg(all(feature = "serde", feature = "alloc"))]
mod serial;
#[cfg(feature = "alloc")]
mod text;

pub use fingerprint::Fingerprinted;

#[cfg(feature = "alloc")]
pub use self::diverge::{Divergence, diverges_at};
#[cfg(feature = "alloc")]
pub use self::log::{Logged, OpLog, Operation, Operations};
#[cfg(feature = "alloc")]
pub use self::replay::ReplayError;
#[cfg(feature = "alloc")]
pub use self::text::LogError;

use crate::{BlockId, Config};

/// What an allocator remembers of its operations: [`Untracked`], [`Fingerprinted`] or
/// [`Logged`](crate::Logged). Implemented by those only.
pub trait Journal: sealed::Sink {}

/// A [`Journal`] that has a fingerprint.
pub trait Tracked: Journal {
    /// Returns the fingerprint of all operations so far.
    fn fingerprint(&self) -> u64;
}

/// Remembers nothing, and costs nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Untracked;

impl Journal for Untracked {}

impl sealed::Sink for Untracked {
    const ON: bool = false;

    fn start(_: &Config, _: Option<u64>) -> Self {
        Self
    }

    fn current(&self) -> Option<u64> {
        None
    }
}

pub(crate) mod sealed {
    use super::{BlockId, Config};

    /// What an allocator tells its journal: what succeeded, or cannot fail any more but for lack of
    /// memory to record it.
    pub trait Sink: Sized {
        /// Whether anything is remembered at all.
        const ON: bool;

        /// Starts at a fingerprint, or at that of a fresh allocator.
        fn start(config: &Config, fingerprint: Option<u64>) -> Self;

        /// Returns the fingerprint, where there is one.
        fn current(&self) -> Option<u64>;

        /// Makes sure that the next operation can be recorded, with `write_bytes` bytes written.
        ///
        /// # Errors
        ///
        /// The bytes for which there is no memory.
        #[inline]
        fn reserve(&mut self, write_bytes: usize) -> Result<(), usize> {
            let _ = write_bytes;
            Ok(())
        }

        /// A block is being handed out.
        ///
        /// # Errors
        ///
        /// As [`reserve`](Self::reserve), unless that was called; nothing was recorded.
        #[inline]
        fn allocated(
            &mut self,
            size: u32,
            align_log2: u32,
            zeroed: bool,
            id: BlockId,
        ) -> Result<(), usize> {
            let _ = (size, align_log2, zeroed, id);
            Ok(())
        }

        /// An index got a block at a place. Told before the operation that it belongs to.
        #[inline]
        fn placed(&mut self, index: u32, chunk: u32, granule: u32) {
            let _ = (index, chunk, granule);
        }

        /// A block is being freed.
        ///
        /// # Errors
        ///
        /// As [`allocated`](Self::allocated).
        #[inline]
        fn freed(&mut self, id: BlockId) -> Result<(), usize> {
            let _ = id;
            Ok(())
        }

        /// Bytes were written to the start of a block.
        #[inline]
        fn wrote(&mut self, id: BlockId, bytes: &[u8]) {
            let _ = (id, bytes);
        }

        /// Memory was given back where it could.
        fn trimmed(&mut self, released_pages: u32) {
            let _ = released_pages;
        }
    }
}
