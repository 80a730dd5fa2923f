//! The memory of the values, and all unsafe code of this crate. Policy is decided above, in safe code: which slabs are
//! acquired and released, and when. No order of calls from there is unsound.
//!
//! A chunk is one block of memory: generations first, slots after them. The directory has the start of each chunk. A
//! chunk that is not held starts at [`NEVER`] there, so that looking up a handle needs no branch for it.
//!
//! Modules from the bottom up:
//!
//! | module | |
//! |---|---|
//! | `slot` | the contents of one slot: a value or a link |
//! | `held_set` | a set of numbers in two levels of bits |
//! | `directory` | the table of chunks |
//! | `live_bits` | which slots of 64 are live, as a word |
//! | `reservation` | address space for the first chunks, if the user asks for it |
//! | `access` | from handles to values |
//! | `chunks` | which slabs and chunks are held, and their counts |
//! | `fill` | stores values |
//! | `vacate` | moves values out and drops them |
//! | `release`, `acquire` | the memory of slabs |
//! | `lists` | the order in which slots are filled |
//! | `walk` | visits the live slots |
//! | `relocate` | fills slots by handle: moves, copies |
//! | `restore` | restores a storage from serialised numbers |
//! | `validate` | checks all bookkeeping |
#![expect(unsafe_code, reason = "values lie in raw memory; generations say which slots hold one")]

mod access;
mod acquire;
mod chunks;
mod directory;
mod fill;
mod held_set;
mod lists;
mod live_bits;
mod release;
mod relocate;
mod reservation;
#[cfg(feature = "serde")]
mod restore;
mod slot;
#[cfg(test)]
mod tests;
mod vacate;
mod validate;
mod walk;

use core::alloc::Layout;
use core::marker::PhantomData;
use core::ptr::NonNull;

use allocator_api2::alloc::Allocator;

#[cfg(feature = "vm")]
use crate::geometry::CHUNK_COUNT_MAX;
use crate::geometry::{CHUNK_SLOTS_MAX, Geometry};
use directory::Directory;
use fill::Untouched;
use reservation::Reservation;
use slot::{Link, Slot};
pub use walk::Borrowed;
pub(crate) use walk::{Span, Walk};

/// No chunk: the end of the list of fresh ones.
const NONE: u32 = u32::MAX;

/// The generation of a retired slot: it is not filled again, because its generations are used up. Even, so the last
/// live generation is `RETIRED - 1`.
pub(crate) const RETIRED: u32 = u32::MAX - 1;

/// A slot past this generation has spent more than half of its lives and is *worn*. Operations that raise many slots to
/// the generation of one leave worn slots out: the floor that `shrink_to` or a serialised allocator keeps, and the
/// levelling of a cleared chunk. So one worn slot never wears others.
pub(crate) const WORN: u32 = 1 << 31;

/// The alignment of the slots in a reservation: they start at a multiple of 4096 from the start of a page.
const RESERVED_ALIGN: usize = 4096;

/// The [`Storage::generation_step`] of a storage in which a handle is stale once its value is removed.
const NEXT_LIFE: u32 = 1;

/// The [`Storage::generation_step`] of a storage in which a handle may be used again once its value is removed: minus
/// one.
const SAME_LIFE: u32 = u32::MAX;

/// The generations of all chunks that are not held. No handle matches, because zero is even.
static NEVER: [u32; CHUNK_SLOTS_MAX] = [0; CHUNK_SLOTS_MAX];

/// The chunks, and the lists of vacant slots.
///
/// # Invariants
///
/// - **S1 (live)**: in a held chunk a slot holds a value exactly if its generation is odd.
/// - **S2 (directory)**: each chunk below `directory.len` has a base. If its record says held, the base is the start of a
///   block of the layout that the geometry gives, owned by this storage and allocated by `source`, unless the chunk is
///   reserved (S5); otherwise it is the start of `NEVER`. Either way `chunk_len` initialised generations start there, and
///   those beyond the chunk's slots are zero.
/// - **S3 (lists)**: `head` and the links name dead slots of held chunks that are not retired, and form no cycle; `head_base`
///   is the base of `head`'s chunk, unless no slot is listed or the chunk is reserved;
///   `untouched` names the last slots of one such chunk, which have one generation; `fresh` and the links of records name
///   chunks that are fresh or cleared, whose slots are all dead and not retired. No slot is named twice. A listed slot is
///   filled only by the operation that takes it off its list.
/// - **S4 (counts)**: all live slots are in carved chunks; `carved` counts the slots of these, and `retired` the retired
///   ones. If `listed`, each other dead slot of a carved chunk is listed; otherwise `accounted` counts the live slots, the
///   listed ones and the retired ones.
/// - **S5 (reserved)**: if chunks are reserved, `chunk_len` is `CHUNK_SLOTS_MAX`, and no slot is aligned beyond
///   `RESERVED_ALIGN`. The generations and slots of a held chunk that is reserved lie in the reservation, and not in a block
///   of `source`. In a reserved chunk that is not held each generation is even, because no slot was live when the chunk was
///   released. `reservation.readable` names no chunk that the directory does not contain.
pub(crate) struct Storage<T, A: Allocator> {
    directory: Directory,
    reservation: Reservation,
    /// The generations of a chunk. Handles to slots beyond lead nowhere.
    chunk_len: usize,
    slots_offset: usize,
    /// The vacant slot filled next, which links to the others.
    head: Link,
    /// The base of its chunk, unless no slot is listed or the chunk is reserved.
    head_base: NonNull<u8>,
    /// Whether each vacant slot is on a list, so that the lists say how many there are.
    listed: bool,
    untouched: Untouched<T>,
    carved: usize,
    /// Takes the place of `carved` while some vacant slots are not listed.
    accounted: usize,
    /// The fresh or cleared chunk whose slots are filled next.
    fresh: u32,
    /// The last chunk on that list, unless it is empty.
    fresh_last: u32,
    /// No slab below this one can be acquired.
    vacant_from: u32,
    held_slabs: u32,
    retired: usize,
    /// The generations of slabs acquired from now on start here, or higher if their records say so. Even.
    floor: u32,
    /// [`NEXT_LIFE`] or [`SAME_LIFE`]: vacating a slot adds it to the generation, wrapping. It takes one instruction, as
    /// a constant would.
    generation_step: u32,
    pub geometry: Geometry,
    source: A,
    values: PhantomData<T>,
}

