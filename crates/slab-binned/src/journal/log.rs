//! The operations themselves, sixteen bytes each.

extern crate alloc;

use alloc::vec::Vec;
use core::fmt;

use super::fingerprint::{FREE, TRIM, WRITE, WRITE_AT, alloc_kind, alloc_parts, head};
use super::{Fingerprinted, Journal, Tracked, sealed};
use crate::memory::Unwatched;
use crate::mix::Mixer;
use crate::{BlockId, Config};

/// Operations of one part of a log: parts are filled one after the other and never moved.
const PART_ENTRIES: usize = 1024;

/// Bytes of the offset of a write.
const OFFSET_BYTES: usize = size_of::<u32>();

/// Start of the checksum of a log: no other digest starts with it.
const CHECKSUM_DOMAIN: u64 = u64::from_le_bytes(*b"operlogs");

/// An operation and its outcome.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub kind: u32,
    /// Bytes requested or written; pages given back by a trim.
    pub size: u32,
    pub index: u32,
    pub generation: u32,
}

/// One operation of a log, with its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation<'a> {
    /// A block was handed out.
    Alloc {
        /// Bytes requested.
        size: usize,
        /// Alignment requested.
        align: usize,
        /// Whether zeros were requested.
        zeroed: bool,
        /// The block.
        id: BlockId,
    },
    /// A block was freed.
    Free {
        /// The block.
        id: BlockId,
    },
    /// Bytes were written into a block.
    Write {
        /// The block.
        id: BlockId,
        /// Offset in the block of the first byte written.
        offset: usize,
        /// The bytes written.
        bytes: &'a [u8],
    },
    /// Memory was given back.
    Trim {
        /// Pages given back.
        released_pages: usize,
    },
}

/// The operations of an allocator since its log was last cleared, and the fingerprints before and
/// after.
///
/// Its text form, through [`Display`](fmt::Display) and [`FromStr`](core::str::FromStr), has one
/// operation a line, and ends with a checksum of what it says: a text that was changed is refused, unless it
/// still says the same, such as one with other line ends. Feature `serde` serialises that text.
///
/// # Examples
///
/// ```
/// use slab_binned::{LoggedAllocator, OpLog};
///
/// let mut blocks = LoggedAllocator::default();
/// let id = blocks.alloc(100)?;
/// blocks.write(id, b"hi")?;
/// let text = blocks.log().to_string();
/// assert!(text.contains("alloc 100 align 1 -> 0:1\nwrite 0:1 6869\n"));
/// assert_eq!(text.parse::<OpLog>().as_ref(), Ok(blocks.log()));
/// # Ok::<(), slab_binned::BinnedError>(())
/// ```
#[derive(Clone)]
pub struct OpLog {
    pub(super) config: Config,
    pub(super) start: u64,
    pub(super) end: Fingerprinted,
    /// Parts that are full.
    full: Vec<Vec<Entry>>,
    last: Vec<Entry>,
    /// The bytes of all writes, one after the other. Those of a [`WRITE_AT`] follow its offset, four
    /// little-endian bytes.
    written: Vec<u8>,
}

impl OpLog {
    pub(super) fn empty(config: Config, start: u64) -> Self {
        let (full, last, written) = (Vec::new(), Vec::new(), Vec::new());
        Self { config, start, end: Fingerprinted::at(start), full, last, written }
    }

    /// Returns the number of operations. *O*(1).
    pub fn len(&self) -> usize {
        self.full.len() * PART_ENTRIES + self.last.len()
    }

    /// Returns whether there is no operation. *O*(1).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns what the allocator was made with.
    pub fn config(&self) -> Config {
        self.config
    }

    /// Returns the fingerprint before the first operation.
    pub fn start_fingerprint(&self) -> u64 {
        self.start
    }

    /// Returns the fingerprint after the last operation.
    pub fn end_fingerprint(&self) -> u64 {
        self.end.fingerprint()
    }

