//! Journals: an allocator remembers nothing of its operations, a fingerprint, or a log.
//!
//! Which of them is a type parameter, so that an allocator that remembers nothing has no code for it.

#[cfg(feature = "alloc")]
mod diverge;
mod fingerprint;
#[cfg(feature = "alloc")]
mod log;
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
pub use self::text::LogError;

use crate::memory::Unwatched;
use crate::{BlockId, Config};

/// The memory of an allocator for its operations: [`Untracked`], [`Fingerprinted`] or
/// [`Logged`](crate::Logged). Implemented by those only.
pub trait Journal: sealed::Parts {}

/// A [`Journal`] that has a fingerprint.
pub trait Tracked: Journal {
    /// Returns the fingerprint of all operations so far.
    fn fingerprint(&self) -> u64;
}

/// A [`Tracked`] journal that has a [log](OpLog).
#[cfg(feature = "alloc")]
pub trait WithLog: Tracked + sealed::LogOwner {}

/// Remembers nothing, and costs nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Untracked;

impl Journal for Untracked {}

impl sealed::Parts for Untracked {
    type Watch = Unwatched;
    type Sink = Self;

    fn start(_: &Config, _: Option<u64>) -> Self {
        Self
    }

    fn try_clone(&self) -> Result<Self, usize> {
        Ok(Self)
    }

    #[inline]
    fn sink(&self) -> &Self {
        self
    }

    #[inline]
    fn sink_mut(&mut self) -> &mut Self {
        self
    }
}

impl sealed::Sink for Untracked {
    type Mark = ();

    const ON: bool = false;

    fn mark(&self) {}

    fn rewind(&mut self, (): &()) {}

    fn jump(&mut self, _: Option<u64>) {}

    fn current(&self) -> Option<u64> {
        None
    }
}

pub(crate) mod sealed {
    /// Owns a log, perhaps inside another journal.
    #[cfg(feature = "alloc")]
    pub trait LogOwner {
        fn logged(&self) -> &super::Logged;

        fn logged_mut(&mut self) -> &mut super::Logged;
    }

    use super::{BlockId, Config};
    use crate::memory::Watch;

    /// The parts of a journal.
    pub trait Parts: Sized {
        /// Whether changes are kept for a rollback.
        type Watch: Watch;

        /// Records the operations: the journal, or another one inside it.
        type Sink: Sink;

        /// Starts at a fingerprint, or at that of a fresh allocator.
        fn start(config: &Config, fingerprint: Option<u64>) -> Self;

        /// Returns a copy.
        ///
        /// # Errors
        ///
        /// The bytes for which there is no memory.
        fn try_clone(&self) -> Result<Self, usize>;

        fn sink(&self) -> &Self::Sink;

        fn sink_mut(&mut self) -> &mut Self::Sink;
    }

    /// The calls of an allocator to its journal: for operations that succeeded, or that can only fail for
    /// lack of memory to record them.
    pub trait Sink {
        /// The state of the journal at a checkpoint.
        type Mark: Copy + core::fmt::Debug;

        /// Whether anything is remembered at all.
        const ON: bool;

        /// Returns where the journal is.
        fn mark(&self) -> Self::Mark;

        /// Goes back to a mark.
        fn rewind(&mut self, to: &Self::Mark);

        /// Goes to a fingerprint that a peer came to; a log starts anew there.
        fn jump(&mut self, fingerprint: Option<u64>);

        /// Returns the fingerprint, where there is one.
        fn current(&self) -> Option<u64>;

        /// Makes sure that the next operation can be recorded: a write of up to `write_bytes` bytes, or another
        /// operation if that is 0.
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

        /// Bytes were written into a block, from `offset` on. Room for them was reserved.
        #[inline]
        fn wrote(&mut self, id: BlockId, offset: u32, bytes: &[u8]) {
            let _ = (id, offset, bytes);
        }

        /// Memory was given back where it could.
        fn trimmed(&mut self, released_pages: u32) {
            let _ = released_pages;
        }
    }
}
