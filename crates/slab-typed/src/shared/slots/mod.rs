//! The slots of a [`SharedSlab`](super::SharedSlab), and all its unsafe code.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | stored | the slot has a value that handles lead to; its generation is odd |
//! | removed | a thread took the value out of reach; it may still be read, and is not dropped yet |
//! | vacant | the slot can be filled |
//! | retired | the slot is never filled again, because its generations are used up |
//! | token | the right to fill a vacant slot, or the duty to drop a removed value: one for each slot that is neither stored nor retired |
//! | record | the state of one thread in one slab |
//! | announce | to let removals know what a thread reads: a *cell* with one slot, or a *pin*, which stands for all slots |
//! | pending, waiting | removed slots that were announced when they were removed; the ones that the collector looks at now |
//! | collector | the one thread that drops what waits and is announced no more |
//! | clock | a number that rises whenever pending slots begin to wait |
//!
//! # Why it is sound
//!
//! - **S1 (generation)**: the generation of a slot is odd exactly while the slot is stored. Only the holder of the token
//!   makes it odd, by a Release store after the value was written. Only a compare-and-swap from an odd generation makes it
//!   even; the thread whose swap succeeds gets the token. Generations only rise, so one that was left never comes back.
//! - **S2 (token)**: a token is in one place: a bit of a set of the chunk, a cell of a ring, or the hands of one thread.
//!   It leaves a bit or a cell by an atomic exchange with Acquire, which gives it to one thread, and is put there with
//!   Release. So all uses of a slot's memory by holders of its token are in one order of happens-before.
//! - **S3 (announced)**: a thread that reads a slot announces first, then executes a SeqCst fence, then loads the generation
//!   with Acquire, and reads only if it is the handle's. It ends the announcement with Release after its last read.
//! - **S4 (removed)**: the holder of the token of a removed slot executes a SeqCst fence after the compare-and-swap, and then
//!   looks at all announcements with Acquire. It drops the value only if none is for the slot.
//! - **S5 (clock)**: a pin announces the clock as it was before its fence. The slots that begin to wait have a *tag*: the
//!   clock, which rises past it after the fences of their removals and before any of them is dropped. A pin of a later
//!   clock is no announcement for them: fences and changes of the clock are in one order, so its fence comes after theirs,
//!   and it sees their generations even.
//! - **S6 (memory)**: chunks and records stay until the slab is dropped, so any index can be looked up. The memory of the
//!   values of a chunk is released only by the holder of the tokens of all its slots, or if all are retired.
//! - **S7 (threads)**: only the thread that has its number uses a record, except for announcements, the ends of guards, and
//!   the cells of rings, which have atomic exchanges for that.
//!
//! *No value is read after it is dropped.* Let R be the fence of a reader by S3, M the fence of the removal by S4. Fences
//! are totally ordered. If R comes first, the removal sees the announcement, or a later store to the same place. That is
//! its end, or a new announcement; both are Release stores, so the reads of the reader happen before the drop. If M comes
//! first, the reader's load sees the even generation, and does not read. For a pin, S5 excludes slots removed before. A
//! removed value whose slot is announced keeps its token in `pending` or `waiting`, and the collector repeats S4 for it.
//!
//! *No value is written while it is read.* Only the holder of a token writes. It was put in its place after the drop, which
//! by the above comes after all reads; S2 orders the rest.
//!
//! *No value is dropped twice or read before it is written*: S1 and S2.
//!
//! *A value is moved out* under the condition under which it would be dropped: by the holder of the token, if by S4 no
//! announcement is for its slot.
//!
//! *Operations with `&mut self`* need neither fences nor announcements. Guards and pins borrow the slab, so those that are
//! left were forgotten and never read again.
//!
//! The announcement of a forgotten guard or pin never ends. The value of its slot, or of all slots removed from then on, stays
//! until the slab is dropped.
//!
//! Values without a destructor need no drop, so a thread puts their tokens into its ring and does what S4 demands once for
//! many of them, before it takes them out as vacant.
//!
//! Modules from the bottom up:
//!
//! | module | |
//! |---|---|
//! | `sync` | atomics, of `core` or of loom |
//! | `threads` | a number for each thread |
//! | `ring` | the tokens that a thread has at hand |
//! | `record` | announcements and rings of a thread |
//! | `chunk` | generations and sets of slots |
//! | `memory` | the blocks of memory, and how they are found |
//! | `fill` | vacant slots: where threads get them and put them |
//! | `reserve` | chunks acquired before they are needed |
//! | `collect` | removed slots: when their values are dropped |
//! | `compact` | releases chunks |
//! | `walk` | from one stored slot to the next |
//! | `reading` | guards and pins |
//! | `exclusive`, `shrink` | operations of the only user of the slab |
#![expect(
    unsafe_code,
    reason = "values lie in raw memory; tokens and announcements say who may use it"
)]

