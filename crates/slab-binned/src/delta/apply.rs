//! Applying a delta.

extern crate alloc;

use alloc::vec::Vec;

use allocator_api2::alloc::Allocator;

use super::error::{no_memory, push};
use super::format::{ChunkChange, ContentDigest, View};
use super::{Delta, DeltaError};
use crate::allocator::BlockAllocator;
use crate::classes::PAGE_BYTES;
use crate::journal::Journal;
use crate::journal::sealed::Sink;
use crate::memory::{ChunkMemory, ReplacedChunk};
use crate::record::{NONE, Record};
use crate::snapshot::{Plan, PlanError, PlannedChunk};
use crate::space::{Line, Lines};

/// The state that a delta leads to.
struct Planned {
    plan: Plan,
    /// The chunks whose memory is another.
    fresh: Vec<(u32, ReplacedChunk)>,
}

impl<A: Allocator, J: Journal> BlockAllocator<A, J> {
    /// Brings the allocator to where a peer took a delta. It has to be where the delta starts, at the same digest as the
    /// checkpoint. *O*(changes), and *O*(indices + pages) to check the bookkeeping; no bytes are read but those of pages
    /// that change. Damage in those pages is noticed: they have to come to the bytes that the sender has.
    ///
    /// The fingerprint becomes the peer's, a log starts anew there, and checkpoints stay: a rollback undoes the delta.
    /// `budget` limits the bytes that are acquired, whatever the delta says. The check takes up to 56 bytes a page and 25
    /// an index beside that.
    ///
    /// # Errors
    ///
    /// [`DeltaError`] with the reason. Nothing has changed.
    ///
    /// # Examples
    ///
    /// See [`delta_since`](Self::delta_since).
    pub fn apply_delta(&mut self, delta: &Delta, budget: usize) -> Result<(), DeltaError> {
        let view = delta.view()?;
        let (expected, found) = (view.base, self.digest());
        if expected != found || view.config != self.config.words() {
            return Err(DeltaError::Base { expected, found });
        }
        let planned = self.planned(&view, budget)?;
        let Planned { plan, fresh } = &planned;
        let last_page = plan.page_numbers() - 2;
        let (chunks, records) = (view.chunk_count, view.record_count);
        let pages = fresh.iter().map(|(_, new)| new.pages);
        let memory = self.store.prepare(chunks, last_page, records, pages);
        let mut memory = memory.map_err(|bytes| DeltaError::OutOfMemory { bytes })?;
        self.commit(&view, &planned, &mut memory);
        // The source may unwind: everything else is done.
        self.store.give_back(memory);
        Ok(())
    }

    /// Returns the bookkeeping after a delta, checked.
    fn planned(&self, view: &View<'_>, budget: usize) -> Result<Planned, DeltaError> {
        let chunks = self.planned_chunks(view)?;
        let room: u64 = chunks.iter().map(|chunk| u64::from(chunk.room_pages) + 1).sum();
        let fresh_bytes: u64 = view
            .chunks()
            .filter(|change| change.fresh)
            .map(|change| u64::from(change.pages) * PAGE_BYTES as u64)
            .fold(0, u64::saturating_add);
        let bytes = fresh_bytes
            .saturating_add(self.more_metadata_bytes(room, u64::from(view.record_count)));
        if bytes > budget as u64 {
            return Err(DeltaError::OverBudget { bytes, budget: budget as u64 });
        }
        let mut plan = Plan::new(self.classes, chunks.iter().copied())?;
        let cap = self.config.cap().unwrap_or(usize::MAX) as u64;
        let storage = plan.pages * PAGE_BYTES as u64;
        PlanError::check(storage <= cap, "the cap is kept", storage)?;

        let mut records = self.patched_records(view)?;
        let lists = linked_lists(view, &mut records)?;
        plan.set_records(records)?;
        for &(class, ref indices) in &lists {
            plan.set_list(class, indices)?;
        }
        let [chunk, page, used] = view.small_page;
        plan.set_small_page((used != 0).then_some((chunk, page, used)))?;
        plan.set_free_runs(&self.linked_runs(view, plan.page_numbers())?)?;
        plan.set_counts(view.alloc_count, view.free_count, view.steps_max)?;
        let has_fingerprint = view.fingerprint.is_some() == J::Sink::ON;
        PlanError::check(has_fingerprint, "there is a fingerprint where there was one", 0_u64)?;
        self.check_pages(view, &chunks)?;
        let end = plan.numbers.digest(&self.config, view.fingerprint, storage);
        PlanError::check(end == view.end, "it leads to the digest that it says", end)?;
        let mut fresh = Vec::new();
        for change in view.chunks().filter(|change| change.fresh) {
            let ChunkChange { chunk, pages, room_pages, .. } = change;
            let first_page = plan.first_page(chunk);
            push(&mut fresh, (chunk, ReplacedChunk { pages, room_pages, first_page }))?;
        }
        Ok(Planned { plan, fresh })
    }

