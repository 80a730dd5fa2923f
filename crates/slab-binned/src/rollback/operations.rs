//! Taking checkpoints and going back to them.

use allocator_api2::alloc::Allocator;

use super::ring::Saved;
use super::{Checkpoint, Rewindable, RollbackError};
use crate::allocator::BlockAllocator;
use crate::error::BinnedError;
use crate::journal::Journal;
use crate::journal::sealed::{Parts, Sink};
use crate::memory::StoreMark;

impl<A: Allocator, J: Journal> BlockAllocator<A, Rewindable<J>> {
    /// Takes a checkpoint: a state that [`rollback`](Self::rollback) can go back to. *O*(1).
    ///
    /// From now on each page, record and line is copied once, before it changes. The last eight checkpoints are
    /// kept, or as many as [`set_checkpoint_limit`](Self::set_checkpoint_limit) says. If there is no memory for
    /// a copy, the operation succeeds, and all checkpoints are dropped.
    ///
    /// # Errors
    ///
    /// [`BinnedError::OutOfMemory`].
    pub fn checkpoint(&mut self) -> Result<Checkpoint, BinnedError> {
        self.drop_lost();
        let room = self.journal.ring.reserve();
        room.map_err(|bytes| BinnedError::OutOfMemory { bytes })?;
        let checkpoint = Checkpoint::from_parts(self.journal.ring.next_number(), self.digest());
        let numbers = self.numbers;
        let (store, journal) = (self.store.mark(), self.journal.sink().mark());
        self.journal.ring.push(Saved { checkpoint, numbers, store, journal });
        self.drop_excess();
        Ok(checkpoint)
    }

    /// Goes back to a checkpoint: contents, ids, counts, the fingerprint and the log are what they were, and
    /// what follows is what would have followed. *O*(changes since the checkpoint).
    ///
    /// The checkpoint stays and can be gone back to again; later ones are dropped. Only
    /// [`metadata_bytes`](Self::metadata_bytes) stays as large as it has become. Chunks acquired since go back to
    /// the memory source; chunks that a [`trim`](Self::trim) gave back since come back, as they are kept for
    /// that.
    ///
    /// # Errors
    ///
    /// [`RollbackError`] if the checkpoint was dropped, undone, or taken by another allocator. Nothing has
    /// changed.
    pub fn rollback(&mut self, to: Checkpoint) -> Result<(), RollbackError> {
        self.drop_lost();
        let saved = self.journal.ring.find(to)?;
        let (numbers, store, journal) = (saved.numbers, saved.store, saved.journal);
        self.journal.ring.truncate_after(to.number());
        self.journal.sink_mut().rewind(&journal);
        self.numbers = numbers;
        RewoundMemory { blocks: self, to: store }.run();
        Ok(())
    }

    /// Returns the checkpoints that are kept, the oldest first.
    pub fn checkpoints(&self) -> impl Iterator<Item = Checkpoint> {
        let is_lost = !self.store.is_watched();
        self.journal.ring.iter().filter(move |_| !is_lost).map(|saved| saved.checkpoint)
    }

    /// Chooses how many checkpoints are kept; the oldest beyond that are dropped. With 0, none is.
    pub fn set_checkpoint_limit(&mut self, limit: usize) {
        self.journal.ring.set_limit(limit);
        self.drop_lost();
        self.drop_excess();
    }

    /// Drops all checkpoints. Until the next one, nothing is copied.
    pub fn drop_checkpoints(&mut self) {
        self.journal.ring.clear();
        self.store.stop();
    }

    /// Returns the bytes that the checkpoints have from the global allocator: copies of what changed, four
    /// bytes for each page number and index, and the checkpoints themselves. *O*(1).
    pub fn checkpoint_bytes(&self) -> usize {
        self.store.tape_bytes() + self.journal.ring.memory_bytes()
    }

    /// Drops all checkpoints if the tapes have not kept everything since.
    fn drop_lost(&mut self) {
        if !self.store.is_watched() {
            self.drop_checkpoints();
        }
    }

    fn drop_excess(&mut self) {
        while self.journal.ring.drop_excess() {
            match self.journal.ring.first() {
                Some(first) => {
                    let mark = first.store;
                    self.store.forget_before(&mark);
                }
                None => self.store.stop(),
            }
        }
    }
}

impl<A: Allocator, J: Journal> BlockAllocator<A, J> {
    /// Returns a digest of the fingerprint, the counts and the heads of the lists.
    pub(crate) fn digest(&self) -> u64 {
        let storage_bytes = self.store.chunks().bytes() as u64;
        self.numbers.digest(&self.config, self.journal.sink().current(), storage_bytes)
    }
}

/// Memory that goes back to a mark. The drop finishes what a panic of the memory source interrupts. A second
/// panic meanwhile is one while the program unwinds, which aborts it.
struct RewoundMemory<'a, A: Allocator, J: Journal> {
    blocks: &'a mut BlockAllocator<A, Rewindable<J>>,
    to: StoreMark,
}

impl<A: Allocator, J: Journal> RewoundMemory<'_, A, J> {
    fn run(&mut self) {
        self.blocks.store.rewind(&self.to);
    }
}

impl<A: Allocator, J: Journal> Drop for RewoundMemory<'_, A, J> {
    fn drop(&mut self) {
        self.run();
    }
}
