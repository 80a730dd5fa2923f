//! A thread's caches, one per pool, and the one it used last without a look.
//!
//! The list of caches has a destructor, and the standard library checks at each access whether it has
//! run. The pool that was used last is therefore remembered in a cell that has none.

use std::cell::{Cell, RefCell};
use std::ptr::{self, NonNull};

use crate::buffer::{Buffer, base};
use crate::cache::Cache;
use crate::magazine::{CLASSES_MAX, Local};

/// The cache used last.
///
/// # Invariants
///
/// - **T1 (alive)**: while `base` is not zero, `local` points into a cache that a [`Slot`] of this thread owns.
/// - **T2 (exclusive)**: a reference through `local` lives within [`hot_pop`] and [`hot_push`] alone, which call
///   nothing that comes back here. Every other way to a cache sets `base` to zero before it begins.
struct Hot {
    /// What the keys of that pool have in common, or zero.
    base: Cell<u64>,
    local: Cell<*mut Local<Buffer>>,
}

thread_local! {
    static HOT: Hot = const { Hot { base: Cell::new(0), local: Cell::new(ptr::null_mut()) } };
    static SLOTS: RefCell<Vec<Slot>> = const { RefCell::new(Vec::new()) };
}

/// Returns where the local part of the pool used last is, and the class that a key names there; `None` for a key of
/// another pool, whose base differs above the class, and for one with a flag set.
#[inline(always)]
fn hot(key: u64) -> Option<(*mut Local<Buffer>, usize)> {
    // Both are read at once, so that the address of the thread's own memory is computed once.
    let (base, local) = HOT.with(|hot| (hot.base.get(), hot.local.get()));
    let class = key ^ base;
    (class < CLASSES_MAX as u64).then_some((local, class as usize))
}

/// Takes a buffer from the cache of that pool, if it is the one used last and has one.
#[inline(always)]
pub fn hot_pop(key: u64) -> Option<Box<Buffer>> {
    let (local, class) = hot(key)?;
    // SAFETY: keys are at least as large as the smallest base, so with a base of zero this place is not
    // reached: T1 makes it good and T2 the only reference.
    let local = unsafe { &mut *local };
    local.pop(class)
}

/// Puts a buffer into the cache of that pool, if it is the one used last and has room.
#[inline(always)]
pub fn hot_push(buffer: Box<Buffer>) -> Result<(), Box<Buffer>> {
    let Some((local, class)) = hot(buffer.key()) else { return Err(buffer) };
    // SAFETY: as in `hot_pop`.
    let local = unsafe { &mut *local };
    local.push(class, buffer)
}

/// Works on the cache of a pool, which is made if there is none; the pool is then the one used last.
///
/// `None` without having called `action` if the thread's caches are gone, because the thread ends, or in
/// use further up the stack. *O*(pools that the thread used).
pub fn with_cache<R>(
    id: u64,
    make: impl FnOnce() -> Cache,
    action: impl FnOnce(&mut Cache) -> R,
) -> Option<R> {
    forget_hot();
    let entered = SLOTS.try_with(|slots| {
        let mut slots = slots.try_borrow_mut().ok()?;
        let found = slots.iter().position(|slot| slot.get().id == id);
        let index = found.unwrap_or_else(|| {
            slots.retain(|slot| !slot.get().is_closed());
            slots.push(Slot::new(make()));
            slots.len() - 1
        });
        let slot = &mut slots[index];
        let result = action(slot.get_mut());
        HOT.with(|hot| {
            hot.local.set(slot.local());
            hot.base.set(base(id));
        });
        Some(result)
    });
    entered.ok().flatten()
}

/// Ends this thread's cache of a pool.
pub fn remove_cache(id: u64) {
    forget_hot();
    // Without the list there is no cache either.
    let _ = SLOTS.try_with(|slots| {
        if let Ok(mut slots) = slots.try_borrow_mut() {
            slots.retain(|slot| slot.get().id != id);
        }
    });
}

/// Sends everybody through the list, until somebody has come out of it again.
fn forget_hot() {
    HOT.with(|hot| hot.base.set(0));
}

/// A cache that does not move, so that [`Hot`] may point to it.
///
/// # Invariants
///
/// - **C1 (owned)**: the pointer came from a box, and this value is its only owner.
struct Slot(NonNull<Cache>);

impl Slot {
    fn new(cache: Cache) -> Self {
        Self(NonNull::from(Box::leak(Box::new(cache))))
    }

    fn get(&self) -> &Cache {
        // SAFETY: C1 keeps it alive; a mutable borrow is either `get_mut`'s, which excludes this, or
        // through `Hot`, over before this began by T2.
        unsafe { self.0.as_ref() }
    }

    fn get_mut(&mut self) -> &mut Cache {
        // SAFETY: as above.
        unsafe { self.0.as_mut() }
    }

    /// Returns where the cache's local part is, for as long as the slot lives. The pointer is the
    /// slot's own, not one through a reference, so that later borrows that end do not spoil it.
    fn local(&mut self) -> *mut Local<Buffer> {
        // SAFETY: C1: the place exists; only its address is taken.
        unsafe { &raw mut (*self.0.as_ptr()).local }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // T1: nobody points here from now on, and nothing sets it again before the cache is gone: the
        // list is borrowed, or destroyed.
        forget_hot();
        // SAFETY: C1, and the value ends here.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
