//! A slab: a block aligned to its own size that starts with a header and a live map. A slot's address,
//! masked, is the address of its slab.
#![expect(unsafe_code, reason = "headers lie in the memory that slabs are made of")]

use core::cell::Cell;
use core::ptr::NonNull;

use slab_core::LiveWord;

use crate::remote::RemoteList;

/// Bytes of a header; the words of the live map follow it.
pub const HEADER_BYTES: usize = size_of::<Header>().next_multiple_of(WORD_BYTES);
/// Bytes of a word of the live map.
pub const WORD_BYTES: usize = size_of::<u64>();
/// Slots per word of the live map.
pub const SLOTS_PER_WORD: u32 = u64::BITS;

/// Where a slab is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Place {
    /// It has no values; its chunk marks it as vacant.
    Vacant,
    /// It is the active slab.
    Active,
    /// It has values and free slots, and is in the list of this bucket.
    Partial(u8),
    /// It has no free slots, and is in no list.
    Full,
}

/// The metadata of a slab. The fields `core`, `chunk`, `slots` and `index` never change; `remote` is for all
/// threads; the holder of the cache's lock uses the others.
#[derive(Debug)]
#[repr(C)]
struct Header {
    core: NonNull<()>,
    chunk: NonNull<()>,
    remote: RemoteList,
    next: Cell<Option<SlabRef>>,
    prev: Cell<Option<SlabRef>>,
    used: Cell<u32>,
    relist_at: Cell<u32>,
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
/// - **H2 (lock)**: its user holds the cache's lock, or is the only thread that can reach the cache. The
///   owner of a live slot may use `core` and `remote` without the lock.
/// - **H3 (live)**: the live words have a bit for each slot that is live, is on the remote free list, is
///   cached by a thread, or is one of the active slots; `used` counts them. They have no bit at or beyond
///   `slots`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct SlabRef(NonNull<Header>);

impl SlabRef {
    /// Writes the header of a slab without values.
    ///
    /// # Safety
    ///
    /// `start` is the start of slab `index` of the chunk and aligned to the slab's size; nothing uses the
    /// slab. It has room for a header and `words` live words. `core` and `chunk` stay valid as long as the
    /// slab is attached.
    pub unsafe fn init(
        start: NonNull<u8>,
        core: NonNull<()>,
        chunk: NonNull<()>,
        index: u8,
        slots: u32,
        words: u32,
    ) -> Self {
        let header = Header {
            core,
            chunk,
            remote: RemoteList::new(),
            next: Cell::new(None),
            prev: Cell::new(None),
            used: Cell::new(0),
            relist_at: Cell::new(u32::MAX),
            slots: slots as u16,
            index,
            place: Cell::new(Place::Vacant),
        };
        let this = Self(start.cast());
        // SAFETY: a slab has room for its header and is aligned to at least 256.
        unsafe { this.0.write(header) };
        for word in 0..words {
            this.set_live(word, LiveWord::default());
        }
        this
    }

    /// Returns the slab of a slot.
    ///
    /// # Safety
    ///
    /// The slot belongs to an attached slab of that size, and the pointer may access all of the slab.
    #[inline(always)]
    pub unsafe fn of_slot(slot: NonNull<u8>, slab_bytes: usize) -> Self {
        let start = slot.as_ptr().map_addr(|address| address & !(slab_bytes - 1));
        // SAFETY: slabs are aligned to their size and do not start at zero, so the masked address is the
        // slab's, and not zero.
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
        // SAFETY: by H1 the header is initialised, and its mutable fields are cells and atomics. Callers in
        // this file drop the reference before they return.
        unsafe { self.0.as_ref() }
    }

    /// Returns the core of the slab's cache.
    #[inline(always)]
    pub fn core(self) -> NonNull<()> {
        self.header().core
    }

    /// Returns the slab's chunk.
    #[inline]
    pub fn chunk(self) -> NonNull<()> {
        self.header().chunk
    }

    /// Returns the slab's number in its chunk.
    #[inline]
    pub fn index(self) -> u8 {
        self.header().index
    }

    #[inline(always)]
    pub fn slots(self) -> u32 {
        u32::from(self.header().slots)
    }

    #[inline(always)]
    pub fn start(self) -> NonNull<u8> {
        self.0.cast()
    }

    /// Returns the remote free list, which other threads use meanwhile.
    #[inline(always)]
    pub fn remote<'a>(self) -> &'a RemoteList {
        // SAFETY: by H1 the header is initialised. The projection touches no other field, and an atomic may
        // be shared.
        unsafe { &(*self.0.as_ptr()).remote }
    }

    /// Returns how many slots have their bit in the live map.
    #[inline(always)]
    pub fn used(self) -> u32 {
        self.header().used.get()
    }

    #[inline(always)]
    pub fn set_used(self, used: u32) {
        self.header().used.set(used);
    }

    /// Returns the count of used slots at which the slab is relisted.
    #[inline(always)]
    pub fn relist_at(self) -> u32 {
        self.header().relist_at.get()
    }

    #[inline]
    pub fn set_relist_at(self, used: u32) {
        self.header().relist_at.set(used);
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
        // SAFETY: by H1 it was initialised, and by H2 no other thread writes it meanwhile.
        unsafe { cell.read() }
    }

    #[inline(always)]
    pub fn set_live(self, word: u32, live: LiveWord) {
        let cell = self.live_cell(word);
        // SAFETY: by H1 it lies in the slab, and by H2 no other thread uses it meanwhile.
        unsafe { cell.write(live) };
    }

    /// Returns whether a slot's bit is set.
    #[inline]
    pub fn is_live(self, slot: u32) -> bool {
        slot < self.slots() && self.live(slot / SLOTS_PER_WORD).contains(slot % SLOTS_PER_WORD)
    }

    #[inline(always)]
    fn live_cell(self, word: u32) -> NonNull<LiveWord> {
        // SAFETY: callers name words of the slab's geometry, which follow the header.
        unsafe { self.start().add(HEADER_BYTES + word as usize * WORD_BYTES) }.cast()
    }

    /// Returns a pointer into the slab.
    ///
    /// # Safety
    ///
    /// The offset is at most the slab's size.
    #[inline(always)]
    pub unsafe fn at_offset(self, offset: usize) -> NonNull<u8> {
        // SAFETY: by H1 the pointer may access all of the slab, and the offset lies in it.
        unsafe { self.start().add(offset) }
    }
}
