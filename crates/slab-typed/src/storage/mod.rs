//! Where the values lie, and all unsafe code of this crate. No policy: which slabs come and go, and
//! when, is decided above, in safe code, and no order of calls from there is unsound.
//!
//! A chunk is one block: generations first, slots behind them. The directory holds the start of
//! each chunk; that of a chunk which is not held is the start of [`NEVER`], so that looking up a
//! handle takes no branch to find out.
//!
//! Submodules: `directory` grows and shrinks the table of chunks, `chunks` acquires and releases
//! them, `lists` knows which slot is filled next, `walk` visits the live slots, `relocate` fills
//! slots of the caller's choice, `census` checks all of it.
#![expect(unsafe_code, reason = "values lie in raw memory, behind generations that say which live")]

mod census;
mod chunks;
mod directory;
mod lists;
mod live_bits;
mod relocate;
mod walk;

use core::alloc::Layout;
use core::marker::PhantomData;
use core::mem::{self, ManuallyDrop};
use core::ptr::NonNull;
use core::slice;

use allocator_api2::alloc::Allocator;
use slab_core::{Checked, poison};

use crate::geometry::{self, CHUNK_SLOTS_MAX, Geometry};
use crate::handle::SlotHandle;
use directory::Directory;
pub(crate) use walk::{Cursor, Walk, WalkMut};

/// No chunk: ends the list of fresh ones.
const NONE: u32 = u32::MAX;

/// The generation of a slot that is not filled again, because the generations are used up. Even,
/// and so the last live one is `RETIRED - 1`.
pub(crate) const RETIRED: u32 = u32::MAX - 1;

/// The generations of all chunks that are not held: no handle fits, because zero is even.
static NEVER: [u32; CHUNK_SLOTS_MAX] = [0; CHUNK_SLOTS_MAX];

/// A place in the list of vacant slots: the depth below, the index above, in one word so that it is
/// copied at once. Alignment 4, so that slots of small values are not padded for it.
#[derive(Debug, Clone, Copy)]
#[repr(C, packed(4))]
struct Link(u64);

impl Link {
    const END: Self = Self(0);

    /// The slots on the list from here on.
    #[inline]
    const fn depth(self) -> u32 {
        self.0 as u32
    }

    /// The slot, unless `depth` is zero.
    #[inline]
    const fn index(self) -> u32 {
        (self.0 >> u32::BITS) as u32
    }

    /// A link to a slot that links to `self`.
    #[inline]
    const fn to(self, index: u32) -> Self {
        Self((index as u64) << u32::BITS | (self.depth() + 1) as u64)
    }
}

/// A slot: a value while it is live, a link while it is dead and listed. Both are reached through
/// casts of pointers to it: this type gives size and alignment.
#[expect(dead_code, reason = "the fields are read and written through casts")]
union Slot<T> {
    value: ManuallyDrop<T>,
    link: Link,
}

/// The chunks, and what is needed to find the next vacant slot.
///
/// # Invariants
///
/// - **S1 (live)**: in a held chunk a slot holds a value exactly if its generation is odd.
/// - **S2 (directory)**: each chunk below `directory.len` has a base: of a block of the layout that
///   the geometry says, owned by this storage and given by `source`, if its record says held; of
///   `NEVER` otherwise. The base is valid for reads of `chunk_len` initialised generations either
///   way, and those beyond the chunk's slots are zero.
/// - **S3 (lists)**: `head` and the links name, each once and without a cycle, dead slots of held
///   chunks that are not retired; `untouched` names the last slots of one such chunk; and `fresh` and
///   the records' links name such chunks, all slots of which are dead and not retired. No slot is
///   named twice. A listed slot may only be filled by the one that takes it off its list.
/// - **S4 (counts)**: all live slots are in carved chunks; `carved` counts the slots of these, and
///   `retired` those that are retired. If `listed`, each other dead slot of a carved chunk is listed.
pub(crate) struct Storage<T, A: Allocator> {
    directory: Directory,
    /// The generations of a chunk: no handle to a slot beyond leads anywhere.
    chunk_len: usize,
    slots_offset: usize,
    /// The vacant slot filled next; the rest hang on it.
    head: Link,
    /// Whether every vacant slot is on a list, so that the lists say how many there are.
    listed: bool,
    untouched: Untouched,
    carved: usize,
    /// The chunk whose slots are untouched next.
    fresh: u32,
    /// No slab below this one can be acquired.
    vacant_from: u32,
    held_slabs: u32,
    retired: usize,
    /// Generations of ids that have no record start here; even.
    floor: u32,
    pub geometry: Geometry,
    source: A,
    values: PhantomData<T>,
}

