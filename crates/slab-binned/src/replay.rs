//! Doing the operations of a log again.

use allocator_api2::alloc::Allocator;
use thiserror::Error;

use crate::allocator::{BlockAllocator, LoggedAllocator};
use crate::error::BinnedError;
use crate::id::BlockId;
use crate::journal::{OpLog, Operation, Tracked, WithLog};

/// The reason for which a replay stopped. The allocator has done the operations before it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The log does not start where the allocator is.
    #[error("the log starts at fingerprint {log:016x}, the allocator is at {allocator:016x}")]
    Start {
        /// Fingerprint before the log's first operation.
        log: u64,
        /// Fingerprint of the allocator.
        allocator: u64,
    },
    /// An operation was refused.
    #[error("operation {at} was refused: {error}")]
    Refused {
        /// Number of the operation.
        at: usize,
        /// Why.
        error: BinnedError,
    },
    /// An allocation returned another block than the log says.
    #[error("operation {at} returned block {found} instead of {expected}")]
    Other {
        /// Number of the operation.
        at: usize,
        /// The block of the log.
        expected: BlockId,
        /// The block returned.
        found: BlockId,
    },
    /// A trim gave back another number of pages than the log says.
    #[error("operation {at} gave back {found} pages instead of {expected}")]
    OtherTrim {
        /// Number of the operation.
        at: usize,
        /// Pages that the log says.
        expected: usize,
        /// Pages given back.
        found: usize,
    },
    /// Every operation did what the log says, but the fingerprint is another.
    #[error("the log ends at fingerprint {log:016x}, the allocator at {allocator:016x}")]
    End {
        /// Fingerprint after the log's last operation.
        log: u64,
        /// Fingerprint of the allocator.
        allocator: u64,
    },
}

impl OpLog {
    /// Does all operations again with a fresh allocator and returns that. *O*(operations) and what
    /// they take.
    ///
    /// A log from elsewhere can ask for as much memory as its [`config`](Self::config) permits: look
    /// at [`cap`](crate::Config::cap) first.
    ///
    /// # Errors
    ///
    /// [`ReplayError`] names the first operation that came out differently.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_binned::LoggedAllocator;
    ///
    /// let mut blocks = LoggedAllocator::default();
    /// let id = blocks.alloc(5)?;
    /// blocks.write(id, b"again")?;
    /// let replayed = blocks.log().replay().expect("the same operations");
    /// assert_eq!(replayed.fingerprint(), blocks.fingerprint());
    /// assert_eq!(replayed.get(id), Some(&b"again"[..]));
    /// # Ok::<(), slab_binned::BinnedError>(())
    /// ```
    pub fn replay(&self) -> Result<LoggedAllocator, ReplayError> {
        let mut fresh = LoggedAllocator::with_config(self.config());
        self.replay_onto(&mut fresh)?;
        Ok(fresh)
    }

    /// Does all operations again with an allocator that is where the log starts: a fresh one, or one
    /// restored from a snapshot that was taken when the log was cleared.
    ///
    /// # Errors
    ///
    /// As [`replay`](Self::replay), and [`ReplayError::Start`] if the allocator is elsewhere.
    pub fn replay_onto<A: Allocator, J: Tracked>(
        &self,
        allocator: &mut BlockAllocator<A, J>,
    ) -> Result<(), ReplayError> {
        if allocator.fingerprint() != self.start_fingerprint() {
            let allocator = allocator.fingerprint();
            return Err(ReplayError::Start { log: self.start_fingerprint(), allocator });
        }
        for (at, operation) in self.operations().enumerate() {
            let refused = |error| ReplayError::Refused { at, error };
            match operation {
                Operation::Alloc { size, align, zeroed, id: expected } => {
                    let found = allocator.alloc_for(size, align, zeroed).map_err(refused)?;
                    if found != expected {
                        return Err(ReplayError::Other { at, expected, found });
                    }
                }
                Operation::Free { id } => allocator.free(id).map_err(refused)?,
                Operation::Write { id, offset, bytes } => {
                    allocator.write_at(id, offset, bytes).map_err(refused)?;
                }
                Operation::Trim { released_pages: expected } => {
                    let found = allocator.trim().map_err(refused)? / crate::classes::PAGE_BYTES;
                    if found != expected {
                        return Err(ReplayError::OtherTrim { at, expected, found });
                    }
                }
            }
        }
        if allocator.fingerprint() == self.end_fingerprint() {
            Ok(())
        } else {
            Err(ReplayError::End {
                log: self.end_fingerprint(),
                allocator: allocator.fingerprint(),
            })
        }
    }
}

impl<A: Allocator, J: WithLog> BlockAllocator<A, J> {
    /// Returns the operations since the log was last cleared or taken.
    pub fn log(&self) -> &OpLog {
        self.journal().logged().log()
    }

    /// Forgets the operations; the fingerprint goes on. The memory of the last part of the log, for
    /// up to 1024 operations, is kept for the next ones.
    pub fn clear_log(&mut self) {
        self.journal_mut().logged_mut().clear();
    }

    /// Returns the operations and forgets them, to be sent or stored.
    pub fn take_log(&mut self) -> OpLog {
        self.journal_mut().logged_mut().take()
    }
}
