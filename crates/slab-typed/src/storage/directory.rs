//! The table of chunks: the bases that lookups load, the records beside them, and the set of the held chunks.
#![expect(unsafe_code, reason = "three arrays in a raw block")]

use core::alloc::Layout;
use core::ops::Range;
use core::ptr::{self, NonNull};
use core::slice;

use allocator_api2::alloc::Allocator;

use super::held_set::{self, HeldSet};
use super::{NEVER, NONE};
use crate::error::SlabError;

/// The chunks that the first block has room for. Most allocators stay that small.
const CAPACITY_MIN: u32 = 4;

/// The state of a chunk. Small, so that the directory of half a million slots stays in the L1 cache.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    /// While vacant, the even generation at which its slots start when it is acquired again. While fresh or cleared, the
    /// next chunk on the list of these.
    pub link: u32,
    /// Live slots when they were last counted, corrected for moves since.
    pub live: u16,
    pub state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Not held.
    Vacant,
    /// Held, and no slot was filled since. All slots have one generation.
    Fresh,
    /// Held, and no slot is live, listed or retired. The generations differ.
    Cleared,
    /// Held, and its slots are live, untouched, listed or retired.
    Carved,
}

impl Record {
    pub const fn vacant(floor: u32) -> Self {
        Self { link: floor, live: 0, state: State::Vacant }
    }

    pub fn is_held(&self) -> bool {
        self.state != State::Vacant
    }

    /// The generation at which the slots of a vacant chunk start.
    pub fn floor(&self) -> Option<u32> {
        (!self.is_held()).then_some(self.link)
    }
}

/// The base of a chunk that is not held.
pub(super) fn never() -> NonNull<u32> {
    NonNull::from(&NEVER).cast()
}

/// Bases and records of `len` chunks and the set of the held ones, in one block: bases, records, set.
///
/// # Invariants
///
/// - **D1 (block)**: unless `capacity` is zero, `bases` is the start of a block of `layout(capacity)`, allocated by the
///   source that is passed to every call. `records` points behind the `capacity` bases, and `held` behind the records, at
///   `word_count(capacity)` initialised words. The first `len` bases and records are initialised; `len <= capacity`.
/// - **D2 (set)**: the set contains the chunks whose base is not [`never`], all below `len`.
pub(super) struct Directory {
    bases: NonNull<NonNull<u32>>,
    records: NonNull<Record>,
    held: NonNull<u64>,
    /// As wide as a register, so that lookups need no extension.
    len: usize,
    capacity: u32,
}

impl Directory {
    pub const fn new() -> Self {
        Self {
            bases: NonNull::dangling(),
            records: NonNull::dangling(),
            held: NonNull::dangling(),
            len: 0,
            capacity: 0,
        }
    }

    #[inline]
    pub const fn len(&self) -> u32 {
        self.len as u32
    }

    #[inline]
    pub const fn contains(&self, chunk: usize) -> bool {
        chunk < self.len
    }

    /// Returns where a chunk's generations start.
    ///
    /// # Safety
    ///
    /// The directory [`contains`](Self::contains) the chunk.
    #[inline]
    pub unsafe fn base(&self, chunk: usize) -> NonNull<u32> {
        // SAFETY: in bounds by the precondition, and initialised by D1.
        unsafe { self.bases.add(chunk).read() }
    }

    /// Returns a chunk's record, or `None` beyond the last.
    #[inline]
    pub fn record(&self, chunk: u32) -> Option<&Record> {
        if !self.contains(chunk as usize) {
            return None;
        }
        // SAFETY: the bound was just compared, and the record is initialised by D1.
        Some(unsafe { self.records.add(chunk as usize).as_ref() })
    }

    /// Writes the base of a chunk and adds the chunk to the set, or removes it.
    fn set_base(&mut self, chunk: u32, base: NonNull<u32>) {
        assert!(self.contains(chunk as usize));
        // SAFETY: the bound was just compared, and the block is owned by D1.
        unsafe { self.bases.add(chunk as usize).write(base) };
        let capacity = self.capacity;
        held_set::set(self.held_words(), capacity, chunk, base != never());
    }

    pub fn set_record(&mut self, chunk: u32, record: Record) {
        assert!(self.contains(chunk as usize));
        // SAFETY: the bound was just compared, and the block is owned by D1.
        unsafe { self.records.add(chunk as usize).write(record) };
    }

    /// Makes a vacant chunk a fresh one whose generations start at `base`.
    pub fn hold(&mut self, chunk: u32, base: NonNull<u32>) {
        self.set_base(chunk, base);
        self.set_record(chunk, Record { link: NONE, live: 0, state: State::Fresh });
    }

    /// Removes the block of a chunk from the table, whatever its record says, and returns it if there is one.
    pub fn take_block(&mut self, chunk: u32) -> Option<NonNull<u32>> {
        assert!(self.contains(chunk as usize));
        // SAFETY: the bound was just compared.
        let base = unsafe { self.base(chunk as usize) };
        self.set_base(chunk, never());
        (base != never()).then_some(base)
    }

