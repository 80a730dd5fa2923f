//! The table of chunks: the bases that lookups load, the records beside them, and the set of those held.
#![expect(unsafe_code, reason = "three arrays in a raw block")]

use core::alloc::Layout;
use core::ops::Range;
use core::ptr::{self, NonNull};
use core::slice;

use allocator_api2::alloc::Allocator;

use super::held_set::{self, HeldSet};
use super::{NEVER, NONE};
use crate::error::SlabError;

/// The chunks that the first block has room for: most allocators stay that small.
const CAPACITY_MIN: u32 = 4;

/// What is known of a chunk besides its base. Small, so that the directory of half a million slots
/// stays in the first cache.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    /// While vacant, where the generations start when it is acquired again; even. While fresh or cleared,
    /// the next chunk on the list of these.
    pub link: u32,
    /// Live slots when they were last counted, and moves since.
    pub live: u16,
    pub state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Not held.
    Vacant,
    /// Held, and no slot was ever filled since: all are of one generation.
    Fresh,
    /// Held, and no slot is live, listed or retired. Generations differ.
    Cleared,
    /// Held, and its slots were handed out or listed.
    Carved,
}

impl Record {
    pub const fn vacant(floor: u32) -> Self {
        Self { link: floor, live: 0, state: State::Vacant }
    }

    pub fn is_held(&self) -> bool {
        self.state != State::Vacant
    }

    /// Where the generations of a chunk that is vacant start.
    pub fn floor(&self) -> Option<u32> {
        (!self.is_held()).then_some(self.link)
    }
}

/// The base of chunks that are not held.
pub(super) fn never() -> NonNull<u32> {
    NonNull::from(&NEVER).cast()
}

