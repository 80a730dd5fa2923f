//! A lock for one core, which masks interrupts while it is held. It needs no compare-and-swap.
#![expect(unsafe_code, reason = "RawMutex is an unsafe trait")]

use core::sync::atomic::{AtomicBool, Ordering};

use lock_api::{GuardNoSend, RawMutex};

use crate::machine;

/// A lock that masks interrupts while it is held.
pub struct Masked {
    locked: AtomicBool,
    /// Whether interrupts were unmasked before the lock was taken.
    were_unmasked: AtomicBool,
}

// SAFETY: there is one core, so no other code runs while interrupts are masked. A `lock` while the lock is held
// panics, and `try_lock` returns false.
unsafe impl RawMutex for Masked {
    const INIT: Self =
        Self { locked: AtomicBool::new(false), were_unmasked: AtomicBool::new(false) };
    type GuardMarker = GuardNoSend;

    fn lock(&self) {
        assert!(self.try_lock(), "the lock of the heap was taken while it was held");
    }

    fn try_lock(&self) -> bool {
        let were_unmasked = machine::mask_interrupts();
        if self.locked.load(Ordering::Relaxed) {
            // Interrupts stay masked until the holder of the lock unlocks it.
            return false;
        }
        self.locked.store(true, Ordering::Relaxed);
        self.were_unmasked.store(were_unmasked, Ordering::Relaxed);
        true
    }

    unsafe fn unlock(&self) {
        self.locked.store(false, Ordering::Relaxed);
        if self.were_unmasked.load(Ordering::Relaxed) {
            // SAFETY: the lock is released, so the critical section is over.
            unsafe { machine::unmask_interrupts() };
        }
    }
}
