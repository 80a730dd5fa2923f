//! Restoring a snapshot. The checksum is compared before anything is built. It proves no origin, so each number is
//! also checked against the others, and memory is bounded before any is acquired.

extern crate alloc;

use alloc::vec::Vec;

use allocator_api2::alloc::Allocator;

use super::SnapshotError;
use super::image::{ChunkImage, IndexImage, SNAPSHOT_VERSION, Snapshot};
use super::plan::{Plan, PlanError, PlannedChunk};
use crate::allocator::BlockAllocator;
use crate::classes::{PAGE_BYTES, PAGE_GRANULES};
use crate::journal::Journal;
use crate::journal::sealed::Sink;
use crate::record::{NONE, OVERFLOW, Record};
use crate::space::{Line, Lines};
#[cfg(feature = "alloc")]
use slab_traits::Global;

#[cfg(feature = "alloc")]
impl<J: Journal> BlockAllocator<crate::Global, J> {
    /// Returns an allocator that goes on where the snapshot was taken. *O*(indices + bytes).
    ///
    /// `budget` limits the bytes that are acquired, whatever the snapshot says: see
    /// [`Snapshot::bytes_to_restore`]. The check itself takes up to 56 bytes a page and 21 an index
    /// beside that.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`] with the reason; nothing that was acquired is kept.
    ///
    /// # Examples
    ///
    /// See [`snapshot`](Self::snapshot).
    pub fn restore(snapshot: &Snapshot, budget: usize) -> Result<Self, SnapshotError> {
        Self::restore_in(snapshot, budget, Global)
    }
}

impl<A: Allocator, J: Journal> BlockAllocator<A, J> {
    /// As [`restore`](BlockAllocator::restore), over a memory source of the caller's.
    ///
    /// # Errors
    ///
    /// As [`restore`](BlockAllocator::restore).
    pub fn restore_in(
        snapshot: &Snapshot,
        budget: usize,
        source: A,
    ) -> Result<Self, SnapshotError> {
        let Snapshot { version, config, fingerprint, .. } = *snapshot;
        if version != SNAPSHOT_VERSION {
            return Err(SnapshotError::Version { found: version, supported: SNAPSHOT_VERSION });
        }
        let (expected, found) = (snapshot.checksum, snapshot.computed_checksum());
        if found != expected {
            return Err(SnapshotError::Checksum { expected, found });
        }
        if J::Sink::ON && fingerprint.is_none() {
            return Err(SnapshotError::NoFingerprint);
        }
        PlanError::check(config.is_possible(), "chunks have a size they can have", 0_u64)?;
        let (bytes, budget) = (snapshot.bytes_to_restore(), budget as u64);
        if bytes > budget {
            return Err(SnapshotError::OverBudget { bytes, budget });
        }
        let plan = snapshot.plan()?;
        let journal = J::start(&config, fingerprint);
        let mut restored = Self::assemble(config, source, journal);
        restored.build(&plan, snapshot).map_err(|bytes| SnapshotError::OutOfMemory { bytes })?;
        Ok(restored)
    }

    /// Makes a fresh allocator what a plan says, with the bytes of a snapshot.
    ///
    /// # Errors
    ///
    /// The bytes that the source refused.
    fn build(&mut self, plan: &Plan, snapshot: &Snapshot) -> Result<(), usize> {
        for (chunk, image) in plan.chunks().zip(&snapshot.chunks) {
            let (number, _) = self.store.restore_chunk(chunk.pages, chunk.room_pages)?;
            let chunks = self.store.chunks_mut();
            chunks.touch(number, 0, chunk.touched_pages);
            if let Some(bytes) = chunks.bytes_at_mut(number, 0, image.content.len()) {
                bytes.copy_from_slice(&image.content);
            }
        }
        let record_count = plan.records.len() as u32;
        self.store.reserve_records(record_count)?;
        self.adopt(plan);
        Ok(())
    }

    /// Takes over the records, lines and lists of a plan. There is room for them, and chunks are as planned.
    /// Values that are as planned already are not written.
    pub(crate) fn adopt(&mut self, plan: &Plan) {
        for (index, record) in (0..).zip(&plan.records) {
            if self.store.record(index) != Some(record)
                && let Some(place) = self.store.record_mut(index)
            {
                *place = *record;
            }
        }
        let lines = self.store.lines_mut();
        for (page, line) in plan.lines.all() {
            // A line that nothing was planned for is inside a run, and is not looked at.
            if line != Line::default() && lines.line(page) != line {
                lines.set_line(page, line);
            }
        }
        self.numbers = plan.numbers;
    }
}

impl From<PlanError> for SnapshotError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Broken { what, number } => Self::Broken { what, number },
            PlanError::OutOfMemory { bytes } => Self::OutOfMemory { bytes },
        }
    }
}

impl Snapshot {
    /// Returns the bookkeeping that the snapshot describes, checked. *O*(indices + pages).
    fn plan(&self) -> Result<Plan, PlanError> {
        let Self { chunks, indices, bins, .. } = self;
        let classes = self.config.classes.map();
        let planned = chunks.iter().map(|chunk| {
            let ChunkImage { pages, room_pages, touched_pages, .. } = *chunk;
            PlannedChunk { pages, room_pages, touched_pages }
        });
        let mut plan = Plan::new(classes, planned)?;
        for (number, chunk) in (0_u32..).zip(chunks) {
            let fits = chunk.content.len() <= chunk.touched_pages as usize * PAGE_BYTES;
            PlanError::check(fits, "a chunk has room for what it holds", number)?;
        }
        let cap = self.config.cap().unwrap_or(usize::MAX) as u64;
        let storage = plan.pages * PAGE_BYTES as u64;
        PlanError::check(storage <= cap, "the cap is kept", storage)?;
        let mut records = Vec::new();
        let bytes = indices.len().saturating_mul(size_of::<Record>());
        records.try_reserve_exact(indices.len()).map_err(|_| PlanError::OutOfMemory { bytes })?;
        for (index, image) in (0_u32..).zip(indices) {
            records.push(image.record(index)?);
        }
        plan.set_records(records)?;
        let given = bins.len();
        let classes = classes.sizes.len();
        PlanError::check(given == classes, "there is a bin for each class", given as u64)?;
        for (class, bin) in (0..).zip(bins) {
            plan.set_list(Some(class), bin)?;
        }
        plan.set_list(None, &self.spare)?;
        plan.set_small_page(self.small_page)?;
        plan.set_free_runs(&self.free_runs)?;
        plan.set_counts(self.alloc_count, self.free_count, self.steps_max)?;
        Ok(plan)
    }
}

impl IndexImage {
    /// Returns the record, without the link of a list.
    fn record(&self, index: u32) -> Result<Record, PlanError> {
        let Self { generation, block } = *self;
        let mut record = Record { generation, chunk: NONE, tag: NONE, ..Record::default() };
        let shows = block.is_some_and(|block| block.shown.is_some());
        PlanError::check(shows == record.is_live(), "what is live shows bytes", index)?;
        if let Some(block) = block {
            PlanError::check(block.chunk != NONE, "a block's chunk is there", index)?;
            let (pad, len) = block.shown.unwrap_or_default();
            let sizes = pad < PAGE_GRANULES && block.class <= OVERFLOW;
            PlanError::check(sizes, "a block shows what a block can", index)?;
            (record.chunk, record.granule, record.len) = (block.chunk, block.granule, len);
            record.tag = block.class | pad << 8;
        }
        Ok(record)
    }
}
