//! Taking a delta.

extern crate alloc;

use alloc::vec::Vec;

use allocator_api2::alloc::Allocator;

use super::error::{no_memory, push};
use super::format::{ChunkChange, ContentDigest, Writer};
use super::{Delta, DeltaError};
use crate::allocator::BlockAllocator;
use crate::classes::{PAGE_BYTES, PAGE_GRANULES};
use crate::journal::Journal;
use crate::journal::sealed::{Parts, Sink};
use crate::memory::ChunkEntry;
use crate::rollback::{Checkpoint, Rewindable, RollbackError};
use crate::space::{Kind, Lines};

/// Equal bytes between two stretches that are sent along, as another stretch takes four bytes.
const GAP_BYTES: usize = 4;

/// A page that changed, and what it held at the checkpoint; nothing for zeros.
struct Dirty<'a> {
    chunk: u32,
    page: u32,
    old: Option<&'a [u8]>,
    /// How many were found before it.
    order: usize,
}

/// The changes of chunks since a checkpoint.
struct Changes<'a> {
    dirty: Vec<Dirty<'a>>,
    /// By chunk: touched pages at the checkpoint and `false`, or 0 and `true` if the memory is another; `None` if
    /// neither changed.
    bases: Vec<Option<(u32, bool)>>,
}

impl<A: Allocator, J: Journal> BlockAllocator<A, Rewindable<J>> {
    /// Returns what changed since a checkpoint, for a peer that is where the checkpoint was taken. *O*(changes since the
    /// checkpoint).
    ///
    /// It has the stretches of bytes that differ: at most 1 % more than the pages that changed. Each index whose block was
    /// allocated or freed takes 24 bytes, each free run that changed 12.
    ///
    /// # Errors
    ///
    /// [`DeltaError::Checkpoint`] if the checkpoint is not kept, and [`DeltaError::OutOfMemory`].
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_binned::{Delta, DeltaError, RollbackAllocator};
    ///
    /// let (mut ours, mut theirs) = (RollbackAllocator::new(), RollbackAllocator::new());
    /// let base = ours.checkpoint()?;
    /// let id = ours.alloc(100)?;
    /// ours.write(id, b"new")?;
    /// let sent = ours.delta_since(base)?.as_bytes().to_vec();
    ///
    /// theirs.apply_delta(&Delta::from_bytes(&sent)?, 1 << 20)?;
    /// assert_eq!(theirs.fingerprint(), ours.fingerprint());
    /// assert_eq!(theirs.get(id), ours.get(id));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn delta_since(&self, from: Checkpoint) -> Result<Delta, DeltaError> {
        if !self.store.is_watched() {
            let (number, limit) = (from.number(), self.journal.ring.limit());
            return Err(RollbackError::Dropped { number, kept: 0, limit }.into());
        }
        let saved = self.journal.ring.find(from)?;
        let (records, lines, entries) = self.store.changes_since(&saved.store);
        let mut writer = Writer::default();
        writer.start()?;
        writer.u64s(&self.config.words())?;
        writer.u64s(&[from.digest(), self.digest()])?;
        let fingerprint = self.journal.sink().current();
        writer.bytes(&[fingerprint.is_some().into()])?;
        writer.u64s(&[fingerprint.unwrap_or(0)])?;
        writer.u64s(&[
            self.numbers.alloc_count,
            self.numbers.free_count,
            self.numbers.steps_max,
        ])?;
        writer.u32s(&[
            self.numbers.record_count,
            self.numbers.spare.head,
            self.numbers.spare.len,
        ])?;
        let page = &self.numbers.small_page;
        let used = if page.remaining() == 0 { 0 } else { page.used };
        writer.u32s(&[page.chunk, page.start / PAGE_GRANULES, used])?;
        let bins = &self.numbers.bins[..self.classes.sizes.len()];
        writer.u32s(&[bins.len() as u32])?;
        for bin in bins {
            writer.u32s(&[bin.free.head, bin.free.len])?;
        }
        let [root, ..] = self.numbers.runs.words();
        writer.u32s(&[self.store.chunks().count(), root])?;

