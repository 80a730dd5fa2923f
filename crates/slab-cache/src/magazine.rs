//! Slots that a thread keeps for itself, so that most of its allocations and frees meet no lock.
//!
//! A thread has a *magazine* for each cache it uses: a stack of up to 32 slots. Slots move between it
//! and the slabs in batches of half a magazine, under one taking of the lock. To the slabs they are
//! live. A thread that ends gives its slots back; one that lives on after a cache was closed does so
//! when it next runs out of slots of some other cache.
//!
//! | anchor state | means | left by |
//! |---|---|---|
//! | `NONE` | the cache has no magazines; frees are remote | – |
//! | `OPEN` | frees go to the thread's magazine | the last handle's drop, under the lock |
//! | `CLOSED` | frees go to the slabs, under the lock | – |
#![expect(unsafe_code, reason = "keeps slots for later, and calls back by an erased pointer")]

extern crate std;

use core::cell::{Cell, UnsafeCell};
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::vec::Vec;

use allocator_api2::alloc::Allocator;
use lock_api::RawMutex;
use slab_core::Mode;
use slab_core::sync::atomic::AtomicU8;

use crate::error::CacheError;
use crate::ids;
use crate::on_drop::OnDrop;
use crate::shared::CoreRef;

/// Slots of a magazine.
const CAPACITY: usize = 32;
/// Slots that move at once.
const BATCH: usize = CAPACITY / 2;

const NONE: u8 = 0;
const OPEN: u8 = 1;
const CLOSED: u8 = 2;

/// Gives the slots of a batch back to the slabs of the core that is named by its erased pointer. If the
/// lock panics, the slots stay in the batch.
type GiveBack = unsafe fn(core: NonNull<()>, batch: &mut Batch);

/// What the caches of threads know of a cache. It lies at the start of the core.
#[derive(Debug)]
pub struct Anchor {
    state: AtomicU8,
    /// Unique among the caches with magazines that exist.
    id: usize,
    give_back: GiveBack,
}

impl Anchor {
    /// Returns the anchor of a cache without magazines.
    pub fn none() -> Self {
        Self { state: AtomicU8::new(NONE), id: 0, give_back: |_, _| {} }
    }

    /// Returns the anchor of a cache with magazines.
    ///
    /// # Errors
    ///
    /// [`CacheError::OutOfMemory`] if there is no memory for the cache's number.
    pub fn new<T, R, A, M, const SLAB_SIZE: usize>() -> Result<Self, CacheError>
    where
        R: RawMutex + 'static,
        A: Allocator + 'static,
        M: Mode,
    {
        let give_back: GiveBack = |core, batch| {
            // SAFETY: called with the core that the anchor lies in, while the batch has slots of it.
            let core = unsafe { CoreRef::<R, A>::from_erased(core) };
            // SAFETY: the slots belong to that cache.
            unsafe { core.free_all::<T, M, SLAB_SIZE>(batch) };
        };
        Ok(Self { state: AtomicU8::new(OPEN), id: ids::take()?, give_back })
    }

    /// Returns whether slots may go to magazines.
    #[inline(always)]
    pub fn is_open(&self) -> bool {
        // Relaxed: a slot that comes late to a magazine is found there when the thread next looks for
        // closed caches, or ends.
        self.state.load(Ordering::Relaxed) == OPEN
    }

    /// Returns whether the cache ever had magazines: then it counts its frees.
    #[inline(always)]
    pub fn is_some(&self) -> bool {
        // Relaxed: never changes.
        self.state.load(Ordering::Relaxed) != NONE
    }