// SAFETY: the storage owns its chunks and the values in them; `NEVER` is only read.
unsafe impl<T: Send, A: Allocator + Send> Send for Storage<T, A> {}
// SAFETY: through `&Storage` chunks are only read, and values lent as `&T`.
unsafe impl<T: Sync, A: Allocator + Sync> Sync for Storage<T, A> {}

/// The slots of a chunk that were never filled since it was acquired: no link was written to them.
#[derive(Debug, Clone, Copy)]
struct Untouched {
    /// The base of the chunk.
    base: NonNull<u32>,
    /// The index of the chunk's first slot.
    first: u32,
    /// The slot filled next.
    slot: u32,
    /// The slots of the chunk; `slot` if none is untouched.
    len: u32,
}

impl Untouched {
    const NONE: Self = Self { base: NonNull::dangling(), first: 0, slot: 0, len: 0 };

    fn count(&self) -> u32 {
        self.len - self.slot
    }
}

/// A place that an index names in a chunk that the directory contains.
struct Place {
    base: NonNull<u32>,
    /// Below `chunk_len`; beyond the chunk's slots for an index that is no slot's.
    slot: usize,
}

impl Place {
    /// Returns where the generation lies.
    #[inline]
    fn generation(&self) -> NonNull<u32> {
        // SAFETY: `chunk_len` generations lie behind `base`, by S2.
        unsafe { self.base.add(self.slot) }
    }
}

impl<T, A: Allocator> Storage<T, A> {
    pub const fn new(slab_capacity: usize, source: A) -> Self {
        Self::with_geometry(Geometry::new(slab_capacity), source)
    }

    const fn with_geometry(geometry: Geometry, source: A) -> Self {
        Self {
            directory: Directory::new(),
            chunk_len: geometry.chunk_len as usize,
            slots_offset: geometry.slots_offset(Layout::new::<Slot<T>>()),
            head: Link::END,
            listed: true,
            untouched: Untouched::NONE,
            carved: 0,
            fresh: NONE,
            vacant_from: 0,
            held_slabs: 0,
            retired: 0,
            floor: 0,
            geometry,
            source,
            values: PhantomData,
        }
    }

    // Places.

    /// Returns the place that an index names, be it a slot or not.
    ///
    /// # Safety
    ///
    /// The directory contains the index's chunk, and its slot is below `chunk_len`.
    #[inline]
    unsafe fn place(&self, index: u32) -> Place {
        // SAFETY: the caller vouches for the chunk.
        let base = unsafe { self.directory.base(geometry::chunk_of(index) as usize) };
        Place { base, slot: geometry::slot_of(index) as usize }
    }

    /// Returns where a slot lies.
    ///
    /// # Safety
    ///
    /// The place's chunk is held and has this slot.
    #[inline]
    unsafe fn slot(&self, place: &Place) -> NonNull<Slot<T>> {
        // SAFETY: in the chunk's block, by S2.
        let first = unsafe { place.base.byte_add(self.slots_offset) }.cast::<Slot<T>>();
        // SAFETY: the caller vouches for the slot.
        unsafe { first.add(place.slot) }
    }

    /// Returns the place that a handle names, and what generation it has now; `None` if there are no
    /// generations.
    #[inline]
    fn named_place(&self, handle: SlotHandle) -> Option<(Place, u32)> {
        let (chunk, slot) = (geometry::chunk_of(handle.index()), geometry::slot_of(handle.index()));
        if !self.directory.contains(chunk as usize) || slot as usize >= self.chunk_len {
            return None;
        }
        // SAFETY: both were just compared.
        let place = unsafe { self.place(handle.index()) };
        // SAFETY: readable and initialised by S2.
        let generation = unsafe { place.generation().read() };
        Some((place, generation))
    }