mod chunk;
mod collect;
mod compact;
mod exclusive;
mod fill;
mod memory;
mod reading;
mod record;
mod reserve;
mod ring;
mod shrink;
mod sync;
pub mod threads;
mod walk;

use core::mem::needs_drop;
use core::ptr::NonNull;

use allocator_api2::alloc::Allocator;
use slab_core::OnDrop;

use crate::error::{SlabError, TakeError};
use crate::geometry::{chunk_of, first_index, slot_of};
use crate::handle::SlotHandle;
use chunk::{Chunk, ChunkList, SLOTS_MAX, WORD_SLOTS, slots_per_chunk};
pub use exclusive::EntriesMut;
use memory::Memory;
pub use reading::{Entries, Guard, Pin};
use record::Record;
pub(super) use sync::const_fn;
use sync::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
pub use walk::Walk;

/// The slots, and what all threads share of their bookkeeping.
#[derive(Debug)]
pub struct Slots<T, A: Allocator> {
    memory: Memory<T, A>,
    /// The chunks with vacant slots.
    available: ChunkList,
    /// The chunks with pending slots.
    to_collect: ChunkList,
    /// Starts at one, because zero is no pin.
    clock: AtomicU64,
    /// Guards and pins of threads that found no cell or no record. Each counts as a pin of the oldest clock.
    crowd: AtomicUsize,
    /// Pending and waiting slots.
    deferred: AtomicUsize,
    /// Calls for a collector since the current one began its round, or zero if there is none.
    collecting: AtomicUsize,
    /// The first chunk plus one whose slots wait. Only the collector uses it.
    waiting: AtomicU32,
    /// The clock when they began to wait. Only the collector uses it.
    tag: AtomicU64,
    /// Retired slots of chunks whose memory is held.
    retired: AtomicUsize,
    /// Values stored minus values removed by threads without records. It wraps.
    unrecorded_live: AtomicUsize,
}

// SAFETY: the slots own their values, and the source with its blocks; no part depends on the thread.
unsafe impl<T: Send, A: Allocator + Send> Send for Slots<T, A> {}
// SAFETY: through `&Slots` threads share values as `&T`, and store and drop values on any thread, so `T` has to be `Sync`
// and `Send`. They share the source as `&A`. The rest are atomics and a lock.
unsafe impl<T: Send + Sync, A: Allocator + Sync> Sync for Slots<T, A> {}

/// A slot that was found by an index.
struct Place<'a, T> {
    chunk: &'a Chunk<T>,
    number: u32,
    slot: usize,
}

impl<T> Place<'_, T> {
    fn index(&self) -> u32 {
        first_index(self.number) + self.slot as u32
    }

    /// The word of a set, and the bit in it.
    fn bit(&self) -> (usize, u64) {
        (self.slot / WORD_SLOTS, 1 << (self.slot % WORD_SLOTS))
    }
}

