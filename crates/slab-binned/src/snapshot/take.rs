//! Taking a snapshot.

extern crate alloc;

use alloc::vec::Vec;

use allocator_api2::alloc::Allocator;

use super::image::{BlockImage, ChunkImage, IndexImage, SNAPSHOT_VERSION, Snapshot};
use crate::allocator::BlockAllocator;
use crate::bin::List;
use crate::classes::{PAGE_BYTES, PAGE_GRANULES};
use crate::error::BinnedError;
use crate::journal::Journal;
use crate::journal::sealed::Sink;
use crate::record::{NONE, Record};

impl<A: Allocator, J: Journal> BlockAllocator<A, J> {
    /// Returns the whole state, to be kept or sent. *O*(indices + bytes of storage). Its memory comes
    /// from the global allocator.
    ///
    /// # Errors
    ///
    /// [`BinnedError::OutOfMemory`].
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_binned::FingerprintedAllocator;
    ///
    /// let mut blocks = FingerprintedAllocator::default();
    /// let id = blocks.alloc(8)?;
    /// blocks.write(id, b"saved")?;
    /// let saved = blocks.snapshot()?;
    /// blocks.free(id)?;
    ///
    /// let mut restored = FingerprintedAllocator::restore(&saved, 1 << 20).expect("256 KiB and more");
    /// assert_eq!(restored.try_get(id)?, b"saved\0\0\0");
    /// restored.free(id)?;
    /// assert_eq!(restored.fingerprint(), blocks.fingerprint());
    /// # Ok::<(), slab_binned::BinnedError>(())
    /// ```
    pub fn snapshot(&self) -> Result<Snapshot, BinnedError> {
        let indices = (0..self.numbers.record_count).map(|index| self.index_image(index));
        let mut snapshot = Snapshot {
            version: SNAPSHOT_VERSION,
            config: self.config,
            fingerprint: self.journal.sink().current(),
            alloc_count: self.numbers.alloc_count,
            free_count: self.numbers.free_count,
            steps_max: self.numbers.steps_max,
            chunks: Vec::new(),
            indices: collect(indices)?,
            bins: Vec::new(),
            spare: self.listed(self.numbers.spare)?,
            small_page: None,
            free_runs: self.numbers.runs.in_levels(self.store.lines()).map_err(no_memory::<u32>)?,
            checksum: 0,
        };
        for chunk in 0..self.store.chunks().count() {
            let image = self.chunk_image(chunk)?;
            snapshot.chunks.try_reserve(1).map_err(|_| no_memory::<ChunkImage>(1))?;
            snapshot.chunks.push(image);
        }
        for class in 0..self.classes.sizes.len() {
            let bin = self.listed(self.numbers.bins[class].free)?;
            for &index in &bin {
                if let Some(block) = &mut snapshot.indices[index as usize].block {
                    block.class = class as u32;
                }
            }
            snapshot.bins.try_reserve(1).map_err(|_| no_memory::<Vec<u32>>(1))?;
            snapshot.bins.push(bin);
        }
        if self.numbers.small_page.remaining() != 0 {
            let page = self.numbers.small_page.start / PAGE_GRANULES;
            snapshot.small_page =
                Some((self.numbers.small_page.chunk, page, self.numbers.small_page.used));
        }
        snapshot.checksum = snapshot.computed_checksum();
        Ok(snapshot)
    }

    fn index_image(&self, index: u32) -> IndexImage {
        let record = self.store.record(index).copied().unwrap_or_default();
        let Record { generation, chunk, granule, len, .. } = record;
        let shown = record.is_live().then_some((record.tag >> 8, len));
        let block = BlockImage { chunk, granule, class: record.class(), shown };
        IndexImage { generation, block: (chunk != NONE).then_some(block) }
    }

    fn chunk_image(&self, chunk: u32) -> Result<ChunkImage, BinnedError> {
        let chunks = self.store.chunks();
        let Some(row) = chunks.get(chunk) else {
            return Err(no_memory::<ChunkImage>(0));
        };
        let touched = chunks.bytes_at(chunk, 0, row.touched_pages as usize * PAGE_BYTES);
        let touched = touched.unwrap_or_default();
        let used = used_bytes(touched);
        let mut content = Vec::new();
        content.try_reserve_exact(used).map_err(|_| no_memory::<u8>(used))?;
        content.extend_from_slice(&touched[..used]);
        let (pages, room_pages, touched_pages) = (row.pages, row.room_pages, row.touched_pages);
        Ok(ChunkImage { pages, room_pages, touched_pages, content })
    }

    fn listed(&self, list: List) -> Result<Vec<u32>, BinnedError> {
        let mut indices = Vec::new();
        indices.try_reserve_exact(list.len as usize).map_err(|_| no_memory::<u32>(list.len))?;
        indices.extend(list.iter(&self.store));
        Ok(indices)
    }
}

/// Returns how many bytes there are up to the last one that is not zero. The bytes are whole pages.
fn used_bytes(bytes: &[u8]) -> usize {
    // Pages that are all zero are told by comparing them as a whole.
    let mut pages = bytes.chunks_exact(PAGE_BYTES);
    let Some(page) = pages.rposition(|page| page != [0; PAGE_BYTES]) else { return 0 };
    let start = page * PAGE_BYTES;
    let last = bytes[start..start + PAGE_BYTES].iter().rposition(|&byte| byte != 0);
    last.map_or(start, |last| start + last + 1)
}

fn collect<T>(values: impl ExactSizeIterator<Item = T>) -> Result<Vec<T>, BinnedError> {
    let mut collected = Vec::new();
    collected.try_reserve_exact(values.len()).map_err(|_| no_memory::<T>(values.len()))?;
    collected.extend(values);
    Ok(collected)
}

fn no_memory<T>(count: impl TryInto<usize>) -> BinnedError {
    let count = count.try_into().unwrap_or(usize::MAX);
    BinnedError::OutOfMemory { bytes: count.saturating_mul(size_of::<T>()) }
}
