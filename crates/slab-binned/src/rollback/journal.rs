//! The journal of an allocator with checkpoints.

use core::fmt;

use super::ring::Ring;
use crate::journal::sealed::Sink;
use crate::journal::{Journal, Tracked, WithLog, sealed};
use crate::memory::Watched;
use crate::{Config, Fingerprinted, Logged};

/// A [`Journal`] `J`, and checkpoints: `BlockAllocator<Global, Rewindable<Logged>>` has a log and can go back.
/// After a rollback the log ends where it ended at the checkpoint; if it was cleared in between, it is empty.
pub struct Rewindable<J: Journal = Fingerprinted> {
    journal: J,
    pub(crate) ring: Ring<<J::Sink as Sink>::Mark>,
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

impl<J: Journal> sealed::Parts for Rewindable<J> {
    type Watch = Watched;
    type Sink = J::Sink;

    fn start(config: &Config, fingerprint: Option<u64>) -> Self {
        Self { journal: J::start(config, fingerprint), ring: Ring::new() }
    }

    /// A clone has no checkpoints.
    fn try_clone(&self) -> Result<Self, usize> {
        let mut ring = Ring::new();
        ring.set_limit(self.ring.limit());
        Ok(Self { journal: self.journal.try_clone()?, ring })
    }

    #[inline]
    fn sink(&self) -> &J::Sink {
        self.journal.sink()
    }

    #[inline]
    fn sink_mut(&mut self) -> &mut J::Sink {
        self.journal.sink_mut()
    }
}