    /// Lets no more slots go to magazines.
    pub fn close(&self) {
        if self.is_some() {
            // Relaxed, both: see `is_open`; the count only says that it is time to look.
            self.state.store(CLOSED, Ordering::Relaxed);
            CLOSURES.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Makes the number available again: no thread has slots of the cache.
impl Drop for Anchor {
    fn drop(&mut self) {
        if self.is_some() {
            ids::release(self.id);
        }
    }
}

/// Counts caches that were closed.
static CLOSURES: AtomicUsize = AtomicUsize::new(0);

/// A thread's slots of one cache.
///
/// # Invariants
///
/// - **G1 (ours)**: the first `len` entries are slots that are live to the slabs of the cache whose
///   core `core` is, and that nobody else has. So that core exists while there is one.
struct Magazine {
    core: NonNull<()>,
    give_back: GiveBack,
    len: usize,
    slots: [MaybeUninit<NonNull<u8>>; CAPACITY],
}

impl Magazine {
    const fn new() -> Self {
        let slots = [MaybeUninit::uninit(); CAPACITY];
        Self { core: NonNull::dangling(), give_back: |_, _| {}, len: 0, slots }
    }

    #[inline(always)]
    fn pop(&mut self) -> Option<NonNull<u8>> {
        let len = self.len.checked_sub(1)?;
        self.len = len;
        let slot = self.slots.get(len)?;
        // SAFETY: by G1 the entry is initialised.
        Some(unsafe { slot.assume_init() })
    }

    /// Adds a slot of the given core, the one of all other slots; `false` if there is no room.
    #[inline(always)]
    fn push(&mut self, core: NonNull<()>, give_back: GiveBack, slot: NonNull<u8>) -> bool {
        let Some(entry) = self.slots.get_mut(self.len) else { return false };
        entry.write(slot);
        if self.len == 0 {
            self.core = core;
            self.give_back = give_back;
        }
        self.len += 1;
        true
    }

    /// Removes up to a batch of the oldest slots from the magazine of that number.
    fn remove_oldest(&mut self, id: usize) -> Batch {
        let count = self.len.min(BATCH);
        let mut batch = Batch::new(id, self.core, self.give_back);
        for slot in &self.slots[..count] {
            // SAFETY: by G1 the entry is initialised.
            batch.push(unsafe { slot.assume_init() });
        }
        self.slots.copy_within(count..self.len, 0);
        self.len -= count;
        batch
    }
}

/// Slots on their way between a magazine and the slabs. It owns them, as G1 says of a magazine.
///
/// A batch that is dropped with slots in it goes to the thread's magazine: a lock has panicked. Slots that
/// find no room there stay in use.
#[derive(Debug)]
pub struct Batch {
    id: usize,
    core: NonNull<()>,
    give_back: GiveBack,
    len: usize,
    slots: [NonNull<u8>; BATCH],
}

impl Batch {
    const fn new(id: usize, core: NonNull<()>, give_back: GiveBack) -> Self {
        Self { id, core, give_back, len: 0, slots: [NonNull::dangling(); BATCH] }
    }

    fn push(&mut self, slot: NonNull<u8>) {
        self.slots[self.len] = slot;
        self.len += 1;
    }

    fn last(&self) -> Option<NonNull<u8>> {
        self.slots.get(self.len.checked_sub(1)?).copied()
    }

    /// Removes the slot that was added last.
    pub fn pop(&mut self) -> Option<NonNull<u8>> {
        let slot = self.last()?;
        self.len -= 1;
        Some(slot)
    }

    /// Moves the slot that was added last to the thread's magazine; `false` if there is no room.
    fn keep_last(&mut self) -> bool {
        let Some(slot) = self.last() else { return false };
        let is_kept = keep(self.id, self.core, self.give_back, slot);
        self.len -= usize::from(is_kept);
        is_kept
    }

    /// Gives the slots back to the slabs. The core may be freed afterwards.
    fn give_back(mut self) {
        if self.len > 0 {
            // SAFETY: the core has used slots, which are the batch's.
            unsafe { (self.give_back)(self.core, &mut self) };
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        while self.keep_last() {}
    }
}

/// The magazines of a thread, by the numbers of their caches.
struct Magazines {
    list: UnsafeCell<Vec<Magazine>>,
    /// How many closures the thread has seen.
    closures: Cell<usize>,
}

std::thread_local! {
    static MAGAZINES: Magazines = const {
        Magazines { list: UnsafeCell::new(Vec::new()), closures: Cell::new(0) }
    };
}

/// Runs `action` on the thread's magazines, unless the thread is past having any. It must not come back
/// here: no slot is given to a slab, and no memory source called, from within.
#[inline(always)]
fn with_list<X>(action: impl FnOnce(&mut Vec<Magazine>) -> X) -> Option<X> {
    MAGAZINES
        .try_with(|magazines| {
            let list = magazines.list.get();
            // SAFETY: the list is this thread's, and no other reference to it exists: `action` does not
            // come back here.
            action(unsafe { &mut *list })
        })
        .ok()
}

/// Takes a slot: the thread's newest, else one of a batch from the slabs. *O*(1).
#[inline(always)]
pub fn take<R: RawMutex + 'static, A: Allocator>(core: CoreRef<R, A>) -> Option<NonNull<u8>> {
    let id = core.anchor().id;
    match with_list(|list| list.get_mut(id)?.pop()).flatten() {
        Some(slot) => Some(slot),
        None => take_batch(core),
    }
}

#[cold]
#[inline(never)]
fn take_batch<R: RawMutex + 'static, A: Allocator>(core: CoreRef<R, A>) -> Option<NonNull<u8>> {
    give_back_closed();
    let (id, give_back) = (core.anchor().id, core.anchor().give_back);
    let has_magazine = with_list(|list| list.get_mut(id).is_some()) == Some(true);
    let most = if has_magazine { BATCH } else { 1 };
    let stride = core.geometry().stride;
    let mut batch = Batch::new(id, core.erased(), give_back);
    core.with_state(|state| {
        while batch.len < most {
            match state.front.take(stride) {
                Some(slot) => batch.push(slot),
                None if core.refill(state) => {}
                None => break,
            }
        }
    });
    // The slot that was taken first serves now, and the next one is on top of the others.
    while batch.len > 1 {
        if !batch.keep_last() {
            // The lock itself has used this cache, and the magazine is full.
            batch.give_back();
            return take(core);
        }
    }
    match batch.pop() {
        Some(slot) => Some(slot),
        None => core.take_slow(),
    }
}

/// Adds a slot to the thread's magazine of that number, which takes it from the caller; `false` if there is
/// none, or it is full.
#[inline(always)]
fn keep(id: usize, core: NonNull<()>, give_back: GiveBack, slot: NonNull<u8>) -> bool {
    let kept = with_list(|list| Some(list.get_mut(id)?.push(core, give_back, slot)));
    kept.flatten() == Some(true)
}

/// Gives a slot to the thread's magazine, or to the slabs if there is none. *O*(1).
///
/// # Safety
///
/// The slot belongs to the core's cache, which has magazines; the caller gives it up.
#[inline(always)]
pub unsafe fn put<R: RawMutex + 'static, A: Allocator>(core: CoreRef<R, A>, slot: NonNull<u8>) {
    let (id, give_back) = (core.anchor().id, core.anchor().give_back);
    if !keep(id, core.erased(), give_back, slot) {
        put_slow(id, core.erased(), give_back, slot);
    }
}

#[cold]
#[inline(never)]
fn put_slow(id: usize, core: NonNull<()>, give_back: GiveBack, slot: NonNull<u8>) {
    make_room(id);
    let replaced = with_list(|list| {
        let magazine = list.get_mut(id)?;
        let is_full = magazine.len == CAPACITY;
        let empty = Batch::new(id, core, give_back);
        let oldest = if is_full { magazine.remove_oldest(id) } else { empty };
        magazine.push(core, give_back, slot);
        Some(oldest)
    });
    let batch = replaced.flatten().unwrap_or_else(|| {
        let mut batch = Batch::new(id, core, give_back);
        batch.push(slot);
        batch
    });
    batch.give_back();
}

/// Gives the thread a magazine of that number, if there is memory for it.
///
/// The program's allocator may stand on a cache with magazines, and come back here: nobody uses the list
/// while it is called.
fn make_room(id: usize) {
    if with_list(|list| id < list.len()) != Some(false) {
        return;
    }
    let mut longer: Vec<Magazine> = Vec::new();
    if longer.try_reserve_exact((id + 1).next_power_of_two()).is_err() {
        return;
    }
    let spare = with_list(|list| {
        if id < list.len() {
            return longer;
        }
        longer.append(list);
        while longer.len() <= id {
            longer.push(Magazine::new());
        }
        core::mem::replace(list, longer)
    });
    drop(spare);
}

/// Gives the thread's slots of a cache back to its slabs.
pub fn flush<R: RawMutex + 'static, A: Allocator>(core: CoreRef<R, A>) {
    if core.anchor().is_some() {
        flush_at(core.anchor().id);
    }
}

