//! The bookkeeping of an allocator as plain values: built from what a snapshot or a delta says, and checked part by
//! part, before anything of an allocator changes and before any memory comes from its source.

extern crate alloc;

use alloc::vec::Vec;

use thiserror::Error;

use crate::bin::List;
use crate::classes::{ClassMap, GRANULE_BYTES, PAGE_GRANULES};
use crate::config::BLOCK_BYTES_MAX;
use crate::numbers::Numbers;
use crate::record::{GENERATION_LAST, NONE, OVERFLOW, Record, pages_for};
use crate::small_page::SmallPage;
use crate::space::{Kind, Line, Lines};

/// The most operations that an allocator can have done: so few that counting goes on without an end.
const COUNT_MAX: u64 = u64::MAX / 2;

/// The most page numbers that there can be, so that none overflows.
const PAGE_NUMBERS_MAX: u64 = u32::MAX as u64;

/// The reason for which a plan is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// It contradicts itself.
    #[error("expected that {what} (number {number})")]
    Broken { what: &'static str, number: u64 },
    /// There is no memory for the check.
    #[error("no memory for {bytes} bytes")]
    OutOfMemory { bytes: usize },
}

impl PlanError {
    /// Refuses unless something holds.
    pub fn check(holds: bool, what: &'static str, number: impl Into<u64>) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self::Broken { what, number: number.into() }) }
    }
}

/// The use of a page, as far as the plan has been built.
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

/// A chunk, without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedChunk {
    /// Pages of its memory; 0 if it was given back.
    pub pages: u32,
    /// Page numbers that it owns.
    pub room_pages: u32,
    /// Pages from the first on that blocks have had.
    pub touched_pages: u32,
}

/// The lines of all pages.
#[derive(Debug, Default)]
pub struct PlannedLines(Vec<Line>);

impl PlannedLines {
    /// Returns the lines by page number.
    pub fn all(&self) -> impl Iterator<Item = (u32, Line)> {
        (0..).zip(self.0.iter().copied())
    }
}

impl Lines for PlannedLines {
    fn line(&self, page: u32) -> Line {
        self.0.get(page as usize).copied().unwrap_or_default()
    }

    fn set_line(&mut self, page: u32, line: Line) {
        if let Some(place) = self.0.get_mut(page as usize) {
            *place = line;
        }
    }
}

/// The bookkeeping. Its parts are given in the order of the methods: chunks, records, lists, current page, free runs.
pub struct Plan {
    classes: &'static ClassMap,
    /// Each with the number of its first page.
    chunks: Vec<(PlannedChunk, u32)>,
    /// By page number.
    uses: Vec<Use>,
    /// By index: whether it is in a list.
    listed: Vec<bool>,
    pub records: Vec<Record>,
    pub lines: PlannedLines,
    pub numbers: Numbers,
    live: u64,
    /// Pages of all chunks that have memory.
    pub pages: u64,
}

impl Plan {
    /// Returns a plan with its chunks.
    ///
    /// # Errors
    ///
    /// A chunk that cannot be, or no memory.
    pub fn new(
        classes: &'static ClassMap,
        given: impl ExactSizeIterator<Item = PlannedChunk>,
    ) -> Result<Self, PlanError> {
        let pages_max = (BLOCK_BYTES_MAX / crate::classes::PAGE_BYTES) as u32;
        let (mut chunks, mut first, mut pages) = (Vec::new(), 1_u64, 0);
        chunks
            .try_reserve_exact(given.len())
            .map_err(|_| no_memory::<PlannedChunk>(given.len()))?;
        for (number, chunk) in (0_u32..).zip(given) {
            let PlannedChunk { pages: own_pages, room_pages, touched_pages } = chunk;
            let sound = room_pages != 0
                && room_pages <= pages_max
                && own_pages <= room_pages
                && touched_pages <= own_pages;
            PlanError::check(sound, "a chunk has room for what it holds", number)?;
            chunks.push((chunk, first as u32));
            first += u64::from(room_pages) + 1;
            pages += u64::from(own_pages);
            PlanError::check(first < PAGE_NUMBERS_MAX, "pages can be numbered", number)?;
        }
        // One line more than pages, on either side of them.
        let count = first as usize + 1;
        Ok(Self {
            classes,
            chunks,
            uses: filled(Use::Unused, count)?,
            listed: Vec::new(),
            records: Vec::new(),
            lines: PlannedLines(filled(Line::default(), count)?),
            numbers: Numbers::FRESH,
            live: 0,
            pages,
        })
    }

    /// Returns how many page numbers there are, edges included.
    pub fn page_numbers(&self) -> u32 {
        self.uses.len() as u32
    }

    /// Returns the number of a chunk's first page.
    pub fn first_page(&self, chunk: u32) -> u32 {
        self.chunks.get(chunk as usize).map_or(0, |&(_, first_page)| first_page)
    }

