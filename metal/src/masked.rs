//! A lock for one core: interrupts stay out while it is held. It needs no compare-and-swap.
#![expect(unsafe_code, reason = "RawMutex is an unsafe trait")]

use core::sync::atomic::{AtomicBool, Ordering};

use lock_api::{GuardNoSend, RawMutex};

use crate::machine;

/// A lock that keeps interrupts out.
pub struct Masked {
    locked: AtomicBool,
    /// Whether interrupts were let in before.
    let_in: AtomicBool,
}

// SAFETY: there is one core, and who runs on it is alone while interrupts are masked; a second lock
// within the first panics.
unsafe impl RawMutex for Masked {
    const INIT: Self = Self { locked: AtomicBool::new(false), let_in: AtomicBool::new(false) };
    type GuardMarker = GuardNoSend;

    fn lock(&self) {
        assert!(self.try_lock(), "the heap was entered while it was in use");
    }

    fn try_lock(&self) -> bool {
        let let_in = machine::mask_interrupts();
        if self.locked.load(Ordering::Relaxed) {
            // Whoever holds the lock masked the interrupts, and unmasks them.
            return false;
        }
        self.locked.store(true, Ordering::Relaxed);
        self.let_in.store(let_in, Ordering::Relaxed);
        true
    }

    unsafe fn unlock(&self) {
        self.locked.store(false, Ordering::Relaxed);
        if self.let_in.load(Ordering::Relaxed) {
            // SAFETY: the critical section is over.
            unsafe { machine::unmask_interrupts() };
        }
    }
}
