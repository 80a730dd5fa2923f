//! The contents of a snapshot.

extern crate alloc;

use alloc::vec::Vec;
use core::fmt;

use crate::Config;
use crate::mix::Mixer;

/// The version of snapshots that this crate takes and restores.
pub const SNAPSHOT_VERSION: u32 = 3;

/// Start of the checksum of a snapshot: no other digest starts with it.
const CHECKSUM_DOMAIN: u64 = u64::from_le_bytes(*b"snapshot");

/// The whole state of an allocator: configuration, counts, every index with its generation and
/// place, the order of every list, and every byte that a block, live or dead, may show.
///
/// An allocator restored from it continues exactly as the one it was taken from: with the same ids,
/// places, bytes and fingerprints. A log is not part of it.
///
/// With feature `serde` it is serialised, in any format, the same on every platform. A
/// deserialised snapshot is not trusted: [`BinnedAllocator::restore`](crate::BinnedAllocator::restore) compares its
/// [checksum](Self::checksum), and then checks each number against the others.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Snapshot {
    pub(super) version: u32,
    pub(super) config: Config,
    pub(super) fingerprint: Option<u64>,
    pub(super) alloc_count: u64,
    pub(super) free_count: u64,
    pub(super) steps_max: u64,
    pub(super) chunks: Vec<ChunkImage>,
    pub(super) indices: Vec<IndexImage>,
    /// The indices of each bin, the first to be used first.
    pub(super) bins: Vec<Vec<u32>>,
    /// The indices without a block, the first to be used first.
    pub(super) spare: Vec<u32>,
    /// Chunk, page in the chunk and granules cut of the page that small blocks are cut from.
    pub(super) small_page: Option<(u32, u32, u32)>,
    /// The first page of each free run, in the order of the levels of the tree they are in: entered into an
    /// empty tree in this order, they make the same tree, so that later operations take as many steps.
    pub(super) free_runs: Vec<u32>,
    /// Of everything above.
    pub(super) checksum: u64,
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

    /// Returns the checksum that the snapshot was taken with. It covers everything that is restored, byte by
    /// byte, so that a snapshot that was changed afterwards, by one bit or by many, is refused, but for a
    /// chance of one in 2⁶⁴. It protects against damage, not against somebody who computes it anew. *O*(1).
    pub fn checksum(&self) -> u64 {
        self.checksum
    }

    /// Returns the checksum of what the snapshot holds now. *O*(bytes).
    pub(super) fn computed_checksum(&self) -> u64 {
        let Self {
            version,
            config,
            fingerprint,
            alloc_count,
            free_count,
            steps_max,
            ref chunks,
            ref indices,
            ref bins,
            ref spare,
            small_page,
            ref free_runs,
            checksum: _,
        } = *self;
        let mut mixer = Mixer::new();
        mixer.pair(CHECKSUM_DOMAIN, version.into());
        let [shape, cap] = config.words();
        mixer.pair(shape, cap);
        mixer.pair(fingerprint.is_some().into(), fingerprint.unwrap_or(0));
        mixer.pair(alloc_count, free_count);
        mixer.pair(steps_max, chunks.len() as u64);
        for ChunkImage { pages, room_pages, touched_pages, content } in chunks {
            mixer.pair((*pages).into(), (*room_pages).into());
            mixer.pair((*touched_pages).into(), content.len() as u64);
            mixer.bytes(content);
        }
        mixer.pair(indices.len() as u64, bins.len() as u64);
        for &IndexImage { generation, block } in indices {
            mixer.pair(generation.into(), block.is_some().into());
            if let Some(BlockImage { chunk, granule, class, shown }) = block {
                mixer.pair(chunk.into(), granule.into());
                mixer.pair(class.into(), shown.is_some().into());
                let (pad, len) = shown.unwrap_or_default();
                mixer.pair(pad.into(), len.into());
            }
        }
        for list in bins.iter().chain([spare, free_runs]) {
            mixer.pair(list.len() as u64, 0);
            for &number in list {
                mixer.pair(number.into(), 0);
            }
        }
        let (chunk, page, used) = small_page.unwrap_or_default();
        mixer.pair(small_page.is_some().into(), chunk.into());
        mixer.pair(page.into(), used.into());
        mixer.state()
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