    /// Returns the chunks.
    pub fn chunks(&self) -> impl ExactSizeIterator<Item = PlannedChunk> {
        self.chunks.iter().map(|&(chunk, _)| chunk)
    }

    /// Gives the records of all indices, but for the links of lists, in the order of the indices: each is checked
    /// and becomes the owner of its pages or granules.
    ///
    /// The tag of a dead record with a block is its class. That of another dead record is not looked at.
    ///
    /// # Errors
    ///
    /// A record that cannot be, or no memory.
    pub fn set_records(&mut self, records: Vec<Record>) -> Result<(), PlanError> {
        let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
        PlanError::check(count < 1 << 31, "there are as many indices as can be", count)?;
        self.listed = filled(false, records.len())?;
        for (index, record) in (0_u32..).zip(&records) {
            let possible = record.generation <= GENERATION_LAST;
            PlanError::check(possible, "a generation is one that can be", index)?;
            let placed = record.chunk != NONE;
            PlanError::check(placed || !record.is_live(), "what is live shows bytes", index)?;
            self.numbers.retired += u32::from(record.is_retired());
            self.live += u64::from(record.is_live());
            if placed {
                self.claim(index, record)?;
            }
        }
        self.numbers.record_count = count;
        self.records = records;
        Ok(())
    }

    /// Checks a block and makes it the owner of its pages or granules.
    fn claim(&mut self, index: u32, record: &Record) -> Result<(), PlanError> {
        let Record { chunk, granule, .. } = *record;
        let (alive, retired) = (record.is_live(), record.is_retired());
        let classes = self.classes;
        let (class, pad, len) = match record.tag {
            tag if alive => (record.class(), tag >> 8, record.len),
            _ if retired => (record.class(), 0, 1),
            tag => (tag, 0, 1),
        };
        let len_max = BLOCK_BYTES_MAX as u32;
        let sizes = pad < PAGE_GRANULES && (1..=len_max).contains(&len);
        PlanError::check(sizes, "a block shows what a block can", index)?;
        let known = (class as usize) < classes.sizes.len() || (class == OVERFLOW && pad == 0);
        PlanError::check(known, "a block has a class", index)?;
        let own_pages = match class {
            OVERFLOW => {
                let pages = pages_for(len as usize);
                self.numbers.overflow_pages = self.numbers.overflow_pages.saturating_add(pages);
                Some(pages)
            }
            class => classes.pages(class as usize),
        };
        if class == OVERFLOW {
            PlanError::check(alive, "a large block is live", index)?;
        } else {
            let end = pad * GRANULE_BYTES as u32 + len;
            let holds = end <= classes.bytes(class as usize);
            PlanError::check(holds, "a block holds what it shows", index)?;
        }
        let Some(&(row, first_page)) = self.chunks.get(chunk as usize) else {
            return PlanError::check(false, "a block's chunk is there", index);
        };
        let page = granule / PAGE_GRANULES;
        let end = page.saturating_add(own_pages.unwrap_or(1));
        PlanError::check(end <= row.touched_pages, "a block lies in its chunk", index)?;
        let first = first_page + page;
        let overlap = "blocks do not overlap";
        match own_pages {
            Some(count) => {
                PlanError::check(!retired, "only small blocks stay retired", index)?;
                let starts = granule.is_multiple_of(PAGE_GRANULES);
                PlanError::check(starts, "a run starts at a page", index)?;
                let uses = &mut self.uses[first as usize..(first + count) as usize];
                let unused = uses.iter().all(|&page| page == Use::Unused);
                PlanError::check(unused, overlap, index)?;
                uses.fill(Use::Run);
                self.numbers.runs.mark(&mut self.lines, first, count, Kind::Taken);
            }
            None => {
                let granules = classes.bytes(class as usize) / GRANULE_BYTES as u32;
                let start = granule % PAGE_GRANULES;
                let inside = start + granules <= PAGE_GRANULES;
                PlanError::check(inside, "a small block lies in one page", index)?;
                let place = &mut self.uses[first as usize];
                let mut owned = match *place {
                    Use::Unused => [0; 4],
                    Use::Small(owned) => owned,
                    Use::Run | Use::Free => return PlanError::check(false, overlap, index),
                };
                for granule in start..start + granules {
                    let (word, bit) = ((granule / 64) as usize, 1 << (granule % 64));
                    PlanError::check(owned[word] & bit == 0, overlap, index)?;
                    owned[word] |= bit;
                }
                *place = Use::Small(owned);
                self.numbers.runs.mark(&mut self.lines, first, 1, Kind::Small);
            }
        }
        if class != OVERFLOW && !retired {
            self.numbers.bins[class as usize].blocks += 1;
        }
        Ok(())
    }

