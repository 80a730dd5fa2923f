//! The header of a slab, at the start of the slab: a slot's address, masked, leads to it.
#![expect(unsafe_code, reason = "headers lie in the memory that slabs are made of")]

use core::cell::Cell;
use core::ptr::NonNull;

use slab_core::LiveWord;
use slab_core::sync::atomic::AtomicUsize;

use crate::chunk::ChunkRef;
use crate::geometry::{Geometry, SLOTS_PER_WORD, WORD_BYTES};
use crate::guard;

/// Bytes of a header; the words of the live map follow it.
pub const HEADER_BYTES: usize = size_of::<Header>().next_multiple_of(WORD_BYTES);

/// Where a slab is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Place {
    /// It has no values, and its chunk knows.
    Vacant,
    /// The cache allocates from it.
    Front,
    /// It has values and free slots, and is in the list of this bucket.
    Partial(u8),
    /// It has no free slots, and is in no list.
    Full,
}

/// What a slab knows of itself. The first three fields never change; `remote` is everybody's; the
/// others belong to whoever holds the cache's lock.
#[derive(Debug)]
#[repr(C)]
pub struct Header {
    core: NonNull<()>,
    chunk: ChunkRef,
    remote: AtomicUsize,
    next: Cell<Option<SlabRef>>,
    prev: Cell<Option<SlabRef>>,
    used: Cell<u32>,
    floor: Cell<u32>,
    slots: u16,
    index: u8,
    place: Cell<Place>,
}

#[cfg(all(target_pointer_width = "64", not(loom)))]
const _: () = assert!(HEADER_BYTES + WORD_BYTES == 64, "with one word of live slots, a cache line");

/// A slab of a cache.
///
/// # Invariants
///
/// - **H1 (header)**: it points to the initialised header and live words of a slab of a chunk that
///   the cache holds, with the right to access all of the slab.
/// - **H2 (lock)**: whoever uses it holds the cache's lock, or is the only thread that can reach the
///   cache; but for `core` and `remote`, which the owner of a live slot may use.
/// - **H3 (live)**: the live words have a bit for each slot that is live, was freed without the lock
///   and not collected yet, or is held by the front or a thread's cache; `used` counts them. They
///   have no bit at or beyond `slots`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct SlabRef(NonNull<Header>);

impl SlabRef {
    /// Writes the header of a slab without values.
    ///
    /// # Safety
    ///
    /// `start` is the start of slab `index` of the chunk, aligned to its size; nobody uses the slab.
    /// `core` stays valid as long as the slab is attached.
    pub unsafe fn init(
        start: NonNull<u8>,
        core: NonNull<()>,
        chunk: ChunkRef,
        index: u8,
        slots: u32,
        geometry: &Geometry,
    ) -> Self {
        let header = Header {
            core,
            chunk,
            remote: AtomicUsize::new(crate::remote::IDLE),
            next: Cell::new(None),
            prev: Cell::new(None),
            used: Cell::new(0),
            floor: Cell::new(u32::MAX),
            slots: slots as u16,
            index,
            place: Cell::new(Place::Vacant),
        };
        let this = Self(start.cast());
        // SAFETY: a slab has room for its header, and is aligned to at least 256.
        unsafe { this.0.write(header) };
        for word in 0..geometry.words {
            this.set_live(word, LiveWord::default());
        }
        if geometry.hardened {
            // SAFETY: the slab is the caller's, and its header was just written.
            unsafe { guard::prepare(this, geometry) };
        }
        this
    }

    /// Returns the slab in which a slot lies.
    ///
    /// # Safety
    ///
    /// The slot belongs to an attached slab of that size, and the pointer may access all of it.
    #[inline(always)]
    pub unsafe fn of_slot(slot: NonNull<u8>, slab_bytes: usize) -> Self {
        let start = slot.as_ptr().map_addr(|address| address & !(slab_bytes - 1));
        // SAFETY: slabs are aligned to their size and do not start at zero, so what is left of the
        // address is that of the slab.
        Self(unsafe { NonNull::new_unchecked(start) }.cast())
    }