        let changes = self.changes(entries)?;
        self.write_chunks(&mut writer, &changes)?;
        let mut indices = collect(records)?;
        indices.retain(|&index| index < self.numbers.record_count);
        writer.u32s(&[indices.len() as u32])?;
        for index in indices {
            let record = self.store.record(index).copied().unwrap_or_default();
            let crate::record::Record { generation, tag, chunk, granule, len } = record;
            writer.u32s(&[index, generation, tag, chunk, granule, len])?;
        }
        let lines = collect(lines)?;
        let place = writer.place_for_u32()?;
        let mut count = 0;
        for page in lines {
            let line = self.store.lines().line(page);
            if line.kind == Kind::Free && line.height != 0 {
                writer.u32s(&[page, line.left, line.right])?;
                count += 1;
            }
        }
        writer.set_u32(place, count);
        let content = self.write_pages(&mut writer, &changes.dirty)?;
        writer.finish(&content)
    }

    /// Returns the chunks and pages that changed.
    fn changes<'a>(
        &self,
        entries: impl Iterator<Item = &'a ChunkEntry>,
    ) -> Result<Changes<'a>, DeltaError> {
        let count = self.store.chunks().count() as usize;
        let mut changes = Changes { dirty: Vec::new(), bases: Vec::new() };
        let no_memory = |_| no_memory::<(u32, bool)>(count);
        changes.bases.try_reserve_exact(count).map_err(no_memory)?;
        changes.bases.resize(count, None);
        for entry in entries {
            match *entry {
                ChunkEntry::Page { chunk, page, ref bytes } => {
                    let order = changes.dirty.len();
                    push(&mut changes.dirty, Dirty { chunk, page, old: Some(bytes), order })?;
                }
                ChunkEntry::Touched { chunk, touched_pages } => {
                    if let Some(base) = changes.bases.get_mut(chunk as usize) {
                        base.get_or_insert((touched_pages, false));
                    }
                }
                ChunkEntry::Acquired { chunk, .. } | ChunkEntry::Released { chunk, .. } => {
                    if let Some(base) = changes.bases.get_mut(chunk as usize) {
                        *base = Some((0, true));
                    }
                }
            }
        }
        // Of the copies of a page the oldest counts, which comes first, and none if the memory is another.
        changes.dirty.sort_unstable_by_key(|dirty| (dirty.chunk, dirty.page, dirty.order));
        changes.dirty.dedup_by_key(|dirty| (dirty.chunk, dirty.page));
        let Changes { dirty, bases } = &mut changes;
        dirty.retain(|dirty| {
            let base = bases.get(dirty.chunk as usize).copied().flatten();
            base.is_none_or(|(base, fresh)| !fresh && dirty.page < base)
        });
        for (chunk, base) in (0..).zip(bases.iter()) {
            let (Some((base, _)), Some(row)) = (base, self.store.chunks().get(chunk)) else {
                continue;
            };
            for page in *base..row.touched_pages {
                push(dirty, Dirty { chunk, page, old: None, order: 0 })?;
            }
        }
        dirty.sort_unstable_by_key(|dirty| (dirty.chunk, dirty.page));
        Ok(changes)
    }

    fn write_chunks(&self, writer: &mut Writer, changes: &Changes<'_>) -> Result<(), DeltaError> {
        let changed = changes.bases.iter().flatten().count();
        writer.u32s(&[changed as u32])?;
        for (chunk, base) in (0_u32..).zip(&changes.bases) {
            let (Some((_, fresh)), Some(row)) = (*base, self.store.chunks().get(chunk)) else {
                continue;
            };
            let (pages, room_pages, touched_pages) = (row.pages, row.room_pages, row.touched_pages);
            let change = ChunkChange { chunk, pages, room_pages, touched_pages, fresh };
            writer.u32s(&[change.chunk, change.pages, change.room_pages, change.touched_pages])?;
            writer.bytes(&[change.fresh.into()])?;
        }
        Ok(())
    }

    fn write_pages(
        &self,
        writer: &mut Writer,
        dirty: &[Dirty<'_>],
    ) -> Result<ContentDigest, DeltaError> {
        const ZEROS: &[u8] = &[0; PAGE_BYTES];
        let place = writer.place_for_u32()?;
        let (mut count, mut content) = (0, ContentDigest::new());
        for &Dirty { chunk, page, old, .. } in dirty {
            let offset = page as usize * PAGE_BYTES;
            let new = self.store.chunks().bytes_at(chunk, offset, PAGE_BYTES);
            let (Some(new), old) = (new, old.unwrap_or(ZEROS)) else { continue };
            if new == old {
                continue;
            }
            writer.u32s(&[chunk, page])?;
            write_stretches(writer, old, new)?;
            content.page(chunk, page, new);
            count += 1;
        }
        writer.set_u32(place, count);
        Ok(content)
    }
}

/// Writes the stretches in which a page differs, or the whole page where that takes fewer bytes.
fn write_stretches(writer: &mut Writer, old: &[u8], new: &[u8]) -> Result<(), DeltaError> {
    let start = writer.len();
    let mut stretches = 0_u16;
    writer.bytes(&[0; 2])?;
    let mut at = 0;
    while let Some(first) = difference(old, new, at) {
        let (mut end, mut next) = (first + 1, first + 1);
        // A gap that is too short to end the stretch is sent along.
        while next < new.len() && next - end <= GAP_BYTES {
            if old[next] != new[next] {
                end = next + 1;
            }
            next += 1;
        }
        writer.bytes(&(first as u16).to_le_bytes())?;
        writer.bytes(&((end - first) as u16).to_le_bytes())?;
        writer.bytes(&new[first..end])?;
        stretches += 1;
        at = end;
        if writer.len() - start > 2 + 4 + new.len() {
            writer.truncate(start + 2);
            writer.bytes(&[0; 2])?;
            writer.bytes(&(new.len() as u16).to_le_bytes())?;
            writer.bytes(new)?;
            stretches = 1;
            break;
        }
    }
    writer.set_u16(start, stretches);
    Ok(())
}

/// Returns where two pages differ first, from a place on.
fn difference(old: &[u8], new: &[u8], from: usize) -> Option<usize> {
    let (old, new) = (old.get(from..)?, new.get(from..)?);
    // Equal words are passed eight bytes at a time.
    let words = old.as_chunks::<8>().0.iter().zip(new.as_chunks::<8>().0);
    let equal = 8 * words.take_while(|(old, new)| old == new).count();
    let rest = old[equal..].iter().zip(&new[equal..]);
    Some(from + equal + rest.take_while(|(old, new)| old == new).count())
        .filter(|&at| at < from + new.len())
}

/// Returns numbers in order, each once.
fn collect(numbers: impl Iterator<Item = u32>) -> Result<Vec<u32>, DeltaError> {
    let mut collected = Vec::new();
    for number in numbers {
        push(&mut collected, number)?;
    }
    collected.sort_unstable();
    collected.dedup();
    Ok(collected)
}
