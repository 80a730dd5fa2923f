//! The table of chunks: the bases that lookups load, and the records beside them.
#![expect(unsafe_code, reason = "two arrays in a raw block")]

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use allocator_api2::alloc::Allocator;

use super::NEVER;
use crate::error::SlabError;

/// The chunks that the first block has room for: most allocators stay that small.
const CAPACITY_MIN: u32 = 4;

/// What is known of a chunk besides its base. Small, so that the directory of half a million slots
/// stays in the first cache.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    /// While vacant, where the generations start when it is acquired again; even. While fresh, the
    /// next fresh chunk.
    pub link: u32,
    /// Live slots when they were last counted, and moves since.
    pub live: u16,
    pub state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Not held.
    Vacant,
    /// Held, and no slot was ever filled since.
    Fresh,
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

/// Bases and records of `len` chunks in one block: all bases first, the records behind them.
///
/// # Invariants
///
/// - **D1 (block)**: unless `capacity` is zero, `bases` is the start of a block of
///   `layout(capacity)`, given by the source that is passed to every call, and `records` points
///   behind the `capacity` bases. The first `len` of both are initialised; `len <= capacity`.
pub(super) struct Directory {
    bases: NonNull<NonNull<u32>>,
    records: NonNull<Record>,
    /// As wide as a register, which saves lookups an extension.
    len: usize,
    capacity: u32,
}

impl Directory {
    pub const fn new() -> Self {
        Self { bases: NonNull::dangling(), records: NonNull::dangling(), len: 0, capacity: 0 }
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

    pub fn set_base(&mut self, chunk: u32, base: NonNull<u32>) {
        assert!(self.contains(chunk as usize));
        // SAFETY: in bounds, as was just compared.
        let cell = unsafe { self.bases.add(chunk as usize) };
        // SAFETY: owned by D1.
        unsafe { cell.write(base) };
    }

    pub fn set_record(&mut self, chunk: u32, record: Record) {
        assert!(self.contains(chunk as usize));
        // SAFETY: in bounds, as was just compared.
        let cell = unsafe { self.records.add(chunk as usize) };
        // SAFETY: owned by D1.
        unsafe { cell.write(record) };
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
            self.len += 1;
            self.set_base(chunk, never());
            self.set_record(chunk, Record::vacant(floor));
        }
        Ok(())
    }

    /// Forgets the chunks from `len` on.
    pub fn truncate(&mut self, len: u32) {
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
            && let Some((layout, _)) = Self::layout(capacity)
        {
            // SAFETY: by D1 the block came from this source with this layout.
            unsafe { source.deallocate(bases.cast(), layout) };
        }
    }

    /// The bytes of the block.
    pub fn bytes(&self) -> usize {
        Self::layout(self.capacity).map_or(0, |(layout, _)| layout.size())
    }

    /// The bytes that a table has taken, at most, until it has grown to `len` chunks: its capacity has
    /// doubled when it was one short, and half as much was held until the table had moved. `None` if
    /// the address space cannot hold them.
    #[cfg(feature = "serde")]
    pub fn grown_bytes(len: u32) -> Option<usize> {
        let capacity = len.saturating_mul(3).max(CAPACITY_MIN);
        Self::layout(capacity).map(|(layout, _)| layout.size())
    }

    /// The layout for `capacity` chunks, and where the records start.
    fn layout(capacity: u32) -> Option<(Layout, usize)> {
        let bases = Layout::array::<NonNull<u32>>(capacity as usize).ok()?;
        let records = Layout::array::<Record>(capacity as usize).ok()?;
        bases.extend(records).ok()
    }

    /// Moves the table to a block for `capacity` chunks, not below `len`.
    fn resize(&mut self, capacity: u32, source: &impl Allocator) -> Result<(), SlabError> {
        assert!(capacity >= self.len());
        let refused = |bytes| SlabError::OutOfMemory { bytes, align: align_of::<usize>() };
        let (layout, offset) = Self::layout(capacity).ok_or(refused(usize::MAX))?;
        let block = source.allocate(layout).map_err(|_| refused(layout.size()))?.cast::<u8>();
        let bases = block.cast::<NonNull<u32>>();
        // SAFETY: the layout says that the records start there, in the block.
        let records = unsafe { block.add(offset) }.cast::<Record>();
        let len = self.len;
        // SAFETY: the first `len` are initialised by D1, and the new block has room for them.
        unsafe { ptr::copy_nonoverlapping(self.bases.as_ptr(), bases.as_ptr(), len) };
        // SAFETY: as above.
        unsafe { ptr::copy_nonoverlapping(self.records.as_ptr(), records.as_ptr(), len) };
        self.replace(Self { bases, records, len, capacity }, source);
        Ok(())
    }
}