impl<'a, T> Place<'a, T> {
    #[inline]
    fn generation(&self) -> &'a AtomicU32 {
        &self.chunk.generations[self.slot]
    }

    /// The memory of the slot. It is held if the slot is stored, or if the caller has the token, by S6.
    ///
    /// # Safety
    ///
    /// The memory is held.
    #[inline]
    unsafe fn value(&self) -> NonNull<T> {
        // Relaxed: whoever knows that the memory is held knows it from after the store of the pointer.
        let values = self.chunk.values.load(Ordering::Relaxed);
        // SAFETY: the memory is held, so the block has a slot of this number, and is not null.
        unsafe { NonNull::new_unchecked(values.add(self.slot)) }
    }
}

impl<T, A: Allocator> Slots<T, A> {
    /// Whether a removed value has to be dropped.
    const NEEDS_DROP: bool = needs_drop::<T>();

    const_fn! {
        pub fn new(source: A) -> Self {
            Self {
                memory: Memory::new(source),
                available: ChunkList::new(),
                to_collect: ChunkList::new(),
                clock: AtomicU64::new(1),
                crowd: AtomicUsize::new(0),
                deferred: AtomicUsize::new(0),
                collecting: AtomicUsize::new(0),
                waiting: AtomicU32::new(0),
                tag: AtomicU64::new(0),
                retired: AtomicUsize::new(0),
                unrecorded_live: AtomicUsize::new(0),
            }
        }
    }

