//! What a snapshot holds.

extern crate alloc;

use alloc::vec::Vec;
use core::fmt;

use crate::Config;

/// The version of snapshots that this crate takes and restores.
pub const SNAPSHOT_VERSION: u32 = 2;

/// The whole state of an allocator: configuration, counts, every index with its generation and
/// place, the order of every list, and every byte that a block, live or dead, may show.
///
/// An allocator restored from it continues exactly as the one it was taken from: with the same ids,
/// places, bytes and fingerprints. A log is not part of it.
///
/// With feature `serde` it is serialised, in any format, the same on every platform. What is
/// deserialised is not trusted: [`BinnedAllocator::restore`](crate::BinnedAllocator::restore) checks
/// all of it.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Snapshot {
    pub(super) version: u32,
    pub(super) config: Config,
    pub(super) fingerprint: Option<u64>,
    pub(super) alloc_count: u64,
    pub(super) free_count: u64,
    pub(super) chunks: Vec<ChunkImage>,
    pub(super) indices: Vec<IndexImage>,
    /// The indices of each bin, the first to be used first.
    pub(super) bins: Vec<Vec<u32>>,
    /// The indices without a block, the first to be used first.
    pub(super) spare: Vec<u32>,
    /// Chunk, page in the chunk and granules cut of the page that small blocks are cut from.
    pub(super) crumb: Option<(u32, u32, u32)>,
}

/// A chunk, and what was written into it.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub(super) struct ChunkImage {
    /// Pages of its memory; 0 if it was given back.
    pub pages: u32,
    /// Page numbers that it owns.
    pub room_pages: u32,
    /// Pages from the first on that blocks have had.
    pub touched_pages: u32,
    /// Its bytes from the first on; those behind are zero.
    #[cfg_attr(feature = "serde", serde(with = "super::content"))]
    pub content: Vec<u8>,
}

/// An index: its generation, and where its block lies, if it has one.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub(super) struct IndexImage {
    pub generation: u32,
    pub block: Option<BlockImage>,
}

/// A block.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub(super) struct BlockImage {
    pub chunk: u32,
    pub granule: u32,
    /// Its class, or 255 for a run of pages that no bin holds.
    pub class: u32,
    /// Granules before the visible bytes, and how many of those there are; of a live block only.
    pub shown: Option<(u32, u32)>,
}

impl Snapshot {
    /// Returns the version it was taken with.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Returns the fingerprint of the allocator, if that had one.
    pub fn fingerprint(&self) -> Option<u64> {
        self.fingerprint
    }

    /// Returns what the allocator was made with.
    pub fn config(&self) -> Config {
        self.config
    }

    /// Returns the bytes of chunks and records that an allocator restored from this acquires, as far
    /// as that can be told without checking everything else: what
    /// [`restore`](crate::BinnedAllocator::restore) compares with its budget. *O*(chunks).
    pub fn bytes_to_restore(&self) -> u64 {
        // Segments of records and lines are up to twice as long as what they have to hold.
        const INDEX_BYTES: u64 = 2 * 20;
        const PAGE_NUMBER_BYTES: u64 = 2 * 16;
        const CHUNK_BYTES: u64 = 2 * 32 + 4096;
        let chunk = |chunk: &ChunkImage| {
            u64::from(chunk.pages) * 4096
                + CHUNK_BYTES
                + (u64::from(chunk.room_pages) + 1) * PAGE_NUMBER_BYTES
        };
        let chunks: u64 = self.chunks.iter().map(chunk).fold(0, u64::saturating_add);
        chunks.saturating_add(self.indices.len() as u64 * INDEX_BYTES)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("version", &self.version)
            .field("config", &self.config)
            .field("fingerprint", &self.fingerprint)
            .field("chunks", &self.chunks.len())
            .field("indices", &self.indices.len())
            .finish_non_exhaustive()
    }
}
