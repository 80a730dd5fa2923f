//! A chunk: a block of the memory source that is cut into slabs. A source spends up to twice the memory on
//! one block that is aligned to its own size, so a chunk has many slabs. Its metadata, the *record*, takes
//! the place of the last slots of its last slab, so that a chunk is a whole number of slabs.
#![expect(unsafe_code, reason = "records lie in their chunks")]

use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::NonNull;

use slab_core::layout::align_down;

use crate::geometry::Geometry;
use crate::guard;
use crate::slab::SlabRef;

/// The most slabs of a chunk: a word has one bit for each.
pub const SLABS_MAX: u32 = u64::BITS;

/// The list of all chunks.
pub const ALL: usize = 0;
/// The lists of chunks with vacant slabs.
pub const BY_USE: usize = 1;

#[derive(Debug, Clone, Copy, Default)]
struct Links {
    next: Option<ChunkRef>,
    prev: Option<ChunkRef>,
}

#[derive(Debug)]
struct Record {
    start: NonNull<u8>,
    /// Slabs that have at least one slot.
    slabs: u32,
    /// Slabs that fit in the block: as many, or one more, whose slots the record takes.
    slabs_in_block: u32,
    /// Slabs without values.
    vacant: Cell<u64>,
    /// Slabs whose headers were written.
    initialised: Cell<u64>,
    links: [Cell<Links>; 2],
}

/// A chunk of a cache.
///
/// # Invariants
///
/// - **C1 (record)**: it points to the initialised record of a block that the cache's source allocated and
///   that was not deallocated.
/// - **C2 (lock)**: its user holds the cache's lock, or the chunk is in no list of a cache.
/// - **C3 (initialised)**: a slab whose `initialised` bit is set has a header. All slabs that are not
///   `vacant` have their bit set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct ChunkRef(NonNull<Record>);

/// Bytes of a record.
const RECORD_BYTES: usize = size_of::<Record>();

/// Returns the offset of the record in the last slab: as near to the end as its alignment permits.
const fn record_offset(slab_bytes: usize) -> usize {
    align_down(slab_bytes - RECORD_BYTES, align_of::<Record>())
}

/// Returns how many slots the last slab of a chunk has.
fn last_slots(geometry: &Geometry) -> u32 {
    geometry.slots_within(record_offset(geometry.slab_bytes))
}

/// Returns the fewest slabs of a chunk that has a slot.
pub fn slabs_min(geometry: &Geometry) -> u32 {
    if last_slots(geometry) == 0 { 2 } else { 1 }
}

/// Returns the layout of a chunk of that many slabs.
pub fn layout(slabs: u32, geometry: &Geometry) -> Option<Layout> {
    let bytes = geometry.slab_bytes.checked_mul(slabs as usize)?;
    Layout::from_size_align(bytes, geometry.slab_bytes).ok()
}

impl ChunkRef {
    /// Writes the record of a chunk without values.
    ///
    /// # Safety
    ///
    /// The block has the [`layout`] of that many slabs, which are `slabs_min` to `SLABS_MAX`, and is the
    /// caller's.
    pub unsafe fn init(block: NonNull<u8>, slabs: u32, geometry: &Geometry) -> Self {
        let bytes = slabs as usize * geometry.slab_bytes;
        let usable = if last_slots(geometry) == 0 { slabs - 1 } else { slabs };
        let record = Record {
            start: block,
            slabs: usable,
            slabs_in_block: slabs,
            vacant: Cell::new(u64::MAX >> (u64::BITS - usable)),
            initialised: Cell::new(0),
            links: [const { Cell::new(Links { next: None, prev: None }) }; 2],
        };
        let offset = bytes - geometry.slab_bytes + record_offset(geometry.slab_bytes);
        // SAFETY: the offset lies in the block's last slab, which has room for a record there, aligned.
        unsafe {
            let this = Self(block.add(offset).cast());
            this.0.write(record);
            this
        }
    }

    /// Returns the chunk of a slab.
    #[inline]
    pub fn of_slab(slab: SlabRef) -> Self {
        // `take` initialised the slab with its chunk.
        Self(slab.chunk().cast())
    }

    fn record<'a>(self) -> &'a Record {
        // SAFETY: by C1 it is initialised, and its mutable fields are cells. Callers in this file drop the
        // reference before they return.
        unsafe { self.0.as_ref() }
    }

    /// Returns the start of the block.
    pub fn start(self) -> NonNull<u8> {
        self.record().start
    }

    /// Returns how many slabs fit in the block.
    pub fn slabs_in_block(self) -> u32 {
        self.record().slabs_in_block
    }

    /// Returns how many slabs can be used.
    pub fn slabs(self) -> u32 {
        self.record().slabs
    }

    /// Returns the number of slots of all slabs.
    pub fn slots(self, geometry: &Geometry) -> u64 {
        (0..self.slabs()).map(|slab| u64::from(self.slots_of(slab, geometry))).sum()
    }