    /// Returns the operations, the first one first.
    pub fn operations(&self) -> Operations<'_> {
        Operations { log: self, next: 0, written: &self.written }
    }

    /// Returns the checksum of everything that the log says. *O*(operations).
    pub(super) fn checksum(&self) -> u64 {
        let mut mixer = Mixer::new();
        mixer.pair(CHECKSUM_DOMAIN, self.len() as u64);
        let [shape, cap] = self.config.words();
        mixer.pair(shape, cap);
        mixer.pair(self.start, self.end_fingerprint());
        for &Entry { kind, size, index, generation } in self.full.iter().flatten().chain(&self.last)
        {
            mixer.pair(head(kind, size), u64::from(generation) << 32 | u64::from(index));
        }
        mixer.bytes(&self.written);
        mixer.state()
    }

    pub(super) fn entry(&self, number: usize) -> Option<Entry> {
        let (part, place) = (number / PART_ENTRIES, number % PART_ENTRIES);
        self.full
            .get(part)
            .unwrap_or(&self.last)
            .get(place)
            .copied()
            .filter(|_| part <= self.full.len())
    }

    #[inline]
    pub(super) fn reserve(&mut self, write_bytes: usize) -> Result<(), usize> {
        if write_bytes != 0 {
            let bytes = write_bytes.saturating_add(OFFSET_BYTES);
            self.written.try_reserve(bytes).map_err(|_| bytes)?;
        }
        if self.last.len() == self.last.capacity() { self.next_part() } else { Ok(()) }
    }

    /// Appends a write. Room for it was reserved.
    pub(super) fn push_write(&mut self, id: BlockId, offset: u32, bytes: &[u8]) {
        let kind = if offset == 0 { WRITE } else { WRITE_AT };
        if offset != 0 {
            self.written.extend_from_slice(&offset.to_le_bytes());
        }
        self.written.extend_from_slice(bytes);
        reserved(self.push(kind, bytes.len() as u32, Some(id)));
    }

    /// Appends an operation other than a write.
    #[inline]
    pub(super) fn push(&mut self, kind: u32, size: u32, id: Option<BlockId>) -> Result<(), usize> {
        let (index, generation) = id.map_or((0, 0), |id| (id.index(), id.generation()));
        self.reserve(0)?;
        self.last.push(Entry { kind, size, index, generation });
        Ok(())
    }

    #[cold]
    fn next_part(&mut self) -> Result<(), usize> {
        let bytes = PART_ENTRIES * size_of::<Entry>();
        if self.last.len() < PART_ENTRIES {
            return self.last.try_reserve_exact(PART_ENTRIES - self.last.len()).map_err(|_| bytes);
        }
        let mut next = Vec::new();
        next.try_reserve_exact(PART_ENTRIES).map_err(|_| bytes)?;
        self.full.try_reserve(1).map_err(|_| bytes)?;
        self.full.push(core::mem::replace(&mut self.last, next));
        Ok(())
    }

    /// Returns a copy, or the bytes for which there is no memory.
    fn try_clone(&self) -> Result<Self, usize> {
        let mut clone = Self::empty(self.config, self.start);
        clone.end = self.end;
        clone.full.try_reserve_exact(self.full.len()).map_err(|_| size_of_val(&*self.full))?;
        for part in &self.full {
            clone.full.push(copied(part)?);
        }
        (clone.last, clone.written) = (copied(&self.last)?, copied(&self.written)?);
        Ok(clone)
    }

    /// Forgets the operations behind the first `len`, which wrote `written` bytes.
    fn truncate(&mut self, len: usize, written: usize) {
        while self.full.len() * PART_ENTRIES > len {
            self.last = self.full.pop().unwrap_or_default();
        }
        self.last.truncate(len - self.full.len() * PART_ENTRIES);
        self.written.truncate(written);
    }

    fn clear(&mut self, start: u64) {
        self.full.clear();
        self.last.clear();
        self.written.clear();
        (self.start, self.end) = (start, Fingerprinted::at(start));
    }
}

impl PartialEq for OpLog {
    fn eq(&self, other: &Self) -> bool {
        (self.config, self.start, self.end) == (other.config, other.start, other.end)
            && self.operations().eq(other.operations())
    }
}

impl Eq for OpLog {}

impl fmt::Debug for OpLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpLog")
            .field("config", &self.config)
            .field("start", &self.start)
            .field("end", &self.end)
            .field("operations", &self.len())
            .finish()
    }
}

/// The operations of a log. Made by [`OpLog::operations`].
#[derive(Debug, Clone)]
pub struct Operations<'a> {
    log: &'a OpLog,
    next: usize,
    /// The bytes of the writes that follow.
    written: &'a [u8],
}

impl<'a> Operations<'a> {
    /// Takes the next bytes that were written.
    fn take(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.written.split_at(len.min(self.written.len()));
        self.written = rest;
        bytes
    }
}

impl<'a> Iterator for Operations<'a> {
    type Item = Operation<'a>;

