//! The journal of an allocator with checkpoints.

use core::fmt;

use super::ring::Ring;
use crate::journal::{Journal, Tracked, WithLog, sealed};
use crate::memory::Watched;
use crate::{BlockId, Config, Fingerprinted, Logged};

/// A [`Journal`] `J`, and checkpoints: `BlockAllocator<Global, Rewindable<Logged>>` has a log and can go back.
/// After a rollback the log ends where it ended at the checkpoint; if it was cleared in between, it is empty.
pub struct Rewindable<J: Journal = Fingerprinted> {
    journal: J,
    pub(crate) ring: Ring<J::Mark>,
}

impl<J: Journal> fmt::Debug for Rewindable<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rewindable")
            .field("checkpoints", &self.ring.iter().count())
            .field("limit", &self.ring.limit())
            .finish_non_exhaustive()
    }
}

impl<J: Journal> Journal for Rewindable<J> {}

impl<J: Tracked> Tracked for Rewindable<J> {
    #[inline]
    fn fingerprint(&self) -> u64 {
        self.journal.fingerprint()
    }
}

impl<J: WithLog> WithLog for Rewindable<J> {}

impl<J: WithLog> sealed::LogOwner for Rewindable<J> {
    fn logged(&self) -> &Logged {
        self.journal.logged()
    }

    fn logged_mut(&mut self) -> &mut Logged {
        self.journal.logged_mut()
    }
}

impl<J: Journal> sealed::Sink for Rewindable<J> {
    type Watch = Watched;
    type Mark = J::Mark;

    const ON: bool = J::ON;

    fn start(config: &Config, fingerprint: Option<u64>) -> Self {
        Self { journal: J::start(config, fingerprint), ring: Ring::new() }
    }

    /// A clone has no checkpoints.
    fn try_clone(&self) -> Result<Self, usize> {
        let mut ring = Ring::new();
        ring.set_limit(self.ring.limit());
        Ok(Self { journal: self.journal.try_clone()?, ring })
    }

    fn mark(&self) -> J::Mark {
        self.journal.mark()
    }

    fn rewind(&mut self, to: &J::Mark) {
        self.journal.rewind(to);
    }

    fn jump(&mut self, fingerprint: Option<u64>) {
        self.journal.jump(fingerprint);
    }

    fn current(&self) -> Option<u64> {
        self.journal.current()
    }

    #[inline]
    fn reserve(&mut self, write_bytes: usize) -> Result<(), usize> {
        self.journal.reserve(write_bytes)
    }

    #[inline]
    fn allocated(
        &mut self,
        size: u32,
        align_log2: u32,
        zeroed: bool,
        id: BlockId,
    ) -> Result<(), usize> {
        self.journal.allocated(size, align_log2, zeroed, id)
    }

    fn placed(&mut self, index: u32, chunk: u32, granule: u32) {
        self.journal.placed(index, chunk, granule);
    }

    #[inline]
    fn freed(&mut self, id: BlockId) -> Result<(), usize> {
        self.journal.freed(id)
    }

    fn wrote(&mut self, id: BlockId, offset: u32, bytes: &[u8]) {
        self.journal.wrote(id, offset, bytes);
    }

    fn trimmed(&mut self, released_pages: u32) {
        self.journal.trimmed(released_pages);
    }
}
