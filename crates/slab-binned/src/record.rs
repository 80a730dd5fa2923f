//! The record of an index: where its block lies, and whether it is live.

use crate::classes::{GRANULE_BYTES, PAGE_BYTES, PAGE_GRANULES};

/// No index and no chunk: ends a list.
pub const NONE: u32 = u32::MAX;

/// The class of a run of pages that no bin holds.
pub const OVERFLOW: u32 = 0xFF;

/// The last generation that a record can have while its block is dead. One more life would end at a
/// number that was used before.
pub const GENERATION_LAST: u32 = u32::MAX - 1;

/// The record of an index. All bytes zero is a record that was never used.
///
/// # Invariants
///
/// - **D1 (parity)**: `generation` is odd exactly while the block is live.
/// - **D2 (tag)**: while live, `tag` is the class and, above its lowest byte, how many granules lie
///   before the visible bytes; while dead, the next index of the list that the record is in; and of a retired record what it was
///   last.
/// - **D3 (placed)**: `chunk` is [`NONE`] exactly for a record that has no block: its index waits to
///   be used again, or is retired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Record {
    pub generation: u32,
    pub tag: u32,
    pub chunk: u32,
    /// First granule of the block, counted from the start of the chunk.
    pub granule: u32,
    /// Visible bytes while live.
    pub len: u32,
}

impl Record {
    #[inline]
    pub fn is_live(&self) -> bool {
        self.generation & 1 == 1
    }

    #[inline]
    pub fn is_retired(&self) -> bool {
        self.generation == GENERATION_LAST
    }

    /// Returns the class of a live block.
    #[inline]
    pub fn class(&self) -> u32 {
        self.tag & 0xFF
    }

    /// Returns the bytes that lie before the visible ones of a live block.
    #[inline]
    pub fn pad_bytes(&self) -> usize {
        (self.tag >> 8) as usize * GRANULE_BYTES
    }

    /// Returns where the visible bytes of a live block start in its chunk.
    #[inline]
    pub fn visible_offset(&self) -> usize {
        self.granule as usize * GRANULE_BYTES + self.pad_bytes()
    }

    /// Returns the first page of the block, counted from the start of the chunk.
    #[inline]
    pub fn page(&self) -> u32 {
        self.granule / PAGE_GRANULES
    }

    /// Returns the pages of a live overflow block.
    #[inline]
    pub fn overflow_pages(&self) -> u32 {
        pages_for(self.len as usize)
    }
}

/// Returns how many pages hold `bytes` bytes, which are at most a gibibyte.
#[inline]
pub const fn pages_for(bytes: usize) -> u32 {
    bytes.div_ceil(PAGE_BYTES) as u32
}