/// Gives back the slots of the thread's magazine of that number. The core may be freed afterwards.
///
/// A lock or a source that uses the same cache may fill the magazine again: those slots stay.
fn flush_at(id: usize) {
    for _ in 0..CAPACITY / BATCH {
        let batch = with_list(|list| Some(list.get_mut(id)?.remove_oldest(id)));
        match batch.flatten() {
            Some(batch) if batch.len > 0 => batch.give_back(),
            _ => return,
        }
    }
}

/// Gives the thread's slots of caches that were closed back, if any cache was since it last looked.
/// *O*(caches) then.
fn give_back_closed() {
    // Relaxed: see `Anchor::close`.
    let closures = CLOSURES.load(Ordering::Relaxed);
    let Ok(seen) = MAGAZINES.try_with(|magazines| magazines.closures.replace(closures)) else {
        return;
    };
    if seen == closures {
        return;
    }
    // If a source panics, the thread looks at the other caches next time.
    let again = OnDrop::new(|| _ = MAGAZINES.try_with(|magazines| magazines.closures.set(seen)));
    let count = with_list(|list| list.len()).unwrap_or(0);
    for id in 0..count {
        let is_closed = with_list(|list| {
            let magazine = list.get(id)?;
            if magazine.len == 0 {
                return None;
            }
            // SAFETY: by G1 the core exists, and it begins with its anchor.
            let anchor = unsafe { magazine.core.cast::<Anchor>().as_ref() };
            Some(!anchor.is_open())
        });
        if is_closed.flatten() == Some(true) {
            flush_at(id);
        }
    }
    again.disarm();
}

/// A thread that ends gives its slots back.
impl Drop for Magazines {
    fn drop(&mut self) {
        for (id, magazine) in self.list.get_mut().iter_mut().enumerate() {
            while magazine.len > 0 {
                magazine.remove_oldest(id).give_back();
            }
        }
    }
}
