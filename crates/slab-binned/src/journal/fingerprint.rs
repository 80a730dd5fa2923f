//! A number that two allocators share if they did the same, and, but for a chance of one in 2⁶⁴, only then.

use super::{Journal, Tracked, sealed};
use crate::memory::Unwatched;
use crate::mix::Mixer;
use crate::{BlockId, Config};

/// Kinds of operations, as fingerprints and logs encode them.
pub const ALLOC: u32 = 1;
pub const FREE: u32 = 2;
pub const WRITE: u32 = 3;
pub const TRIM: u32 = 4;
const PLACE: u32 = 5;
/// A write at an offset other than 0.
pub const WRITE_AT: u32 = 6;

/// Remembers the operations as one number of 64 bits.
///
/// It covers every operation that succeeded, with its arguments and its outcome: sizes, alignments,
/// ids, the chunk and offset of each block when its index gets it, and the bytes of each `write`.
///
/// Two histories that differ have the same fingerprint by chance, once in 2⁶⁴ pairs. Words are mixed by the
/// folded product of wyhash, the state by a step of murmur3's finaliser: no pattern of data, such as changed
/// signs, swapped or shifted values, makes a collision likelier. Fingerprints are no signature: whoever wants a
/// collision can construct one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprinted {
    mixer: Mixer,
}

/// Returns the number that encodes what an operation was asked for.
#[inline]
pub fn head(kind: u32, size: u32) -> u64 {
    u64::from(kind) << 32 | u64::from(size)
}

/// Returns the kind of an allocation with its alignment and whether it was zeroed.
#[inline]
pub fn alloc_kind(align_log2: u32, zeroed: bool) -> u32 {
    ALLOC | align_log2 << 8 | u32::from(zeroed) << 16
}

/// Returns the logarithm of the alignment in an allocation's kind, and whether it was zeroed.
#[cfg(feature = "alloc")]
pub fn alloc_parts(kind: u32) -> (u32, bool) {
    (kind >> 8 & 0xFF, kind >> 16 != 0)
}

impl Fingerprinted {
    /// Returns the fingerprint of an allocator that has done nothing yet.
    pub fn of_fresh(config: &Config) -> Self {
        let mut mixer = Mixer::new();
        let [shape, cap] = config.words();
        mixer.pair(shape, cap);
        Self { mixer }
    }

    /// Returns the journal that has come to a fingerprint.
    pub fn at(fingerprint: u64) -> Self {
        Self { mixer: Mixer::at(fingerprint) }
    }
}

impl Journal for Fingerprinted {}

impl Tracked for Fingerprinted {
    #[inline]
    fn fingerprint(&self) -> u64 {
        self.mixer.state()
    }
}

impl sealed::Parts for Fingerprinted {
    type Watch = Unwatched;
    type Sink = Self;

    fn start(config: &Config, fingerprint: Option<u64>) -> Self {
        fingerprint.map_or_else(|| Self::of_fresh(config), Self::at)
    }

    fn try_clone(&self) -> Result<Self, usize> {
        Ok(*self)
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

impl sealed::Sink for Fingerprinted {
    type Mark = Self;

    const ON: bool = true;

    fn mark(&self) -> Self {
        *self
    }

    fn rewind(&mut self, to: &Self) {
        *self = *to;
    }

    fn jump(&mut self, fingerprint: Option<u64>) {
        *self = fingerprint.map_or(*self, Self::at);
    }

    fn current(&self) -> Option<u64> {
        Some(self.fingerprint())
    }

    #[inline]
    fn allocated(
        &mut self,
        size: u32,
        align_log2: u32,
        zeroed: bool,
        id: BlockId,
    ) -> Result<(), usize> {
        self.mixer.pair(head(alloc_kind(align_log2, zeroed), size), id.to_bits());
        Ok(())
    }

    fn placed(&mut self, index: u32, chunk: u32, granule: u32) {
        self.mixer.pair(head(PLACE, index), u64::from(chunk) << 32 | u64::from(granule));
    }

    #[inline]
    fn freed(&mut self, id: BlockId) -> Result<(), usize> {
        self.mixer.pair(head(FREE, 0), id.to_bits());
        Ok(())
    }

    fn wrote(&mut self, id: BlockId, offset: u32, bytes: &[u8]) {
        let kind = if offset == 0 { WRITE } else { WRITE_AT };
        self.mixer.pair(head(kind, bytes.len() as u32), id.to_bits());
        if offset != 0 {
            self.mixer.pair(offset.into(), 0);
        }
        self.mixer.bytes(bytes);
    }

    fn trimmed(&mut self, released_pages: u32) {
        self.mixer.pair(head(TRIM, released_pages), 0);
    }
}
