//! A number that two allocators share exactly if they did the same: arithmetic on 64-bit numbers that
//! no platform does differently.

use super::{Journal, Tracked, sealed};
use crate::{BlockId, Config};

/// Kinds of operations, as fingerprints and logs encode them.
pub const ALLOC: u32 = 1;
pub const FREE: u32 = 2;
pub const WRITE: u32 = 3;
pub const TRIM: u32 = 4;
const PLACE: u32 = 5;

// The digits of e and of the golden ratio: any odd numbers of many bits would do. The product of an odd
// number loses nothing.
const SPREAD: u64 = 0xB7E1_5162_8AED_2A6B;
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// Remembers the operations as one number of 64 bits.
///
/// It covers every operation that succeeded, with its arguments and its outcome: sizes, alignments,
/// ids, the chunk and offset of each block when its index gets it, and the bytes of each `write`. It
/// is no defence against somebody who looks for a collision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprinted {
    state: u64,
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
        // The digits of π: any number of many bits would do.
        let mut fresh = Self { state: 0x3243_F6A8_885A_308D };
        let [shape, cap] = config.words();
        fresh.mix(shape, cap);
        fresh
    }

    /// Returns the journal that has come to a fingerprint.
    pub fn at(state: u64) -> Self {
        Self { state }
    }

    /// Goes from one state to the next. For given numbers this is a permutation of the states, so that
    /// a difference between two fingerprints never gets lost in operations that are the same. Only the
    /// last line has to wait for the operation before.
    #[inline]
    pub fn mix(&mut self, left: u64, right: u64) {
        let both = right ^ left.wrapping_mul(SPREAD);
        self.state = (self.state ^ both).wrapping_mul(STEP).rotate_left(29);
    }

    fn mix_bytes(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(16);
        for chunk in &mut chunks {
            let (low, high) = chunk.split_at(8);
            self.mix(little_endian(low), little_endian(high));
        }
        let rest = chunks.remainder();
        let (low, high) = rest.split_at(rest.len().min(8));
        self.mix(little_endian(low), little_endian(high));
    }
}

/// Reads at most eight bytes as a number, the first as the lowest.
fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

impl Journal for Fingerprinted {}

impl Tracked for Fingerprinted {
    #[inline]
    fn fingerprint(&self) -> u64 {
        self.state
    }
}

impl sealed::Sink for Fingerprinted {
    const ON: bool = true;

    fn start(config: &Config, fingerprint: Option<u64>) -> Self {
        fingerprint.map_or_else(|| Self::of_fresh(config), |state| Self { state })
    }

    fn current(&self) -> Option<u64> {
        Some(self.state)
    }

    #[inline]
    fn allocated(
        &mut self,
        size: u32,
        align_log2: u32,
        zeroed: bool,
        id: BlockId,
    ) -> Result<(), usize> {
        self.mix(head(alloc_kind(align_log2, zeroed), size), id.to_bits());
        Ok(())
    }

    fn placed(&mut self, index: u32, chunk: u32, granule: u32) {
        self.mix(head(PLACE, index), u64::from(chunk) << 32 | u64::from(granule));
    }

    #[inline]
    fn freed(&mut self, id: BlockId) -> Result<(), usize> {
        self.mix(head(FREE, 0), id.to_bits());
        Ok(())
    }

    fn wrote(&mut self, id: BlockId, bytes: &[u8]) {
        self.mix(head(WRITE, bytes.len() as u32), id.to_bits());
        self.mix_bytes(bytes);
    }

    fn trimmed(&mut self, released_pages: u32) {
        self.mix(head(TRIM, released_pages), 0);
    }
}