// SAFETY: the storage owns its chunks and the values in them; `NEVER` is only read.
unsafe impl<T: Send, A: Allocator + Send> Send for Storage<T, A> {}
// SAFETY: through `&Storage` chunks are only read, and values borrowed as `&T`.
unsafe impl<T: Sync, A: Allocator + Sync> Sync for Storage<T, A> {}

impl<T, A: Allocator> Storage<T, A> {
    /// Returns an empty storage in which a handle is stale once its value is removed.
    pub const fn new(slab_capacity: usize, source: A) -> Self {
        Self::with_geometry(Geometry::new(slab_capacity), NEXT_LIFE, source)
    }

    /// Returns an empty storage in which a handle may be used again once its value is removed. Its slots are only filled
    /// by handle, never from the lists.
    pub const fn reusing_handles(slab_capacity: usize, source: A) -> Self {
        Self::with_geometry(Geometry::new(slab_capacity), SAME_LIFE, source)
    }

    const fn with_geometry(geometry: Geometry, generation_step: u32, source: A) -> Self {
        Self {
            directory: Directory::new(),
            reservation: Reservation::NONE,
            chunk_len: geometry.chunk_len as usize,
            slots_offset: geometry.slots_offset(Layout::new::<Slot<T>>()),
            head: Link::END,
            head_base: NonNull::dangling(),
            listed: true,
            untouched: Untouched::NONE,
            carved: 0,
            accounted: 0,
            fresh: NONE,
            fresh_last: NONE,
            vacant_from: 0,
            held_slabs: 0,
            retired: 0,
            floor: 0,
            generation_step,
            geometry,
            source,
            values: PhantomData,
        }
    }

    /// Returns an empty storage as [`new`](Self::new) does, with address space for the chunks of `slots` slots. It has none
    /// if chunks have fewer than 1024 slots, if slots are aligned beyond a page, or if the system refuses.
    #[cfg(feature = "vm")]
    pub fn with_reservation(slab_capacity: usize, slots: usize, source: A) -> Self {
        let mut storage = Self::new(slab_capacity, source);
        let slabs = slots.div_ceil(storage.geometry.slab_capacity);
        let chunks = slabs.saturating_mul(storage.geometry.chunks_per_slab as usize);
        storage.reserve_addresses(chunks.min(CHUNK_COUNT_MAX as usize) as u32);
        storage
    }

    /// Reserves address space for chunks of an empty storage.
    fn reserve_addresses(&mut self, chunks: u32) {
        if self.chunk_len == CHUNK_SLOTS_MAX && align_of::<Slot<T>>() <= RESERVED_ALIGN {
            self.reservation = Reservation::new(chunks, size_of::<Slot<T>>());
        }
    }

    /// Returns the number of slots for which addresses are reserved.
    #[cfg(feature = "vm")]
    pub fn reserved_slots(&self) -> usize {
        let slabs = self.reservation.chunks() / self.geometry.chunks_per_slab;
        slabs as usize * self.geometry.slab_capacity
    }

    /// Returns the number of values. *O*(1).
    #[inline]
    pub fn live_count(&self) -> usize {
        let vacant = self.head.depth() as usize + self.untouched.count() as usize;
        let slots = if self.listed { self.carved } else { self.accounted };
        slots - vacant - self.retired
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

    /// Returns the number of slab ids: the held ones, and vacant ones that were not forgotten.
    pub fn slab_ids(&self) -> u32 {
        self.directory.len() / self.geometry.chunks_per_slab
    }

    pub fn source(&self) -> &A {
        &self.source
    }
}