    /// Returns the place of a live value. *O*(1): two dependent loads.
    #[inline]
    fn live_place(&self, handle: SlotHandle) -> Option<Place> {
        match self.named_place(handle) {
            // By H1 the handle's generation is odd; by S2 only slots of held chunks have such a one.
            Some((place, generation)) if generation == handle.generation() => Some(place),
            _ => None,
        }
    }

    /// Returns where a live value lies. *O*(1).
    ///
    /// Not by way of [`live_place`](Self::live_place), for which the compiler finds a longer way.
    #[inline]
    fn live_value(&self, handle: SlotHandle) -> Option<NonNull<T>> {
        match self.named_place(handle) {
            Some((place, generation)) if generation == handle.generation() => {
                // SAFETY: live, as for `live_place`, and so a slot of a held chunk.
                Some(unsafe { self.slot(&place) }.cast())
            }
            _ => None,
        }
    }

    /// Returns the generations of a chunk that has a record, those beyond its slots included.
    fn generations(&self, chunk: u32) -> &[u32] {
        assert!(chunk < self.directory.len());
        // SAFETY: just compared.
        let base = unsafe { self.directory.base(chunk as usize) }.as_ptr();
        // SAFETY: initialised by S2, and not written while `self` is borrowed.
        unsafe { slice::from_raw_parts(base, self.chunk_len) }
    }

    // Access.

    #[inline]
    pub fn get(&self, handle: SlotHandle) -> Option<&T> {
        let value = self.live_value(handle)?;
        // SAFETY: a value by S1; it is lent as long as `self` is.
        Some(unsafe { value.as_ref() })
    }

    #[inline]
    pub fn get_mut(&mut self, handle: SlotHandle) -> Option<&mut T> {
        let mut value = self.live_value(handle)?;
        // SAFETY: as in `get`, and `self` is borrowed mutably.
        Some(unsafe { value.as_mut() })
    }

    /// Returns the position of the first handle that is not live or equals an earlier one.
    /// *O*(handles²).
    pub fn first_unfit(&self, handles: &[SlotHandle]) -> Option<usize> {
        (0..handles.len()).find(|&position| {
            self.live_place(handles[position]).is_none()
                || handles[..position].contains(&handles[position])
        })
    }

    /// Returns all values at once, or `None` if a handle is [unfit](Self::first_unfit).
    pub fn get_disjoint_mut<const N: usize>(
        &mut self,
        handles: [SlotHandle; N],
    ) -> Option<[&mut T; N]> {
        if self.first_unfit(&handles).is_some() {
            return None;
        }
        Some(handles.map(|handle| {
            // SAFETY: as for any live handle.
            let place = unsafe { self.place(handle.index()) };
            // SAFETY: live, and so a slot of a held chunk.
            let mut value = unsafe { self.slot(&place) }.cast::<T>();
            // SAFETY: live by the check above, and so by S1 a value. No two are the same: a slot is
            // live in one generation, and equal handles were refused.
            unsafe { value.as_mut() }
        }))
    }

    // Filling and vacating.

    /// Returns the handle that the next [`fill`](Self::fill) will return, or `None` if
    /// [`prepare`](Self::prepare) has to be called first. *O*(1).
    #[inline]
    pub fn next_handle(&self) -> Option<SlotHandle> {
        let index = if self.head.depth() > 0 {
            self.head.index()
        } else if self.untouched.count() > 0 {
            self.untouched.first + self.untouched.slot
        } else {
            return None;
        };
        // SAFETY: listed slots lie in held chunks, by S3.
        let place = unsafe { self.place(index) };
        // SAFETY: readable and initialised by S2.
        let generation = unsafe { place.generation().read() };
        Some(SlotHandle::live(index, generation))
    }