    /// Returns the slab that starts there.
    ///
    /// # Safety
    ///
    /// H1 holds.
    #[inline]
    pub unsafe fn at(start: NonNull<u8>) -> Self {
        Self(start.cast())
    }

    #[inline(always)]
    fn header<'a>(self) -> &'a Header {
        // SAFETY: by H1 it is initialised; what changes in it is in cells and atomics. Callers in
        // this file do not keep it.
        unsafe { self.0.as_ref() }
    }

    /// Returns the core of the slab's cache.
    #[inline(always)]
    pub fn core(self) -> NonNull<()> {
        self.header().core
    }

    pub fn chunk(self) -> ChunkRef {
        self.header().chunk
    }

    pub fn index(self) -> u8 {
        self.header().index
    }

    /// Returns the number of slots.
    #[inline]
    pub fn slots(self) -> u32 {
        u32::from(self.header().slots)
    }

    /// Returns where the slab starts.
    #[inline(always)]
    pub fn start(self) -> NonNull<u8> {
        self.0.cast()
    }

    /// Returns the word of slots that were freed without the lock. Valid while the slab is attached.
    #[cfg(target_has_atomic = "ptr")]
    #[inline(always)]
    pub fn remote<'a>(self) -> &'a AtomicUsize {
        // SAFETY: by H1 the header is initialised. The projection touches no other field.
        let remote = unsafe { &raw const (*self.0.as_ptr()).remote };
        // SAFETY: as above; an atomic may be shared.
        unsafe { &*remote }
    }

    #[inline(always)]
    pub fn used(self) -> u32 {
        self.header().used.get()
    }

    #[inline(always)]
    pub fn set_used(self, used: u32) {
        self.header().used.set(used);
    }

    /// Returns how few used slots call for attention.
    #[inline(always)]
    pub fn floor(self) -> u32 {
        self.header().floor.get()
    }

    #[inline]
    pub fn set_floor(self, floor: u32) {
        self.header().floor.set(floor);
    }

    #[inline]
    pub fn place(self) -> Place {
        self.header().place.get()
    }

    #[inline]
    pub fn set_place(self, place: Place) {
        self.header().place.set(place);
    }

    #[inline]
    pub fn next(self) -> Option<Self> {
        self.header().next.get()
    }

    #[inline]
    pub fn set_next(self, next: Option<Self>) {
        self.header().next.set(next);
    }

    #[inline]
    pub fn prev(self) -> Option<Self> {
        self.header().prev.get()
    }

    #[inline]
    pub fn set_prev(self, prev: Option<Self>) {
        self.header().prev.set(prev);
    }

    /// Returns a word of the live map.
    #[inline(always)]
    pub fn live(self, word: u32) -> LiveWord {
        let cell = self.live_cell(word);
        // SAFETY: by H1 it was initialised, by H2 nobody writes it meanwhile.
        unsafe { cell.read() }
    }

    /// Sets a word of the live map.
    #[inline(always)]
    pub fn set_live(self, word: u32, live: LiveWord) {
        let cell = self.live_cell(word);
        // SAFETY: by H1 it lies in the slab, by H2 nobody uses it meanwhile.
        unsafe { cell.write(live) };
    }

    /// Returns whether a slot's bit is set.
    #[inline]
    pub fn is_live(self, slot: u32) -> bool {
        slot < self.slots() && self.live(slot / SLOTS_PER_WORD).contains(slot % SLOTS_PER_WORD)
    }

    #[inline(always)]
    fn live_cell(self, word: u32) -> NonNull<LiveWord> {
        // SAFETY: callers name words of the slab's geometry, which lie behind the header.
        unsafe { self.start().add(HEADER_BYTES + word as usize * WORD_BYTES) }.cast()
    }

    /// Returns where a slot starts.
    #[inline]
    pub fn slot_start(self, slot: u32, geometry: &Geometry) -> NonNull<u8> {
        debug_assert!(slot < geometry.slots);
        // SAFETY: callers name slots of the geometry, which lie in the slab.
        unsafe { self.start().add(geometry.first + slot as usize * geometry.stride) }
    }
}
