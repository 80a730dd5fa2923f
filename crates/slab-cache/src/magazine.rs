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

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::vec::Vec;

use allocator_api2::alloc::Allocator;
use lock_api::RawMutex;
use slab_core::Mode;
use slab_core::sync::atomic::AtomicU8;

use crate::shared::CoreRef;

/// Slots of a magazine.
const CAPACITY: usize = 32;
/// Slots that move at once.
const BATCH: usize = CAPACITY / 2;

const NONE: u8 = 0;
const OPEN: u8 = 1;
const CLOSED: u8 = 2;

/// Gives slots back to the slabs of the core that is named by its erased pointer.
type GiveBack = unsafe fn(core: NonNull<()>, slots: &[NonNull<u8>]);

/// What the caches of threads know of a cache. It lies at the start of the core.
#[derive(Debug)]
pub struct Anchor {
    state: AtomicU8,
    /// Unique among the caches with magazines that exist.
    id: u32,
    give_back: GiveBack,
}

impl Anchor {
    /// Returns the anchor of a cache without magazines.
    pub fn none() -> Self {
        Self { state: AtomicU8::new(NONE), id: 0, give_back: |_, _| {} }
    }

    /// Returns the anchor of a cache with magazines; `None` without memory for that.
    pub fn new<T, R, A, M, const SLAB_SIZE: usize>() -> Option<Self>
    where
        R: RawMutex + 'static,
        A: Allocator + 'static,
        M: Mode,
    {
        let give_back: GiveBack = |core, slots| {
            // SAFETY: called with the core that the anchor lies in, while it has used slots.
            let core = unsafe { CoreRef::<R, A>::from_erased(core) };
            // SAFETY: the slots belong to that cache, and are given up by the magazine.
            unsafe { core.free_all::<T, M, SLAB_SIZE>(slots) };
        };
        Some(Self { state: AtomicU8::new(OPEN), id: take_id()?, give_back })
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

/// Makes the number of a cache that ends available again.
pub fn retire(anchor: &Anchor) {
    if anchor.is_some() {
        let mut ids = IDS.lock().unwrap_or_else(PoisonError::into_inner);
        ids.free.push(anchor.id);
    }
}

/// Numbers of caches. `free` has room for all numbers that were given out.
struct Ids {
    free: Vec<u32>,
    next: u32,
}

static IDS: Mutex<Ids> = Mutex::new(Ids { free: Vec::new(), next: 0 });
/// Counts caches that were closed.
static CLOSURES: AtomicUsize = AtomicUsize::new(0);

fn take_id() -> Option<u32> {
    let mut ids = IDS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(id) = ids.free.pop() {
        return Some(id);
    }
    let next = ids.next;
    // Now, so that `retire` does not have to ask for memory.
    ids.free.try_reserve(next as usize + 1).ok()?;
    ids.next = next.checked_add(1)?;
    Some(next)
}

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

    /// Removes up to `count` of the oldest slots.
    fn remove_oldest(&mut self, count: usize) -> Batch {
        let count = count.min(self.len).min(BATCH);
        let mut batch = Batch::new();
        for slot in &self.slots[..count] {
            // SAFETY: by G1 the entry is initialised.
            batch.push(unsafe { slot.assume_init() });
        }
        self.slots.copy_within(count..self.len, 0);
        self.len -= count;
        batch
    }
}

/// Slots on their way between a magazine and the slabs.
struct Batch {
    len: usize,
    slots: [NonNull<u8>; BATCH],
}

impl Batch {
    const fn new() -> Self {
        Self { len: 0, slots: [NonNull::dangling(); BATCH] }
    }

    fn push(&mut self, slot: NonNull<u8>) {
        self.slots[self.len] = slot;
        self.len += 1;
    }