    /// Gives the indices of one list, the first to be used first: the bin of a class, or those without a block.
    ///
    /// # Errors
    ///
    /// An index that does not belong there.
    pub fn set_list(&mut self, class: Option<u32>, indices: &[u32]) -> Result<(), PlanError> {
        let mut list = List::EMPTY;
        for &index in indices.iter().rev() {
            let known = self.listed.get_mut(index as usize);
            let (Some(listed), Some(record)) = (known, self.records.get_mut(index as usize)) else {
                return PlanError::check(false, "a list holds indices", index);
            };
            let own_class = (record.chunk != NONE).then_some(record.tag);
            let belongs =
                !*listed && !record.is_live() && !record.is_retired() && own_class == class;
            PlanError::check(belongs, "a list holds what belongs there, once", index)?;
            *listed = true;
            record.tag = list.head;
            list = List { head: index, len: list.len + 1 };
        }
        match class {
            Some(class) => self.numbers.bins[class as usize].free = list,
            None => self.numbers.spare = list,
        }
        Ok(())
    }

    /// Checks that each dead index that is not retired is in a list, and that pages of small blocks have no gaps,
    /// but for the rest of the current one: its chunk, page in the chunk, and granules cut.
    ///
    /// # Errors
    ///
    /// An index or a page for which that is not so.
    pub fn set_small_page(&mut self, given: Option<(u32, u32, u32)>) -> Result<(), PlanError> {
        for (index, (record, &listed)) in (0_u32..).zip(self.records.iter().zip(&self.listed)) {
            let free = !record.is_live() && !record.is_retired();
            PlanError::check(listed == free, "what is free is in a list", index)?;
        }
        let mut current = None;
        if let Some((chunk, page, used)) = given {
            let row = self.chunks.get(chunk as usize).copied();
            let row = row.filter(|row| page < row.0.pages && (1..PAGE_GRANULES).contains(&used));
            let Some((_, first_page)) = row else {
                return PlanError::check(false, "the current page is there", chunk);
            };
            current = Some((first_page + page, used));
            self.numbers.small_page = SmallPage { chunk, start: page * PAGE_GRANULES, used };
        }
        let mut found = current.is_none();
        for (page, &state) in (0_u32..).zip(&self.uses) {
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
            PlanError::check(whole, "pages are cut without gaps", page)?;
        }
        PlanError::check(found, "the current page has blocks", 0_u64)
    }

    /// Makes free runs of all pages that have no owner, in the order given: that of the levels of the tree.
    ///
    /// # Errors
    ///
    /// A page that is not the start of a free run, or another order.
    pub fn set_free_runs(&mut self, given: &[u32]) -> Result<(), PlanError> {
        for &first in given {
            let len = self.unused_run(first);
            PlanError::check(len != 0, "a free run starts where pages are unused", first)?;
            self.uses[first as usize..(first + len) as usize].fill(Use::Free);
            self.numbers.runs.insert(&mut self.lines, first, len);
        }
        for (chunk, &(row, first_page)) in (0_u32..).zip(&self.chunks) {
            let pages = first_page as usize..(first_page + row.pages) as usize;
            let unused = self.uses[pages].contains(&Use::Unused);
            PlanError::check(!unused, "all unused pages are in free runs", chunk)?;
        }
        let order = self.numbers.runs.in_levels(&self.lines);
        let order = order.map_err(|runs| no_memory::<u32>(runs as usize))?;
        PlanError::check(order == given, "free runs are in the order of their tree", 0_u64)?;
        self.numbers.runs.take_steps();
        Ok(())
    }

    /// Gives the counts.
    ///
    /// # Errors
    ///
    /// They are not those of the live blocks, or counting would come to an end.
    pub fn set_counts(&mut self, allocs: u64, frees: u64, steps_max: u64) -> Result<(), PlanError> {
        PlanError::check(allocs <= COUNT_MAX, "allocations can still be counted", allocs)?;
        let counted = allocs.checked_sub(frees) == Some(self.live);
        PlanError::check(counted, "live blocks are counted", self.live)?;
        (self.numbers.alloc_count, self.numbers.free_count) = (allocs, frees);
        self.numbers.steps_max = steps_max;
        Ok(())
    }

    /// Returns the length of the longest run of unused pages, if it starts at a page, or 0.
    fn unused_run(&self, page: u32) -> u32 {
        let after = self.chunks.partition_point(|&(_, first_page)| first_page <= page);
        let Some(&(row, first_page)) = after.checked_sub(1).and_then(|at| self.chunks.get(at))
        else {
            return 0;
        };
        if page >= first_page + row.pages {
            return 0;
        }
        let uses = &self.uses[page as usize..(first_page + row.pages) as usize];
        if page != first_page && self.uses[page as usize - 1] == Use::Unused {
            return 0;
        }
        uses.iter().take_while(|&&page| page == Use::Unused).count() as u32
    }
}

fn no_memory<T>(count: usize) -> PlanError {
    PlanError::OutOfMemory { bytes: count.saturating_mul(size_of::<T>()) }
}

fn filled<T: Clone>(value: T, count: usize) -> Result<Vec<T>, PlanError> {
    let mut values = Vec::new();
    values.try_reserve_exact(count).map_err(|_| no_memory::<T>(count))?;
    values.resize(count, value);
    Ok(values)
}
