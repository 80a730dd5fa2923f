//! The lock for an adapter that one thread uses.
#![expect(unsafe_code, reason = "RawMutex is an unsafe trait")]

use core::cell::Cell;
use core::fmt;

use lock_api::{GuardNoSend, RawMutex};

/// The lock of [`Local`](crate::Local): a flag without atomic instructions.
///
/// # Panics
///
/// Locking it twice panics instead of waiting. Only an allocator that calls its own adapter does that.
pub struct LocalMutex {
    locked: Cell<bool>,
}

// SAFETY: `LocalMutex` is not `Sync`, so only one thread at a time can use it, and that thread gets the lock
// only while the flag is clear.
unsafe impl RawMutex for LocalMutex {
    const INIT: Self = Self { locked: Cell::new(false) };
    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock(&self) {
        assert!(self.try_lock(), "a single-threaded heap was entered while it was in use");
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

impl fmt::Debug for LocalMutex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalMutex").field("locked", &self.locked.get()).finish()
    }
}
