//! The lock of a cache that one thread uses.
#![expect(unsafe_code, reason = "RawMutex is an unsafe trait")]

use core::any::TypeId;
use core::cell::Cell;
use core::fmt;

use lock_api::{GuardNoSend, RawMutex};

/// No lock: for a cache that stays on one thread, with all of its boxes.
///
/// Neither cache nor boxes are `Send`, so the compiler sees to it. A cache with this lock executes no
/// atomic instruction and does not look at the lock at all.
///
/// ```compile_fail,E0277
/// use slab_cache::{NoLock, SlabCache};
///
/// fn sent<T: Send>(_: T) {}
/// sent(SlabCache::<u64, NoLock>::new());
/// ```
///
/// # Panics
///
/// Used as a lock by itself, locking it twice panics.
pub struct NoLock {
    locked: Cell<bool>,
}

// SAFETY: the flag is not `Sync`, so that one thread at a time can reach it, and that thread gets the
// lock only while the flag is clear.
unsafe impl RawMutex for NoLock {
    const INIT: Self = Self { locked: Cell::new(false) };
    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock(&self) {
        assert!(self.try_lock(), "what one thread uses was entered while it was in use");
    }

    #[inline]
    fn try_lock(&self) -> bool {
        !self.locked.replace(true)
    }

    #[inline]
    unsafe fn unlock(&self) {
        self.locked.set(false);
    }
}

impl fmt::Debug for NoLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoLock")
    }
}

/// Returns whether a lock says that the cache stays on one thread. Known at compile time.
#[inline(always)]
pub(crate) fn is_local<R: RawMutex + 'static>() -> bool {
    TypeId::of::<R>() == TypeId::of::<NoLock>()
}