    /// Returns the chunks that are held.
    pub fn held(&self) -> HeldSet<'_> {
        let words = held_set::word_count(self.capacity);
        // SAFETY: `held` points to this many initialised words by D1: none, unless there is a block.
        let words = unsafe { slice::from_raw_parts(self.held.as_ptr(), words) };
        HeldSet::new(words, self.capacity)
    }

    fn held_words(&mut self) -> &mut [u64] {
        let words = held_set::word_count(self.capacity);
        // SAFETY: `held` points to this many initialised words by D1, and the block is owned.
        unsafe { slice::from_raw_parts_mut(self.held.as_ptr(), words) }
    }

    /// Returns the groups of `stride` chunks whose first chunk is held, in order. Each costs one
    /// [`HeldSet::first_from`].
    pub fn held_groups(&self, stride: u32) -> HeldGroups<'_> {
        HeldGroups { held: self.held(), chunks: 0..self.len(), stride }
    }

    /// Lengthens the table to `len` chunks. The new ones are vacant. Amortised *O*(1) per chunk. If memory is refused
    /// nothing changes.
    pub fn extend(
        &mut self,
        len: u32,
        floor: u32,
        source: &impl Allocator,
    ) -> Result<(), SlabError> {
        if len > self.capacity {
            self.resize(len.max(self.capacity.saturating_mul(2)).max(CAPACITY_MIN), source)?;
        }
        for chunk in self.len()..len {
            // SAFETY: the capacity was just made large enough, and the block is owned by D1. The set contains no chunk
            // from `len` on, by D2.
            unsafe { self.bases.add(chunk as usize).write(never()) };
            self.len += 1;
            self.set_record(chunk, Record::vacant(floor));
        }
        Ok(())
    }

    /// Forgets the chunks from `len` on, none of which is held.
    pub fn truncate(&mut self, len: u32) {
        assert!(self.held().first_from(len).is_none(), "a chunk from {len} on is held");
        self.len = self.len.min(len as usize);
    }

    /// Shrinks the block to the table's length. Does nothing if memory for the smaller block is refused.
    pub fn shrink_to_fit(&mut self, source: &impl Allocator) {
        if self.len == 0 {
            self.release(source);
        } else if self.len() < self.capacity {
            let _ = self.resize(self.len(), source);
        }
    }

    /// Deallocates the block.
    pub fn release(&mut self, source: &impl Allocator) {
        self.replace(Self::new(), source);
    }

    /// Becomes another table, and deallocates the block of this one: last, because the source may panic.
    fn replace(&mut self, other: Self, source: &impl Allocator) {
        let Self { bases, capacity, .. } = core::mem::replace(self, other);
        if capacity != 0
            && let Some(Parts { layout, .. }) = Self::layout(capacity)
        {
            // SAFETY: by D1 the block came from this source with this layout.
            unsafe { source.deallocate(bases.cast(), layout) };
        }
    }

    /// The bytes of the block.
    pub fn bytes(&self) -> usize {
        Self::layout(self.capacity).map_or(0, |parts| parts.layout.size())
    }

    /// The bytes of a table made for `len` chunks at once, or `None` if the address space cannot hold them.
    #[cfg(feature = "serde")]
    pub fn bytes_for(len: u32) -> Option<usize> {
        let capacity = if len == 0 { 0 } else { len.max(CAPACITY_MIN) };
        Self::layout(capacity).map(|parts| parts.layout.size())
    }

    /// The layout for `capacity` chunks, and the offsets of records and set.
    fn layout(capacity: u32) -> Option<Parts> {
        let bases = Layout::array::<NonNull<u32>>(capacity as usize).ok()?;
        let records = Layout::array::<Record>(capacity as usize).ok()?;
        let held = Layout::array::<u64>(held_set::word_count(capacity)).ok()?;
        let (layout, records) = bases.extend(records).ok()?;
        let (layout, held) = layout.extend(held).ok()?;
        Some(Parts { layout, records, held })
    }

    /// Moves the table to a block for `capacity` chunks, not below `len`.
    fn resize(&mut self, capacity: u32, source: &impl Allocator) -> Result<(), SlabError> {
        assert!(capacity >= self.len());
        let refused = |bytes| SlabError::OutOfMemory { bytes, align: align_of::<u64>() };
        let parts = Self::layout(capacity).ok_or(refused(usize::MAX))?;
        let block = source.allocate(parts.layout).map_err(|_| refused(parts.layout.size()))?;
        let block = block.cast::<u8>();
        let bases = block.cast::<NonNull<u32>>();
        let len = self.len;
        // SAFETY: both offsets lie in the block, whose layout has room for `capacity` bases and records and for the
        // words of the set. The first `len` bases and records of the old block are initialised by D1.
        let (records, held) = unsafe {
            let records = block.add(parts.records).cast::<Record>();
            let held = block.add(parts.held).cast::<u64>();
            ptr::copy_nonoverlapping(self.bases.as_ptr(), bases.as_ptr(), len);
            ptr::copy_nonoverlapping(self.records.as_ptr(), records.as_ptr(), len);
            ptr::write_bytes(held.as_ptr(), 0, held_set::word_count(capacity));
            (records, held)
        };
        let mut table = Self { bases, records, held, len, capacity };
        let mut next = 0;
        while let Some(chunk) = self.held().first_from(next) {
            held_set::set(table.held_words(), capacity, chunk, true);
            next = chunk + 1;
        }
        self.replace(table, source);
        Ok(())
    }
}

/// The layout of a directory's block, and the offsets of its parts.
struct Parts {
    layout: Layout,
    records: usize,
    held: usize,
}

/// See [`Directory::held_groups`].
pub(super) struct HeldGroups<'a> {
    held: HeldSet<'a>,
    /// The chunks that were not visited from either end.
    chunks: Range<u32>,
    stride: u32,
}

impl Iterator for HeldGroups<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let chunk = self.held.first_from(self.chunks.start).filter(|&at| at < self.chunks.end)?;
        let group = chunk / self.stride;
        self.chunks.start = (group + 1) * self.stride;
        Some(group)
    }
}

impl DoubleEndedIterator for HeldGroups<'_> {
    fn next_back(&mut self) -> Option<u32> {
        let chunk = self.held.last_below(self.chunks.end).filter(|&at| at >= self.chunks.start)?;
        let group = chunk / self.stride;
        self.chunks.end = group * self.stride;
        Some(group)
    }
}
