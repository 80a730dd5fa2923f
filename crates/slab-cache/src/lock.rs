//! The lock of a cache that one thread uses.

use core::any::TypeId;

use lock_api::RawMutex;

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
pub use slab_traits::LocalMutex as NoLock;

/// Returns whether a lock says that the cache stays on one thread. Known at compile time.
#[inline(always)]
pub(crate) fn is_local<R: RawMutex + 'static>() -> bool {
    TypeId::of::<R>() == TypeId::of::<NoLock>()
}