    fn slots_of(self, index: u32, geometry: &Geometry) -> u32 {
        let is_last = index + 1 == self.slabs_in_block();
        if is_last { last_slots(geometry) } else { geometry.slots }
    }

    pub fn is_full(self) -> bool {
        self.record().vacant.get() == 0
    }

    pub fn is_empty(self) -> bool {
        self.record().vacant.get().count_ones() == self.slabs()
    }

    /// Marks a slab as without values.
    pub fn vacate(self, slab: SlabRef) {
        let vacant = &self.record().vacant;
        vacant.set(vacant.get() | 1 << slab.index());
    }

    /// Takes the lowest slab without values of a chunk that is not full.
    ///
    /// # Safety
    ///
    /// `core` stays valid as long as the chunk is attached. The geometry is the chunk's.
    pub unsafe fn take(self, core: NonNull<()>, geometry: &Geometry) -> SlabRef {
        let record = self.record();
        let index = record.vacant.get().trailing_zeros();
        let bit = 1 << index;
        record.vacant.set(record.vacant.get() & !bit);
        let start = self.slab_start(index, geometry.slab_bytes);
        if record.initialised.get() & bit != 0 {
            // SAFETY: by C3 it has a header.
            return unsafe { SlabRef::at(start) };
        }
        record.initialised.set(record.initialised.get() | bit);
        let slots = self.slots_of(index, geometry);
        // SAFETY: the slab was vacant and never used, and the geometry leaves room for its header. The chunk
        // outlives its slabs, and the caller says that the core does.
        let slab = unsafe {
            SlabRef::init(start, core, self.0.cast(), index as u8, slots, geometry.words)
        };
        if geometry.hardened {
            // SAFETY: the header was just written, and nothing uses the slots.
            unsafe { guard::init(slab, geometry) };
        }
        slab
    }

    /// Returns the slabs with values.
    pub fn used_slabs(self, slab_bytes: usize) -> impl Iterator<Item = SlabRef> + use<> {
        let record = self.record();
        let mut left = record.initialised.get() & !record.vacant.get();
        core::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let index = left.trailing_zeros();
            left &= left - 1;
            // SAFETY: by C3 it has a header.
            Some(unsafe { SlabRef::at(self.slab_start(index, slab_bytes)) })
        })
    }

    /// Returns the slab with values around an address, and the address as a pointer that may access the
    /// slab.
    pub fn find(self, address: usize, geometry: &Geometry) -> Option<(SlabRef, NonNull<u8>)> {
        let start = self.start();
        let offset = address.wrapping_sub(start.addr().get());
        if offset >= self.slabs_in_block() as usize * geometry.slab_bytes {
            return None;
        }
        // SAFETY: the offset lies in the block.
        let pointer = unsafe { start.add(offset) };
        let index = offset / geometry.slab_bytes;
        let slab =
            self.used_slabs(geometry.slab_bytes).find(|slab| usize::from(slab.index()) == index)?;
        Some((slab, pointer))
    }

    fn slab_start(self, index: u32, slab_bytes: usize) -> NonNull<u8> {
        // SAFETY: callers name slabs of the chunk.
        unsafe { self.start().add(index as usize * slab_bytes) }
    }

    fn links(self, kind: usize) -> Links {
        self.record().links[kind].get()
    }

    fn set_links(self, kind: usize, links: Links) {
        self.record().links[kind].set(links);
    }
}

/// A doubly linked list of chunks. A chunk is in at most one list of each `KIND`. All operations are *O*(1).
#[derive(Debug, Default)]
pub struct ChunkList<const KIND: usize> {
    head: Option<ChunkRef>,
}

impl<const KIND: usize> ChunkList<KIND> {
    pub const fn new() -> Self {
        Self { head: None }
    }

    pub const fn head(&self) -> Option<ChunkRef> {
        self.head
    }

    /// Adds a chunk that is in no list of this kind.
    pub fn push(&mut self, chunk: ChunkRef) {
        let next = self.head.replace(chunk);
        chunk.set_links(KIND, Links { next, prev: None });
        if let Some(next) = next {
            next.set_links(KIND, Links { prev: Some(chunk), ..next.links(KIND) });
        }
    }

    /// Removes a chunk that is in this list.
    pub fn remove(&mut self, chunk: ChunkRef) {
        let Links { next, prev } = chunk.links(KIND);
        match prev {
            Some(prev) => prev.set_links(KIND, Links { next, ..prev.links(KIND) }),
            None => self.head = next,
        }
        if let Some(next) = next {
            next.set_links(KIND, Links { prev, ..next.links(KIND) });
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = ChunkRef> + use<KIND> {
        core::iter::successors(self.head, |chunk| chunk.links(KIND).next)
    }
}