    fn as_slice(&self) -> &[NonNull<u8>] {
        &self.slots[..self.len]
    }
}

/// The magazines of a thread, by the numbers of their caches.
struct Magazines {
    list: UnsafeCell<Vec<Magazine>>,
    /// How many closures the thread has seen.
    closures: UnsafeCell<usize>,
}

std::thread_local! {
    static MAGAZINES: Magazines = const {
        Magazines { list: UnsafeCell::new(Vec::new()), closures: UnsafeCell::new(0) }
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
    let id = core.anchor().id as usize;
    match with_list(|list| list.get_mut(id)?.pop()).flatten() {
        Some(slot) => Some(slot),
        None => take_batch(core),
    }
}

#[cold]
#[inline(never)]
fn take_batch<R: RawMutex + 'static, A: Allocator>(core: CoreRef<R, A>) -> Option<NonNull<u8>> {
    give_back_closed();
    let room = with_list(|list| list.get_mut(core.anchor().id as usize).is_some());
    let most = if room == Some(true) { BATCH } else { 1 };
    let stride = core.geometry().stride;
    let mut batch = Batch::new();
    core.with_state(|state| {
        while batch.len < most {
            match state.front.take(stride) {
                Some(slot) => batch.push(slot),
                None if core.refill(state) => {}
                None => break,
            }
        }
    });
    let Some((&first, rest)) = batch.as_slice().split_first() else { return core.take_slow() };
    // The first of the batch is on top of the others.
    for &slot in rest.iter().rev() {
        // SAFETY: the slot was just taken.
        unsafe { put(core, slot) };
    }
    Some(first)
}

/// Gives a slot to the thread's magazine, or to the slabs if there is none. *O*(1).
///
/// # Safety
///
/// The slot belongs to the core's cache, which has magazines; the caller gives it up.
#[inline(always)]
pub unsafe fn put<R: RawMutex + 'static, A: Allocator>(core: CoreRef<R, A>, slot: NonNull<u8>) {
    let anchor = core.anchor();
    let done = with_list(|list| {
        let Some(magazine) = list.get_mut(anchor.id as usize) else { return false };
        let Some(entry) = magazine.slots.get_mut(magazine.len) else { return false };
        entry.write(slot);
        if magazine.len == 0 {
            magazine.core = core.erased();
            magazine.give_back = anchor.give_back;
        }
        magazine.len += 1;
        true
    });
    if done != Some(true) {
        put_slow(anchor, core.erased(), slot);
    }
}

#[cold]
#[inline(never)]
fn put_slow(anchor: &Anchor, core: NonNull<()>, slot: NonNull<u8>) {
    let (id, give_back) = (anchor.id as usize, anchor.give_back);
    make_room(id);
    let batch = with_list(|list| {
        let magazine = list.get_mut(id)?;
        let batch =
            if magazine.len == CAPACITY { magazine.remove_oldest(BATCH) } else { Batch::new() };
        magazine.core = core;
        magazine.give_back = give_back;
        magazine.slots[magazine.len].write(slot);
        magazine.len += 1;
        Some(batch)
    });
    match batch.flatten() {
        // SAFETY: by G1 the slots are the cache's, and the magazine has given them up.
        Some(batch) if batch.len > 0 => unsafe { give_back(core, batch.as_slice()) },
        Some(_) => {}
        // SAFETY: the slot is the cache's, and was given up.
        None => unsafe { give_back(core, &[slot]) },
    }
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
        flush_at(core.anchor().id as usize);
    }
}

/// Empties the thread's magazine of that number. The core may be gone afterwards.
fn flush_at(id: usize) {
    loop {
        let batch = with_list(|list| {
            let magazine = list.get_mut(id)?;
            Some((magazine.remove_oldest(BATCH), magazine.core, magazine.give_back))
        });
        match batch.flatten() {
            // SAFETY: by G1 the slots are those of the magazine's core, and it has given them up.
            Some((batch, core, give_back)) if batch.len > 0 => unsafe {
                give_back(core, batch.as_slice());
            },
            _ => return,
        }
    }
}

/// Gives the thread's slots of caches that were closed back, if any cache was since it last looked.
/// *O*(caches) then.
fn give_back_closed() {
    // Relaxed: see `Anchor::close`.
    let closures = CLOSURES.load(Ordering::Relaxed);
    let news = MAGAZINES.try_with(|magazines| {
        let seen = magazines.closures.get();
        // SAFETY: the number is this thread's, and nothing else happens meanwhile.
        let before = unsafe { seen.replace(closures) };
        before != closures
    });
    if news != Ok(true) {
        return;
    }
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
}

/// A thread that ends gives its slots back.
impl Drop for Magazines {
    fn drop(&mut self) {
        for magazine in self.list.get_mut() {
            while magazine.len > 0 {
                let batch = magazine.remove_oldest(BATCH);
                // SAFETY: by G1 the slots are those of the core, and the magazine has given them up.
                unsafe { (magazine.give_back)(magazine.core, batch.as_slice()) };
            }
        }
    }
}
