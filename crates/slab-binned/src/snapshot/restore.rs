//! Restoring a snapshot. The checksum is compared before anything is built. It proves no origin, so each number is
//! also checked against the others, and memory is bounded before any is acquired.

extern crate alloc;

use alloc::vec::Vec;

use allocator_api2::alloc::Allocator;

use super::SnapshotError;
use super::image::{BlockImage, ChunkImage, IndexImage, SNAPSHOT_VERSION, Snapshot};
use crate::allocator::BlockAllocator;
use crate::bin::List;
use crate::classes::{GRANULE_BYTES, PAGE_BYTES, PAGE_GRANULES};
use crate::config::BLOCK_BYTES_MAX;
use crate::journal::Journal;
use crate::record::{GENERATION_LAST, NONE, OVERFLOW, Record, pages_for};
use crate::small_page::SmallPage;
use crate::space::Kind;
#[cfg(feature = "alloc")]
use slab_traits::Global;

/// Operations that an allocator can have done: so few that counting goes on without an end.
const COUNT_MAX: u64 = u64::MAX / 2;

/// The use of a page, as far as the snapshot has been read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Unused,
    /// In a free run.
    Free,
    /// In a block of whole pages.
    Run,
    /// Which granules have an owner.
    Small([u64; 4]),
}

#[cfg(feature = "alloc")]
impl<J: Journal> BlockAllocator<crate::Global, J> {
    /// Returns an allocator that goes on where the snapshot was taken. *O*(indices + bytes).
    ///
    /// `budget` limits the bytes that are acquired, whatever the snapshot says: see
    /// [`Snapshot::bytes_to_restore`]. The check itself takes up to 40 bytes a page and 1 an index
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
        if J::ON && fingerprint.is_none() {
            return Err(SnapshotError::NoFingerprint);
        }
        SnapshotError::check(config.is_possible(), "chunks have a size they can have", 0_u64)?;
        let (bytes, budget) = (snapshot.bytes_to_restore(), budget as u64);
        if bytes > budget {
            return Err(SnapshotError::OverBudget { bytes, budget });
        }
        let journal = J::start(&config, fingerprint);
        let restored = Self::assemble(config, source, journal);
        Restorer::new(restored, snapshot)?.run(snapshot)
    }
}

struct Restorer<A: Allocator, J: Journal> {
    heap: BlockAllocator<A, J>,
    /// By page number.
    pages: Vec<Use>,
    /// By index: whether it is in a list.
    listed: Vec<bool>,
}

fn no_memory(bytes: usize) -> SnapshotError {
    SnapshotError::OutOfMemory { bytes }
}

fn filled<T: Clone>(value: T, count: usize) -> Result<Vec<T>, SnapshotError> {
    let mut values = Vec::new();
    let bytes = count.saturating_mul(size_of::<T>());
    values.try_reserve_exact(count).map_err(|_| no_memory(bytes))?;
    values.resize(count, value);
    Ok(values)
}

impl<A: Allocator, J: Journal> Restorer<A, J> {
    fn new(heap: BlockAllocator<A, J>, snapshot: &Snapshot) -> Result<Self, SnapshotError> {
        let numbers = |chunk: &ChunkImage| chunk.room_pages as usize + 1;
        let count = snapshot.chunks.iter().map(numbers).fold(2, usize::saturating_add);
        let (pages, listed) = (filled(Use::Unused, count)?, filled(false, snapshot.indices.len())?);
        Ok(Self { heap, pages, listed })
    }

    fn run(mut self, snapshot: &Snapshot) -> Result<BlockAllocator<A, J>, SnapshotError> {
        for (number, chunk) in (0_u32..).zip(&snapshot.chunks) {
            self.chunk(number, chunk)?;
        }
        let cap = self.heap.config.cap().unwrap_or(usize::MAX);
        let storage = self.heap.storage_bytes();
        SnapshotError::check(storage <= cap, "the cap is kept", storage as u64)?;
        let live = self.indices(&snapshot.indices)?;
        self.bins(snapshot)?;
        self.small_page(snapshot)?;
        self.free_runs(&snapshot.free_runs)?;
        let (allocs, frees) = (snapshot.alloc_count, snapshot.free_count);
        SnapshotError::check(allocs <= COUNT_MAX, "allocations can still be counted", allocs)?;
        let counted = allocs.checked_sub(frees) == Some(live);
        SnapshotError::check(counted, "live blocks are counted", live)?;
        (self.heap.alloc_count, self.heap.free_count) = (allocs, frees);
        self.heap.runs.take_steps();
        self.heap.steps_max = snapshot.steps_max;
        Ok(self.heap)
    }