/// Bases and records of `len` chunks and the set of those held, in one block: all bases first, the records
/// behind them, the set at the end.
///
/// # Invariants
///
/// - **D1 (block)**: unless `capacity` is zero, `bases` is the start of a block of
///   `layout(capacity)`, given by the source that is passed to every call. `records` points
///   behind the `capacity` bases, `held` behind the records, at `word_count(capacity)` initialised words. The
///   first `len` bases and records are initialised; `len <= capacity`.
/// - **D2 (set)**: the set has the chunks whose base is not [`never`], all below `len`.
pub(super) struct Directory {
    bases: NonNull<NonNull<u32>>,
    records: NonNull<Record>,
    held: NonNull<u64>,
    /// As wide as a register, which saves lookups an extension.
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
        // SAFETY: in bounds by the caller's promise.
        let base = unsafe { self.bases.add(chunk) };
        // SAFETY: initialised by D1.
        unsafe { base.read() }
    }

    /// Returns a chunk's record, or `None` beyond the last.
    #[inline]
    pub fn record(&self, chunk: u32) -> Option<&Record> {
        if !self.contains(chunk as usize) {
            return None;
        }
        // SAFETY: in bounds, as was just compared.
        let record = unsafe { self.records.add(chunk as usize) };
        // SAFETY: initialised by D1.
        Some(unsafe { record.as_ref() })
    }

    /// Writes the base of a chunk and puts it into the set, or takes it out.
    fn set_base(&mut self, chunk: u32, base: NonNull<u32>) {
        assert!(self.contains(chunk as usize));
        // SAFETY: in bounds, as was just compared.
        let cell = unsafe { self.bases.add(chunk as usize) };
        // SAFETY: owned by D1.
        unsafe { cell.write(base) };
        let capacity = self.capacity;
        held_set::set(self.held_words(), capacity, chunk, base != never());
    }

    pub fn set_record(&mut self, chunk: u32, record: Record) {
        assert!(self.contains(chunk as usize));
        // SAFETY: in bounds, as was just compared.
        let cell = unsafe { self.records.add(chunk as usize) };
        // SAFETY: owned by D1.
        unsafe { cell.write(record) };
    }

    /// Makes a vacant chunk a fresh one whose generations start at `base`.
    pub fn hold(&mut self, chunk: u32, base: NonNull<u32>) {
        self.set_base(chunk, base);
        self.set_record(chunk, Record { link: NONE, live: 0, state: State::Fresh });
    }

    /// Takes the block of a chunk out of the table, whatever its record says. `None` if there is none.
    pub fn take_block(&mut self, chunk: u32) -> Option<NonNull<u32>> {
        assert!(self.contains(chunk as usize));
        // SAFETY: just compared.
        let base = unsafe { self.base(chunk as usize) };
        self.set_base(chunk, never());
        (base != never()).then_some(base)
    }

    /// Returns the chunks that are held.
    pub fn held(&self) -> HeldSet<'_> {
        let words = held_set::word_count(self.capacity);
        // SAFETY: so many initialised words lie there by D1; none, unless there is a block.
        let words = unsafe { slice::from_raw_parts(self.held.as_ptr(), words) };
        HeldSet::new(words, self.capacity)
    }

    fn held_words(&mut self) -> &mut [u64] {
        let words = held_set::word_count(self.capacity);
        // SAFETY: as in `held`, and the block is owned.
        unsafe { slice::from_raw_parts_mut(self.held.as_ptr(), words) }
    }

    /// Returns the groups of `stride` chunks the first of which is held, in order. *O*(1) a group, but for the
    /// words that [`HeldSet::first_from`] reads.
    pub fn held_groups(&self, stride: u32) -> HeldGroups<'_> {
        HeldGroups { held: self.held(), chunks: 0..self.len(), stride }
    }

    /// Lengthens the table to `len` chunks, the new ones vacant. Amortised *O*(1) a chunk. If memory
    /// is refused nothing changes.
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
            // SAFETY: below the capacity, which was just made large enough.
            let base = unsafe { self.bases.add(chunk as usize) };
            // SAFETY: owned by D1. The set has no chunk from `len` on, by D2.
            unsafe { base.write(never()) };
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

    /// Gives back what the table does not need. Does nothing if memory for the smaller one is
    /// refused.
    pub fn shrink_to_fit(&mut self, source: &impl Allocator) {
        if self.len == 0 {
            self.release(source);
        } else if self.len() < self.capacity {
            let _ = self.resize(self.len(), source);
        }
    }

    /// Gives the block back.
    pub fn release(&mut self, source: &impl Allocator) {
        self.replace(Self::new(), source);
    }

    /// Becomes another table, and gives the block of this one back: last, because a source may panic.
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

    /// The bytes of a table that was made for `len` chunks at once. `None` if the address space cannot hold
    /// them.
    #[cfg(feature = "serde")]
    pub fn bytes_for(len: u32) -> Option<usize> {
        let capacity = if len == 0 { 0 } else { len.max(CAPACITY_MIN) };
        Self::layout(capacity).map(|parts| parts.layout.size())
    }

    /// The layout for `capacity` chunks, and where the parts behind the bases start.
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
        // SAFETY: the layout says that the records start there, in the block.
        let records = unsafe { block.add(parts.records) }.cast::<Record>();
        // SAFETY: the layout says that the set starts there, in the block.
        let held = unsafe { block.add(parts.held) }.cast::<u64>();
        let len = self.len;
        // SAFETY: the first `len` are initialised by D1, and the new block has room for them.
        unsafe { ptr::copy_nonoverlapping(self.bases.as_ptr(), bases.as_ptr(), len) };
        // SAFETY: as above.
        unsafe { ptr::copy_nonoverlapping(self.records.as_ptr(), records.as_ptr(), len) };
        // SAFETY: the set's words lie in the new block.
        unsafe { ptr::write_bytes(held.as_ptr(), 0, held_set::word_count(capacity)) };
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

/// Where the parts of a directory's block lie.
struct Parts {
    layout: Layout,
    records: usize,
    held: usize,
}

/// See [`Directory::held_groups`].
pub(super) struct HeldGroups<'a> {
    held: HeldSet<'a>,
    /// What is left to look at, from both ends.
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