    /// Returns the chunks after a delta. They are not checked but for what they were before.
    fn planned_chunks(&self, view: &View<'_>) -> Result<Vec<PlannedChunk>, DeltaError> {
        let mut planned = Vec::new();
        for chunk in 0..self.store.chunks().count() {
            let Some(row) = self.store.chunks().get(chunk) else { continue };
            let (pages, room_pages, touched_pages) = (row.pages, row.room_pages, row.touched_pages);
            push(&mut planned, PlannedChunk { pages, room_pages, touched_pages })?;
        }
        let mut next = 0;
        for change in view.chunks() {
            let ChunkChange { chunk, pages, room_pages, touched_pages, fresh } = change;
            PlanError::check(chunk >= next, "changed chunks are in order", chunk)?;
            next = chunk.saturating_add(1);
            let new = PlannedChunk { pages, room_pages, touched_pages };
            if let Some(old) = planned.get_mut(chunk as usize) {
                let keeps = room_pages == old.room_pages
                    && (fresh || (pages == old.pages && touched_pages >= old.touched_pages));
                PlanError::check(keeps, "a chunk keeps what it keeps", chunk)?;
                *old = new;
            } else {
                let follows = chunk as usize == planned.len() && fresh;
                PlanError::check(follows, "a new chunk is the next one", chunk)?;
                push(&mut planned, new)?;
            }
        }
        let count = planned.len() as u64;
        let counted = count == u64::from(view.chunk_count);
        PlanError::check(counted, "chunks are counted", count)?;
        Ok(planned)
    }

    /// Returns the bytes of metadata that are acquired for so many page numbers and records.
    fn more_metadata_bytes(&self, page_numbers: u64, records: u64) -> u64 {
        // Segments are up to twice as long as what they have to hold.
        let needed = page_numbers
            .saturating_mul(2 * size_of::<Line>() as u64)
            .saturating_add(records.saturating_mul(2 * size_of::<Record>() as u64));
        needed.saturating_sub(self.metadata_bytes() as u64)
    }

    /// Returns the records after a delta.
    fn patched_records(&self, view: &View<'_>) -> Result<Vec<Record>, DeltaError> {
        let (old, count) = (self.numbers.record_count, view.record_count);
        PlanError::check(count >= old, "indices stay", count)?;
        let fits = (count - old) as usize <= view.records().len();
        PlanError::check(fits, "each new index has a record", count)?;
        let mut records = Vec::new();
        let no_memory = |_| no_memory::<Record>(count as usize);
        records.try_reserve_exact(count as usize).map_err(no_memory)?;
        records.extend((0..old).map(|index| self.store.record(index).copied().unwrap_or_default()));
        let mut next = 0;
        for [index, generation, tag, chunk, granule, len] in view.records() {
            PlanError::check(index >= next, "changed indices are in order", index)?;
            next = index.saturating_add(1);
            let record = Record { generation, tag, chunk, granule, len };
            match records.get_mut(index as usize) {
                Some(old) => *old = record,
                None => {
                    let follows = index as usize == records.len() && index < count;
                    PlanError::check(follows, "a new index is the next one", index)?;
                    records.push(record);
                }
            }
        }
        let complete = records.len() == count as usize;
        PlanError::check(complete, "each new index has a record", count)?;
        Ok(records)
    }