    fn chunk(&mut self, number: u32, image: &ChunkImage) -> Result<(), SnapshotError> {
        let ChunkImage { pages, room_pages, touched_pages, ref content } = *image;
        let pages_max = (BLOCK_BYTES_MAX / PAGE_BYTES) as u32;
        let sound = room_pages != 0
            && room_pages <= pages_max
            && pages <= room_pages
            && touched_pages <= pages
            && content.len() <= touched_pages as usize * PAGE_BYTES;
        SnapshotError::check(sound, "a chunk has room for what it holds", number)?;
        let (chunk, _) = self.heap.store.restore_chunk(pages, room_pages).map_err(no_memory)?;
        let chunks = self.heap.store.chunks_mut();
        chunks.touch(chunk, 0, touched_pages);
        if let Some(bytes) = chunks.bytes_at_mut(chunk, 0, content.len()) {
            bytes.copy_from_slice(content);
        }
        Ok(())
    }

    /// Writes the records, and returns how many blocks are live.
    fn indices(&mut self, images: &[IndexImage]) -> Result<u64, SnapshotError> {
        let count = u32::try_from(images.len()).unwrap_or(u32::MAX);
        SnapshotError::check(count < 1 << 31, "there are as many indices as can be", count)?;
        self.heap.store.reserve_records(count).map_err(no_memory)?;
        self.heap.record_count = count;
        let mut live = 0;
        for (index, image) in (0_u32..).zip(images) {
            let IndexImage { generation, block } = *image;
            let possible = generation <= GENERATION_LAST;
            SnapshotError::check(possible, "a generation is one that can be", index)?;
            let mut record = Record { generation, chunk: NONE, tag: NONE, ..Record::default() };
            let alive = record.is_live();
            let shows = block.is_some_and(|block| block.shown.is_some());
            SnapshotError::check(shows == alive, "what is live shows bytes", index)?;
            if record.is_retired() {
                self.heap.retired += 1;
            }
            if let Some(block) = block {
                self.claim(index, &block, record.is_retired())?;
                let (pad, len) = block.shown.unwrap_or_default();
                (record.chunk, record.granule, record.len) = (block.chunk, block.granule, len);
                record.tag = block.class | pad << 8;
            }
            live += u64::from(alive);
            if let Some(place) = self.heap.store.record_mut(index) {
                *place = record;
            }
        }
        Ok(live)
    }

    /// Checks a block and makes it the owner of its pages or granules.
    fn claim(
        &mut self,
        index: u32,
        block: &BlockImage,
        retired: bool,
    ) -> Result<(), SnapshotError> {
        let BlockImage { chunk, granule, class, shown } = *block;
        let classes = self.heap.classes;
        let (pad, len) = shown.unwrap_or((0, 1));
        let len_max = BLOCK_BYTES_MAX as u32;
        let sizes = pad < PAGE_GRANULES && (1..=len_max).contains(&len);
        SnapshotError::check(sizes, "a block shows what a block can", index)?;
        let known = (class as usize) < classes.sizes.len() || (class == OVERFLOW && pad == 0);
        SnapshotError::check(known, "a block has a class", index)?;
        let own_pages = match class {
            OVERFLOW => {
                let pages = pages_for(len as usize);
                self.heap.overflow_pages = self.heap.overflow_pages.saturating_add(pages);
                Some(pages)
            }
            class => classes.pages(class as usize),
        };
        if class == OVERFLOW {
            SnapshotError::check(shown.is_some(), "a large block is live", index)?;
        } else {
            let end = pad * GRANULE_BYTES as u32 + len;
            let holds = end <= classes.bytes(class as usize);
            SnapshotError::check(holds, "a block holds what it shows", index)?;
        }
        let Some(row) = self.heap.store.chunks().get(chunk).copied() else {
            return SnapshotError::check(false, "a block's chunk is there", index);
        };
        let page = granule / PAGE_GRANULES;
        let end = page.saturating_add(own_pages.unwrap_or(1));
        SnapshotError::check(end <= row.touched_pages, "a block lies in its chunk", index)?;
        let first = row.first_page + page;
        let overlap = "blocks do not overlap";
        match own_pages {
            Some(count) => {
                SnapshotError::check(!retired, "only small blocks stay retired", index)?;
                let starts = granule.is_multiple_of(PAGE_GRANULES);
                SnapshotError::check(starts, "a run starts at a page", index)?;
                let uses = &mut self.pages[first as usize..(first + count) as usize];
                let unused = uses.iter().all(|&page| page == Use::Unused);
                SnapshotError::check(unused, overlap, index)?;
                uses.fill(Use::Run);
                self.heap.runs.mark(self.heap.store.lines_mut(), first, count, Kind::Taken);
            }
            None => {
                let granules = classes.bytes(class as usize) / GRANULE_BYTES as u32;
                let start = granule % PAGE_GRANULES;
                let inside = start + granules <= PAGE_GRANULES;
                SnapshotError::check(inside, "a small block lies in one page", index)?;
                let place = &mut self.pages[first as usize];
                let mut owned = match *place {
                    Use::Unused => [0; 4],
                    Use::Small(owned) => owned,
                    Use::Run | Use::Free => return SnapshotError::check(false, overlap, index),
                };
                for granule in start..start + granules {
                    let (word, bit) = ((granule / 64) as usize, 1 << (granule % 64));
                    SnapshotError::check(owned[word] & bit == 0, overlap, index)?;
                    owned[word] |= bit;
                }
                *place = Use::Small(owned);
                self.heap.runs.mark(self.heap.store.lines_mut(), first, 1, Kind::Small);
            }
        }
        if class != OVERFLOW && !retired {
            self.heap.bins[class as usize].blocks += 1;
        }
        Ok(())
    }

