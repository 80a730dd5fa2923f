//! A thread's caches, one per pool, and a pointer to the one that it used last.
//!
//! The list of caches has a destructor, so the standard library checks at each access whether it has run. The pointer to
//! the cache used last is in a cell without a destructor, and the hot path reads only that.
#![expect(unsafe_code, reason = "a pointer into the list that skips the list's checks")]

use std::cell::{Cell, RefCell};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use crate::core::{Core, PoolBuffer};
use crate::key::{Key, PoolKey};
use crate::magazine::Cache;
use crate::pool_cache::PoolCache;

/// The cache that the thread used last.
///
/// # Invariants
///
/// - **T1 (alive)**: unless `pool` is [`PoolKey::NONE`], `magazines` points into a cache that a [`CacheBox`] of this thread
///   owns, and `pool` is the key of that cache's pool.
/// - **T2 (exclusive)**: a reference through `magazines` lives only within [`hot_pop`] and [`hot_push`], which call nothing
///   that gets back to this module. Every other way to a cache sets `pool` to `NONE` before it begins.
struct Hot {
    pool: Cell<PoolKey>,
    magazines: Cell<*mut Cache<PoolBuffer>>,
}

thread_local! {
    static HOT: Hot = const {
        Hot { pool: Cell::new(PoolKey::NONE), magazines: Cell::new(ptr::null_mut()) }
    };
    static CACHES: RefCell<Vec<CacheBox>> = const { RefCell::new(Vec::new()) };
}

/// Returns the cache used last and the class of `key`, if that is a key of its pool that may take the fast path.
#[inline(always)]
fn hot(key: Key) -> Option<(*mut Cache<PoolBuffer>, usize)> {
    // One closure for both cells, so that the address of the thread-local is computed once.
    let (pool, magazines) = HOT.with(|hot| (hot.pool.get(), hot.magazines.get()));
    Some((magazines, key.fast_class(pool)?))
}

/// Takes a buffer from the cache used last, if it belongs to the pool of `key` and has one.
#[inline(always)]
pub fn hot_pop(key: Key) -> Option<Box<PoolBuffer>> {
    let (magazines, class) = hot(key)?;
    // SAFETY: no key has a fast class in `PoolKey::NONE`, so the pointer is good by T1; the reference is the only one by T2.
    let magazines = unsafe { &mut *magazines };
    magazines.pop(class)
}

/// Puts a buffer into the cache used last, if it belongs to the buffer's pool and has room.
#[inline(always)]
pub fn hot_push(buffer: Box<PoolBuffer>) -> Result<(), Box<PoolBuffer>> {
    let Some((magazines, class)) = hot(buffer.key()) else { return Err(buffer) };
    // SAFETY: no key has a fast class in `PoolKey::NONE`, so the pointer is good by T1; the reference is the only one by T2.
    let magazines = unsafe { &mut *magazines };
    magazines.push(class, buffer)
}

/// Calls `action` on this thread's cache of a pool, which is created if there is none and is then the one used last.
///
/// Returns `None`, without having called `action`, if the thread ends and its caches are gone, or if they are in
/// use by a caller further up the stack. *O*(pools that the thread used).
pub fn with_cache<R>(core: &Arc<Core>, action: impl FnOnce(&mut PoolCache) -> R) -> Option<R> {
    forget_hot();
    let entered = CACHES.try_with(|caches| {
        let mut caches = caches.try_borrow_mut().ok()?;
        let found = caches.iter().position(|cache| cache.get().core.key == core.key);
        let index = found.unwrap_or_else(|| {
            caches.retain(|cache| !cache.get().is_closed());
            caches.push(CacheBox::new(PoolCache::new(core)));
            caches.len() - 1
        });
        let cache = &mut caches[index];
        let result = action(cache.get_mut());
        HOT.with(|hot| {
            hot.magazines.set(cache.magazines());
            hot.pool.set(core.key);
        });
        Some(result)
    });
    entered.ok().flatten()
}

/// Removes this thread's cache of a pool.
pub fn remove_cache(pool: PoolKey) {
    forget_hot();
    // If the list is gone, or in use further up the stack, there is nothing to remove, or not now.
    let _ = CACHES.try_with(|caches| {
        if let Ok(mut caches) = caches.try_borrow_mut() {
            caches.retain(|cache| cache.get().core.key != pool);
        }
    });
}

/// Sends the hot paths of this thread into their slow paths, until a call of [`with_cache`] has ended.
fn forget_hot() {
    HOT.with(|hot| hot.pool.set(PoolKey::NONE));
}

/// A cache that does not move, so that [`Hot`] may point into it.
///
/// # Invariants
///
/// - **C1 (owned)**: the pointer came from a box, and this value is its only owner.
struct CacheBox(NonNull<PoolCache>);

impl CacheBox {
    fn new(cache: PoolCache) -> Self {
        Self(NonNull::from(Box::leak(Box::new(cache))))
    }

    fn get(&self) -> &PoolCache {
        // SAFETY: C1 keeps it alive. A mutable reference comes from `get_mut`, which excludes this borrow, or through
        // `Hot`, and has ended by T2.
        unsafe { self.0.as_ref() }
    }

    fn get_mut(&mut self) -> &mut PoolCache {
        // SAFETY: C1 keeps it alive. Other references come from `get` or `get_mut`, which this borrow excludes, or through
        // `Hot`, and have ended by T2.
        unsafe { self.0.as_mut() }
    }

    /// Returns the address of the cache's magazines, good for as long as this value lives. The pointer is derived from this
    /// value's own, and not from a reference, so that later borrows do not invalidate it.
    fn magazines(&mut self) -> *mut Cache<PoolBuffer> {
        // SAFETY: the place exists by C1, and only its address is taken.
        unsafe { &raw mut (*self.0.as_ptr()).magazines }
    }
}

impl Drop for CacheBox {
    fn drop(&mut self) {
        // For T1: `Hot` does not point here from now on. `with_cache` cannot set it again before the cache is gone, because
        // the list is borrowed or destroyed.
        forget_hot();
        // SAFETY: the pointer came from a box of which this value is the only owner (C1), and the value ends here.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