    /// Stores a value in the slot vacated last, or else in one never filled, or gives it back if
    /// [`prepare`](Self::prepare) has to be called first. *O*(1).
    #[inline]
    pub fn fill(&mut self, value: T) -> Result<SlotHandle, T> {
        if self.head.depth() == 0 {
            return self.fill_untouched(value);
        }
        let index = self.head.index();
        // SAFETY: listed slots lie in held chunks, by S3.
        let place = unsafe { self.place(index) };
        // SAFETY: as above.
        let slot = unsafe { self.slot(&place) };
        // SAFETY: a slot on the list is dead and holds a link, by S3.
        self.head = unsafe { slot.cast::<Link>().read() };
        // SAFETY: the slot is dead by S3, and just came off its list.
        Ok(unsafe { self.occupy_place(&place, index, value) })
    }

    #[inline]
    fn fill_untouched(&mut self, value: T) -> Result<SlotHandle, T> {
        let Untouched { base, first, slot, len } = self.untouched;
        if slot == len {
            return Err(value);
        }
        self.untouched.slot += 1;
        let place = Place { base, slot: slot as usize };
        // SAFETY: the slot is dead by S3, and just ceased to be listed.
        Ok(unsafe { self.occupy_place(&place, first + slot, value) })
    }

    /// Writes a value and makes its slot live.
    ///
    /// # Safety
    ///
    /// The place is that of `index`, a slot of a held chunk that is dead, not retired and not listed.
    #[inline]
    unsafe fn occupy_place(&self, place: &Place, index: u32, value: T) -> SlotHandle {
        // SAFETY: the caller vouches for the slot.
        let slot = unsafe { self.slot(place) };
        // SAFETY: a dead slot's bytes are the storage's own.
        unsafe { poison::revive::<Checked>(slot.cast(), size_of::<Slot<T>>()) };
        // SAFETY: the slot is in bounds and owned, and holds no value by S1.
        unsafe { slot.cast::<T>().write(value) };
        // SAFETY: initialised by S2.
        let dead = unsafe { place.generation().read() };
        let handle = SlotHandle::live(index, dead);
        // SAFETY: the chunk is held, so its generations are owned.
        unsafe { place.generation().write(handle.generation()) };
        handle
    }

    /// Moves a value out. *O*(1).
    #[inline]
    pub fn take(&mut self, handle: SlotHandle) -> Option<T> {
        let place = self.live_place(handle)?;
        // SAFETY: live, and so a slot of a held chunk.
        let slot = unsafe { self.slot(&place) };
        // SAFETY: a value by S1; it ceases to be one in the next line.
        let value = unsafe { slot.cast::<T>().read() };
        // SAFETY: found by this handle, and the value was moved out.
        unsafe { self.vacate(&place, handle) };
        Some(value)
    }

    /// Drops a value where it lies and returns whether there was one. *O*(1). If the drop panics the
    /// slot is vacated all the same.
    #[inline]
    pub fn free(&mut self, handle: SlotHandle) -> bool {
        let Some(place) = self.live_place(handle) else { return false };
        if mem::needs_drop::<T>() {
            // SAFETY: live, and so a slot of a held chunk.
            let value = unsafe { self.slot(&place) }.cast::<T>();
            let _vacating = Vacating { storage: self, handle };
            // SAFETY: a value by S1; the guard makes its slot dead before anybody looks again.
            unsafe { value.drop_in_place() };
        } else {
            // SAFETY: found by this handle; a value that needs no drop may be forgotten.
            unsafe { self.vacate(&place, handle) };
        }
        true
    }

    /// Makes a slot dead and lists it, or retires it.
    ///
    /// # Safety
    ///
    /// The place is the live one of `handle`, and its value was moved out or dropped.
    #[inline]
    unsafe fn vacate(&mut self, place: &Place, handle: SlotHandle) {
        // SAFETY: the caller's promise is the same.
        if unsafe { self.vacate_unlisted(place, handle) } {
            // SAFETY: a slot of a held chunk.
            let slot = unsafe { self.slot(place) };
            // SAFETY: the slot is dead now and its bytes are the storage's own.
            unsafe { slot.cast::<Link>().write(self.head) };
            self.head = self.head.to(handle.index());
        }
    }