    /// Finds the slot of an index, which may be any number.
    #[inline]
    fn find(&self, index: u32) -> Option<Place<'_, T>> {
        let (number, slot) = (chunk_of(index), slot_of(index) as usize);
        // Never, but under loom and Miri, where chunks are small.
        if slot >= SLOTS_MAX {
            return None;
        }
        Some(Place { chunk: self.memory.chunk(number)?, number, slot })
    }

    /// Finds the slot of a token.
    #[inline]
    fn place(&self, index: u32) -> Place<'_, T> {
        self.find(index).expect("a token names a slot")
    }

    /// Stores a value.
    ///
    /// # Errors
    ///
    /// The value, if memory is refused.
    #[inline]
    pub fn insert(&self, value: T) -> Result<SlotHandle, (T, SlabError)> {
        let record = self.memory.record();
        let index = match self.take_vacant(record) {
            Ok(index) => index,
            Err(error) => return Err((value, error)),
        };
        let place = self.place(index);
        Ok(self.store(record, &place, value))
    }

    /// Stores what a closure returns, to which it passes the handle.
    ///
    /// # Errors
    ///
    /// If memory is refused. The closure is not called.
    pub fn insert_with(
        &self,
        value: impl FnOnce(SlotHandle) -> T,
    ) -> Result<SlotHandle, SlabError> {
        let index = self.take_vacant(self.memory.record())?;
        let place = self.place(index);
        let handle = SlotHandle::live(index, place.generation().load(Ordering::Relaxed));
        let unused = OnDrop::new(index, |index| self.put_vacant(self.memory.record(), *index));
        let value = value(handle);
        unused.disarm();
        Ok(self.store(self.memory.record(), &place, value))
    }

    /// Stores a value in a slot of which the caller has the token.
    #[inline]
    fn store(&self, record: Option<&Record>, place: &Place<'_, T>, value: T) -> SlotHandle {
        // Relaxed: only the holder of the token changes an even generation, by S1.
        let generation = place.generation().load(Ordering::Relaxed) + 1;
        // SAFETY: the caller has the token, so the memory is held, and by S2 and S4 nothing else uses it.
        unsafe { place.value().write(value) };
        // Release: whoever sees the generation sees the value.
        place.generation().store(generation, Ordering::Release);
        self.count(record, 1);
        SlotHandle::live(place.index(), generation)
    }

    /// Removes a value, and returns whether there was one.
    #[inline]
    pub fn remove(&self, handle: SlotHandle) -> bool {
        let Some(place) = self.find(handle.index()) else { return false };
        self.remove_at(&place, handle.generation())
    }

    /// Removes the value of a slot, if it is stored in this generation, which is odd.
    #[inline]
    fn remove_at(&self, place: &Place<'_, T>, generation: u32) -> bool {
        if !Self::begin_removal(place, generation) {
            return false;
        }
        let record = self.memory.record();
        self.count(record, 1_usize.wrapping_neg());
        match record {
            // A slot whose generations are used up does not go into a ring.
            Some(record) if !Self::NEEDS_DROP && generation < fill::LAST_VACANT - 1 => {
                self.put_removed(record, place.index());
            }
            _ => self.drop_removed(record, place),
        }
        true
    }

    /// Makes a slot removed, if it is stored in this generation, which is odd. The caller gets its token.
    #[inline]
    fn begin_removal(place: &Place<'_, T>, generation: u32) -> bool {
        // Acquire: the value was written before. Release: not needed by S2, which begins here, but what this thread did
        // before the removal happens before what a thread does that sees it.
        let (done, failed) = (Ordering::AcqRel, Ordering::Relaxed);
        place.generation().compare_exchange(generation, generation + 1, done, failed).is_ok()
    }

    /// Removes a value and moves it out, if nothing may read it.
    ///
    /// # Errors
    ///
    /// If there is no value, or if it was removed and is dropped later because a guard or pin may read it.
    pub fn take(&self, handle: SlotHandle) -> Result<T, TakeError> {
        let place = self.find(handle.index()).ok_or(TakeError::NotFound)?;
        if !Self::begin_removal(&place, handle.generation()) {
            return Err(TakeError::NotFound);
        }
        let record = self.memory.record();
        self.count(record, 1_usize.wrapping_neg());
        self.take_removed(record, &place).ok_or(TakeError::StillRead)
    }

    /// Removes all values. If a destructor panics, the other values are removed all the same; if another one panics
    /// meanwhile, the program aborts.
    pub fn clear(&self) {
        let mut rest = OnDrop::new(self.walk(), |walk| self.remove_all(walk));
        self.remove_all(&mut rest);
    }

    fn remove_all(&self, walk: &mut Walk) {
        while let Some((place, generation)) = self.next_stored(walk) {
            self.remove_at(&place, generation);
        }
    }

    /// Returns whether a handle leads to a value. *O*(1), without a fence.
    #[inline]
    pub fn contains(&self, handle: SlotHandle) -> bool {
        self.find(handle.index())
            .is_some_and(|place| place.generation().load(Ordering::Acquire) == handle.generation())
    }

    /// Counts values stored.
    #[inline]
    fn count(&self, record: Option<&Record>, change: usize) {
        match record {
            Some(record) => record.count(change),
            None => {
                self.unrecorded_live.fetch_add(change, Ordering::Relaxed);
            }
        }
    }

    /// Returns the number of values. *O*(threads that used the slab).
    pub fn len(&self) -> usize {
        let unrecorded = self.unrecorded_live.load(Ordering::Relaxed);
        let live = self.memory.records().map(Record::live).fold(unrecorded, usize::wrapping_add);
        // While other threads insert and remove, the sum may miss insertions whose removals it has.
        if live > isize::MAX as usize { 0 } else { live }
    }

    /// Returns the slots whose memory is held, but for retired ones.
    pub fn capacity(&self) -> usize {
        let slots = self.memory.held_chunks() * slots_per_chunk::<T>();
        slots.saturating_sub(self.retired.load(Ordering::Relaxed))
    }

    pub fn held_chunks(&self) -> usize {
        self.memory.held_chunks()
    }

    pub fn held_bytes(&self) -> usize {
        self.memory.held_bytes()
    }

    pub fn source(&self) -> &A {
        &self.memory.source
    }
}