    /// Links the lists, in which each dead index that is not retired has to be once.
    fn bins(&mut self, snapshot: &Snapshot) -> Result<(), SnapshotError> {
        let classes = self.heap.classes.sizes.len();
        let given = snapshot.bins.len();
        SnapshotError::check(given == classes, "there is a bin for each class", given as u64)?;
        for (class, bin) in (0_u32..).zip(&snapshot.bins) {
            self.heap.bins[class as usize].free = self.list(bin, Some(class))?;
        }
        self.heap.spare = self.list(&snapshot.spare, None)?;
        for (index, &listed) in (0_u32..).zip(&self.listed) {
            let record = self.heap.store.record(index).copied().unwrap_or_default();
            let free = !record.is_live() && !record.is_retired();
            SnapshotError::check(listed == free, "what is free is in a list", index)?;
        }
        Ok(())
    }

    fn list(&mut self, indices: &[u32], class: Option<u32>) -> Result<List, SnapshotError> {
        let mut list = List::EMPTY;
        for &index in indices.iter().rev() {
            let known = self.listed.get_mut(index as usize);
            let (Some(listed), Some(record)) = (known, self.heap.store.record(index)) else {
                return Err(SnapshotError::Broken {
                    what: "a list holds indices",
                    number: index.into(),
                });
            };
            let own_class = (record.chunk != NONE).then_some(record.tag);
            let belongs = !*listed && !record.is_live() && own_class == class;
            SnapshotError::check(belongs, "a list holds what belongs there, once", index)?;
            *listed = true;
            list.push(&mut self.heap.store, index);
        }
        Ok(list)
    }

    /// Checks that pages of small blocks have no gaps, but for the rest of the current one.
    fn small_page(&mut self, snapshot: &Snapshot) -> Result<(), SnapshotError> {
        let mut current = None;
        if let Some((chunk, page, used)) = snapshot.small_page {
            let row = self.heap.store.chunks().get(chunk).copied();
            let row = row.filter(|row| page < row.pages && (1..PAGE_GRANULES).contains(&used));
            let Some(row) = row else {
                return SnapshotError::check(false, "the current page is there", chunk);
            };
            current = Some((row.first_page + page, used));
            self.heap.small_page = SmallPage { chunk, start: page * PAGE_GRANULES, used };
        }
        let mut found = current.is_none();
        for (page, &state) in (0_u32..).zip(&self.pages) {
            let Use::Small(owned) = state else { continue };
            let used = match current {
                Some((current, used)) if current == page => {
                    found = true;
                    used
                }
                _ => PAGE_GRANULES,
            };
            let full = |word: u32| match used.saturating_sub(word * 64).min(64) {
                64 => u64::MAX,
                bits => (1 << bits) - 1,
            };
            let whole = (0_u32..).zip(owned).all(|(word, owned)| owned == full(word));
            SnapshotError::check(whole, "pages are cut without gaps", page)?;
        }
        SnapshotError::check(found, "the current page has blocks", 0_u64)
    }

    /// Makes free runs of all pages that have no owner, in the order given: that of the levels of the tree.
    fn free_runs(&mut self, given: &[u32]) -> Result<(), SnapshotError> {
        for &first in given {
            let len = self.unused_run(first);
            SnapshotError::check(len != 0, "a free run starts where pages are unused", first)?;
            self.pages[first as usize..(first + len) as usize].fill(Use::Free);
            self.heap.runs.insert(self.heap.store.lines_mut(), first, len);
        }
        for chunk in 0..self.heap.store.chunks().count() {
            let Some(&row) = self.heap.store.chunks().get(chunk) else { continue };
            let pages = row.first_page as usize..(row.first_page + row.pages) as usize;
            let unused = self.pages[pages].contains(&Use::Unused);
            SnapshotError::check(!unused, "all unused pages are in free runs", chunk)?;
        }
        let order = self.heap.runs.in_levels(self.heap.store.lines());
        let order = order.map_err(|runs| no_memory(runs as usize * size_of::<u32>()))?;
        SnapshotError::check(order == given, "free runs are in the order of their tree", 0_u64)
    }

    /// Returns the length of the longest run of unused pages, if it starts at a page, or 0.
    fn unused_run(&self, first: u32) -> u32 {
        let chunks = self.heap.store.chunks();
        let row = chunks.of_page(first).and_then(|chunk| chunks.get(chunk));
        let Some(row) = row else { return 0 };
        let uses = &self.pages[first as usize..(row.first_page + row.pages) as usize];
        if first != row.first_page && self.pages[first as usize - 1] == Use::Unused {
            return 0;
        }
        uses.iter().take_while(|&&page| page == Use::Unused).count() as u32
    }
}