    /// Makes a slot dead and returns whether it can be listed, because it is not retired.
    ///
    /// # Safety
    ///
    /// As [`vacate`](Self::vacate).
    #[inline]
    unsafe fn vacate_unlisted(&mut self, place: &Place, handle: SlotHandle) -> bool {
        let dead = handle.generation().wrapping_add(1);
        // SAFETY: the chunk is held, so its generations are owned.
        unsafe { place.generation().write(dead) };
        // SAFETY: a slot of a held chunk.
        let slot = unsafe { self.slot(place) };
        // SAFETY: the slot is owned and holds nothing any more.
        unsafe { retire_bytes(slot) };
        if dead == RETIRED {
            self.retired += 1;
            return false;
        }
        true
    }

    // Queries.

    /// Returns the number of values. *O*(1), but while the lists are dropped.
    #[inline]
    pub fn live_count(&self) -> usize {
        if !self.listed {
            return self.live_recount();
        }
        let vacant = self.head.depth() as usize + self.untouched.count() as usize;
        self.carved - vacant - self.retired
    }

    /// Returns whether the live slots of each carved chunk are all but the untouched ones.
    #[inline]
    fn none_vacant(&self) -> bool {
        self.listed && self.head.depth() == 0 && self.retired == 0
    }

    pub fn retired_count(&self) -> usize {
        self.retired
    }

    pub fn held_slabs(&self) -> u32 {
        self.held_slabs
    }

    /// Slab ids that are told apart: those held, and those below the last of them or not forgotten.
    pub fn slab_ids(&self) -> u32 {
        self.directory.len() / self.geometry.chunks_per_slab
    }

    pub fn source(&self) -> &A {
        &self.source
    }

    /// Returns the generation of a slot, or `None` if its chunk is not held or has no such slot.
    pub fn generation(&self, index: u32) -> Option<u32> {
        let chunk = geometry::chunk_of(index);
        let record = self.directory.record(chunk)?;
        if !record.is_held() || geometry::slot_of(index) >= self.geometry.len_of(chunk) {
            return None;
        }
        // SAFETY: the chunk has a record, and so is below `directory.len`.
        let place = unsafe { self.place(index) };
        // SAFETY: readable and initialised by S2.
        Some(unsafe { place.generation().read() })
    }
}

/// Marks a dead slot for the tools that look for uses after free, all but the link in it.
///
/// # Safety
///
/// The slot is owned and holds nothing that anybody still needs.
#[inline]
unsafe fn retire_bytes<T>(slot: NonNull<Slot<T>>) {
    // SAFETY: the caller vouches for the slot's bytes.
    unsafe { poison::retire::<Checked>(slot.cast(), size_of::<Slot<T>>()) };
    // SAFETY: a slot begins with its link.
    unsafe { poison::permit(slot.cast(), size_of::<Link>()) };
}

/// Vacates a slot when the drop of its value is over, however it ended.
struct Vacating<'a, T, A: Allocator> {
    storage: &'a mut Storage<T, A>,
    handle: SlotHandle,
}

impl<T, A: Allocator> Drop for Vacating<'_, T, A> {
    #[inline]
    fn drop(&mut self) {
        if let Some(place) = self.storage.live_place(self.handle) {
            // SAFETY: found by this handle; `free` dropped the value, in part if that panicked.
            unsafe { self.storage.vacate(&place, self.handle) };
        }
    }
}

impl<T, A: Allocator> Drop for Storage<T, A> {
    /// If a value panics while it is dropped the others are dropped all the same.
    fn drop(&mut self) {
        /// Ends what a panic cut short.
        struct Rest<'a, T, A: Allocator>(&'a mut Storage<T, A>);

        impl<T, A: Allocator> Drop for Rest<'_, T, A> {
            fn drop(&mut self) {
                if mem::needs_drop::<T>() {
                    self.0.clear();
                }
                self.0.release_all();
            }
        }

        let rest = Rest(self);
        if mem::needs_drop::<T>() {
            rest.0.clear();
        }
    }
}