    /// Returns the free runs after a delta, in the order of the levels of their tree.
    fn linked_runs(&self, view: &View<'_>, page_numbers: u32) -> Result<Vec<u32>, DeltaError> {
        let mut changed = Vec::new();
        let mut next = 0;
        for line in view.lines() {
            PlanError::check(line[0] >= next, "changed lines are in order", line[0])?;
            next = line[0].saturating_add(1);
            push(&mut changed, line)?;
        }
        let children = |page: u32| match changed.binary_search_by_key(&page, |line| line[0]) {
            Ok(at) => [changed[at][1], changed[at][2]],
            Err(_) => {
                let line = self.store.lines().line(page);
                [line.left, line.right]
            }
        };
        let mut runs = Vec::new();
        if view.root != 0 {
            push(&mut runs, view.root)?;
        }
        let mut at = 0;
        while let Some(&run) = runs.get(at) {
            for child in children(run).into_iter().filter(|&child| child != 0) {
                push(&mut runs, child)?;
            }
            let count = runs.len() as u64;
            PlanError::check(count < u64::from(page_numbers), "free runs have an end", count)?;
            at += 1;
        }
        Ok(runs)
    }

    /// Checks that pages that change are there, are in order, and come to the bytes that the sender has.
    fn check_pages(&self, view: &View<'_>, chunks: &[PlannedChunk]) -> Result<(), DeltaError> {
        let mut next = (0, 0);
        let mut content = ContentDigest::new();
        let mut fresh = view.chunks().filter(|change| change.fresh).map(|change| change.chunk);
        let mut fresh_chunk = fresh.next();
        for change in view.pages.clone() {
            let change = change?;
            let (chunk, page) = (change.chunk, change.page);
            PlanError::check((chunk, page) >= next, "changed pages are in order", page)?;
            next = (chunk, page.saturating_add(1));
            let known = chunks.get(chunk as usize).is_some_and(|chunk| page < chunk.touched_pages);
            PlanError::check(known, "a page that changes is there", page)?;
            while fresh_chunk.is_some_and(|fresh| fresh < chunk) {
                fresh_chunk = fresh.next();
            }
            let mut bytes = [0; PAGE_BYTES];
            let old = self.store.chunks().bytes_at(chunk, page as usize * PAGE_BYTES, PAGE_BYTES);
            if let Some(old) = old.filter(|_| fresh_chunk != Some(chunk)) {
                bytes.copy_from_slice(old);
            }
            change.apply(&mut bytes);
            content.page(chunk, page, &bytes);
        }
        let (expected, found) = (view.content, content.number());
        if expected == found { Ok(()) } else { Err(DeltaError::Content { expected, found }) }
    }

    /// Does what was planned. There is memory for all of it.
    fn commit(&mut self, view: &View<'_>, planned: &Planned, memory: &mut ChunkMemory) {
        for &(chunk, new) in &planned.fresh {
            self.store.replace_chunk(chunk, new, memory);
        }
        for change in view.chunks() {
            self.store.chunks_mut().touch(change.chunk, 0, change.touched_pages);
        }
        for change in view.pages.clone().flatten() {
            let offset = change.page as usize * PAGE_BYTES;
            let page = self.store.chunks_mut().bytes_at_mut(change.chunk, offset, PAGE_BYTES);
            change.apply(page.unwrap_or_default());
        }
        self.adopt(&planned.plan);
        self.journal.sink_mut().jump(view.fingerprint);
    }
}

/// The indices of a list, and the class whose bin it is.
type ListIndices = (Option<u32>, Vec<u32>);

/// Follows the links of dead records, and puts their classes in the place of the links: the lists of all bins, and that
/// of the indices without a block.
fn linked_lists(view: &View<'_>, records: &mut [Record]) -> Result<Vec<ListIndices>, DeltaError> {
    let bins = (0..).map(Some).zip(view.bins());
    let mut lists = Vec::new();
    let mut left = records.len();
    for (class, [head, len]) in bins.chain([(None, view.spare)]) {
        let mut indices = Vec::new();
        let (mut next, len) = (head, len as usize);
        PlanError::check(len <= left, "an index is in one list", len as u64)?;
        left -= len;
        indices.try_reserve_exact(len).map_err(|_| no_memory::<u32>(len))?;
        for _ in 0..len {
            let Some(record) = records.get_mut(next as usize) else {
                return Err(PlanError::Broken {
                    what: "a list holds indices",
                    number: next.into(),
                }
                .into());
            };
            PlanError::check(!record.is_live(), "listed blocks are dead", next)?;
            indices.push(next);
            next = core::mem::replace(&mut record.tag, class.unwrap_or(NONE));
        }
        PlanError::check(next == NONE, "a list ends where it is counted to", next)?;
        push(&mut lists, (class, indices))?;
    }
    Ok(lists)
}