    fn next(&mut self) -> Option<Operation<'a>> {
        let Entry { kind, size, index, generation } = self.log.entry(self.next)?;
        self.next += 1;
        let (size, id) = (size as usize, BlockId::new(index, generation));
        Some(match (kind, id) {
            (FREE, Some(id)) => Operation::Free { id },
            (WRITE, Some(id)) => Operation::Write { id, offset: 0, bytes: self.take(size) },
            (WRITE_AT, Some(id)) => {
                let offset = self.take(OFFSET_BYTES).first_chunk().copied().unwrap_or_default();
                let offset = u32::from_le_bytes(offset) as usize;
                Operation::Write { id, offset, bytes: self.take(size) }
            }
            (TRIM, _) => Operation::Trim { released_pages: size },
            (_, id) => {
                let (align_log2, zeroed) = alloc_parts(kind);
                let id = id.unwrap_or(BlockId::of_live(index, 1));
                Operation::Alloc { size, align: 1 << (align_log2 & 31), zeroed, id }
            }
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.log.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Operations<'_> {}

/// Remembers the fingerprint and the operations themselves, sixteen bytes each and what was written.
///
/// The log's memory comes from the global allocator; an operation for which there is none is refused.
#[derive(Debug, Clone)]
pub struct Logged {
    /// The fingerprint is its end.
    log: OpLog,
    /// How often the log was cleared or taken.
    clears: u64,
}

/// Where a log was at a checkpoint.
#[derive(Debug, Clone, Copy)]
pub struct LogMark {
    end: Fingerprinted,
    len: usize,
    written: usize,
    clears: u64,
}

impl Logged {
    pub(crate) fn log(&self) -> &OpLog {
        &self.log
    }

    pub(crate) fn clear(&mut self) {
        self.clears += 1;
        self.log.clear(self.fingerprint());
    }

    pub(crate) fn take(&mut self) -> OpLog {
        self.clears += 1;
        let fresh = OpLog::empty(self.log.config, self.fingerprint());
        core::mem::replace(&mut self.log, fresh)
    }
}

impl Journal for Logged {}

impl super::WithLog for Logged {}

impl sealed::LogOwner for Logged {
    fn logged(&self) -> &Logged {
        self
    }

    fn logged_mut(&mut self) -> &mut Logged {
        self
    }
}

impl Tracked for Logged {
    #[inline]
    fn fingerprint(&self) -> u64 {
        self.log.end_fingerprint()
    }
}

impl sealed::Parts for Logged {
    type Watch = Unwatched;
    type Sink = Self;

    fn start(config: &Config, fingerprint: Option<u64>) -> Self {
        let fingerprint = <Fingerprinted as sealed::Parts>::start(config, fingerprint);
        Self { log: OpLog::empty(*config, fingerprint.fingerprint()), clears: 0 }
    }

    fn try_clone(&self) -> Result<Self, usize> {
        Ok(Self { log: self.log.try_clone()?, clears: 0 })
    }

    #[inline]
    fn sink(&self) -> &Self {
        self
    }

    #[inline]
    fn sink_mut(&mut self) -> &mut Self {
        self
    }
}

impl sealed::Sink for Logged {
    type Mark = LogMark;

    const ON: bool = true;

    fn mark(&self) -> LogMark {
        let OpLog { end, .. } = self.log;
        LogMark { end, len: self.log.len(), written: self.log.written.len(), clears: self.clears }
    }

    fn rewind(&mut self, to: &LogMark) {
        if self.clears == to.clears {
            self.log.truncate(to.len, to.written);
            self.log.end = to.end;
        } else {
            // The operations before the checkpoint were given away.
            self.log.clear(to.end.fingerprint());
        }
    }

    fn jump(&mut self, fingerprint: Option<u64>) {
        self.clears += 1;
        self.log.clear(fingerprint.unwrap_or_else(|| self.fingerprint()));
    }

    fn current(&self) -> Option<u64> {
        Some(self.fingerprint())
    }

    #[inline]
    fn reserve(&mut self, write_bytes: usize) -> Result<(), usize> {
        self.log.reserve(write_bytes)
    }

    #[inline]
    fn allocated(
        &mut self,
        size: u32,
        align_log2: u32,
        zeroed: bool,
        id: BlockId,
    ) -> Result<(), usize> {
        self.log.push(alloc_kind(align_log2, zeroed), size, Some(id))?;
        self.log.end.allocated(size, align_log2, zeroed, id)
    }

    fn placed(&mut self, index: u32, chunk: u32, granule: u32) {
        self.log.end.placed(index, chunk, granule);
    }

    #[inline]
    fn freed(&mut self, id: BlockId) -> Result<(), usize> {
        self.log.push(FREE, 0, Some(id))?;
        self.log.end.freed(id)
    }

    fn wrote(&mut self, id: BlockId, offset: u32, bytes: &[u8]) {
        self.log.push_write(id, offset, bytes);
        self.log.end.wrote(id, offset, bytes);
    }

    fn trimmed(&mut self, released_pages: u32) {
        reserved(self.log.push(TRIM, released_pages, None));
        self.log.end.trimmed(released_pages);
    }
}

/// Returns a copy, or the bytes for which there is no memory.
fn copied<T: Copy>(values: &[T]) -> Result<Vec<T>, usize> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(values.len()).map_err(|_| size_of_val(values))?;
    copy.extend_from_slice(values);
    Ok(copy)
}

/// Says that a push found the room that was reserved for it.
fn reserved(pushed: Result<(), usize>) {
    debug_assert!(pushed.is_ok(), "room was reserved before");
}

const _: () = assert!(size_of::<Entry>() == 16);
