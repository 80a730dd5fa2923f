//! Where the values lie, and all unsafe code of this crate. No policy: which slabs come and go, and
//! when, is decided above, in safe code, and no order of calls from there is unsound.
//!
//! A chunk is one block: generations first, slots behind them. The directory holds the start of
//! each chunk; that of a chunk which is not held is the start of [`NEVER`], so that looking up a
//! handle takes no branch to find out.
//!
//! Submodules, each on those before it: `slot` is what one slot holds, `held_set` a set of chunks,
//! `directory` the table of chunks; `access` leads from handles to values, `fill` stores them, `vacate` takes them out; `lists`
//! knows which slot is filled next, `chunks` acquires and releases memory, `walk` visits the live
//! slots, `relocate` fills slots of the caller's choice, `restore` is for what was serialised, `census` checks all
//! of it.
#![expect(unsafe_code, reason = "values lie in raw memory, behind generations that say which live")]

mod access;
mod census;
mod chunks;
mod directory;
mod fill;
mod held_set;
mod lists;
mod live_bits;
mod relocate;
#[cfg(feature = "serde")]
mod restore;
mod slot;
#[cfg(test)]
mod tests;
mod vacate;
mod walk;

use core::alloc::Layout;
use core::marker::PhantomData;

use allocator_api2::alloc::Allocator;

use crate::geometry::{CHUNK_SLOTS_MAX, Geometry};
use directory::Directory;
use fill::Untouched;
pub(crate) use lists::Relisting;
use slot::{Link, Slot};
pub use walk::Loan;
pub(crate) use walk::{Span, Walk};

/// No chunk: ends the list of fresh ones.
const NONE: u32 = u32::MAX;

/// The generation of a slot that is not filled again, because the generations are used up. Even,
/// and so the last live one is `RETIRED - 1`.
pub(crate) const RETIRED: u32 = u32::MAX - 1;

/// Slots that are past this generation have spent more than half of their lives and are *worn*. What raises
/// generations of many slots for the sake of one leaves out worn ones: a floor that `shrink_to` or a
/// serialised allocator keeps, and the levelling of a cleared chunk. So one worn slot never wears others.
pub(crate) const WORN: u32 = 1 << 31;

/// What [`Storage::generation_step`] is where a handle is stale once its value is gone.
const NEXT_LIFE: u32 = 1;

/// What [`Storage::generation_step`] is where a handle may be used again once its value is gone: minus one.
const SAME_LIFE: u32 = u32::MAX;

/// The generations of all chunks that are not held: no handle fits, because zero is even.
static NEVER: [u32; CHUNK_SLOTS_MAX] = [0; CHUNK_SLOTS_MAX];

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
///   chunks that are not retired; `untouched` names the last slots of one such chunk, all of one
///   generation; and `fresh` and the records' links name such chunks that are fresh or cleared, all slots of
///   which are dead and not retired. No slot is named twice. A listed slot may only be filled by the one that takes it off its list.
/// - **S4 (counts)**: all live slots are in carved chunks; `carved` counts the slots of these, and
///   `retired` those that are retired. If `listed`, each other dead slot of a carved chunk is listed;
///   otherwise `settled` counts the live slots, the listed ones and the retired ones.
pub(crate) struct Storage<T, A: Allocator> {
    directory: Directory,
    /// The generations of a chunk: no handle to a slot beyond leads anywhere.
    chunk_len: usize,
    slots_offset: usize,
    /// The vacant slot filled next; the rest hang on it.
    head: Link,
    /// Whether every vacant slot is on a list, so that the lists say how many there are.
    listed: bool,
    untouched: Untouched<T>,
    carved: usize,
    /// What stands for `carved` while not every vacant slot is listed.
    settled: usize,
    /// The fresh or cleared chunk whose slots are handed out next.
    fresh: u32,
    /// The last chunk on that list, unless it is empty.
    fresh_last: u32,
    /// No slab below this one can be acquired.
    vacant_from: u32,
    held_slabs: u32,
    retired: usize,
    /// Generations of slabs acquired from now on start here, or higher if their records say so; even.
    floor: u32,
    /// What vacating a slot adds to its generation, wrapping: [`NEXT_LIFE`] or [`SAME_LIFE`]. It takes one
    /// instruction, as a constant would.
    generation_step: u32,
    pub geometry: Geometry,
    source: A,
    values: PhantomData<T>,
}

// SAFETY: the storage owns its chunks and the values in them; `NEVER` is only read.
unsafe impl<T: Send, A: Allocator + Send> Send for Storage<T, A> {}
// SAFETY: through `&Storage` chunks are only read, and values lent as `&T`.
unsafe impl<T: Sync, A: Allocator + Sync> Sync for Storage<T, A> {}

impl<T, A: Allocator> Storage<T, A> {
    /// Returns an empty storage in which a handle is stale once its value is gone.
    pub const fn new(slab_capacity: usize, source: A) -> Self {
        Self::with_geometry(Geometry::new(slab_capacity), NEXT_LIFE, source)
    }

    /// Returns an empty storage in which a handle may be used again once its value is gone. Its lists are not
    /// to be used: slots are filled by name.
    pub const fn reusing_handles(slab_capacity: usize, source: A) -> Self {
        Self::with_geometry(Geometry::new(slab_capacity), SAME_LIFE, source)
    }

    const fn with_geometry(geometry: Geometry, generation_step: u32, source: A) -> Self {
        Self {
            directory: Directory::new(),
            chunk_len: geometry.chunk_len as usize,
            slots_offset: geometry.slots_offset(Layout::new::<Slot<T>>()),
            head: Link::END,
            listed: true,
            untouched: Untouched::NONE,
            carved: 0,
            settled: 0,
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

    // Queries.

    /// Returns the number of values. *O*(1).
    #[inline]
    pub fn live_count(&self) -> usize {
        let vacant = self.head.depth() as usize + self.untouched.count() as usize;
        let slots = if self.listed { self.carved } else { self.settled };
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

    /// Slab ids that are told apart: those held, and those below the last of them or not forgotten.
    pub fn slab_ids(&self) -> u32 {
        self.directory.len() / self.geometry.chunks_per_slab
    }

    pub fn source(&self) -> &A {
        &self.source
    }
}
