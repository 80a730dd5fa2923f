//! Locks for [`Locked`](crate::Locked) and for slab-cache, so that a program need not look for one.
//!
//! | lock | feature | use it |
//! |---|---|---|
//! | `Spin` | `spin` | on several threads or cores, with or without `std`; not in interrupt handlers |
//! | `ParkingLot` | `parking_lot` | with `std`, if threads wait long; not in a global allocator, because it allocates |
//! | [`Masked`] | none | on one core with interrupt handlers that use the heap; needs no compare-and-swap |
//! | [`LocalMutex`] | none | on one thread |
//!
//! Every other [`lock_api::RawMutex`] works too.
#![expect(unsafe_code, reason = "RawMutex is an unsafe trait")]

use core::cell::UnsafeCell;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use lock_api::{GuardNoSend, RawMutex};

pub use crate::LocalMutex;

/// A lock that spins while it waits.
#[cfg(feature = "spin")]
pub type Spin = spin::Mutex<()>;

/// A lock whose waiting threads sleep. It allocates, so it is not for a global allocator.
#[cfg(feature = "parking_lot")]
pub type ParkingLot = parking_lot::RawMutex;

/// How a program masks interrupts, for [`Masked`].
///
/// # Safety
///
/// - From [`mask`](Self::mask) to [`restore`](Self::restore) no other code of the program runs that calls
///   `mask`: no interrupt handler, and no other core. The compiler moves no memory access out of that section.
/// - The program unlocks no [`Masked`] inside a critical section that began after the lock, for `restore`
///   would let interrupts into that section. [`Locked`](crate::Locked) and slab-cache never do: they release
///   their locks before they return. Only a guard that the program holds itself, in a [`lock_api::Mutex`], can
///   break this rule.
///
/// # Examples
///
/// With the crate `critical-section`, which has an implementation for almost every chip:
///
/// ```
/// use critical_section::RestoreState;
/// use slab_traits::locks::{MaskInterrupts, Masked};
///
/// struct CriticalSection;
///
/// // SAFETY: a critical section excludes interrupts and other cores. This program keeps no guard.
/// unsafe impl MaskInterrupts for CriticalSection {
///     type State = RestoreState;
///
///     fn mask() -> RestoreState {
///         // SAFETY: `restore` is called once for each call, on the same core.
///         unsafe { critical_section::acquire() }
///     }
///
///     unsafe fn restore(state: RestoreState) {
///         // SAFETY: the caller passes the state that `mask` returned, at the end of the section.
///         unsafe { critical_section::release(state) };
///     }
/// }
///
/// type Heap<A> = slab_traits::Locked<Masked<CriticalSection>, A>;
/// ```
pub unsafe trait MaskInterrupts {
    /// What [`restore`](Self::restore) needs to know.
    type State: Copy + Send;

    /// Masks interrupts, and returns the state before.
    fn mask() -> Self::State;

    /// Restores the state before [`mask`](Self::mask).
    ///
    /// # Safety
    ///
    /// `state` was returned by `mask` on this core, is passed once, and the section that began there is over.
    unsafe fn restore(state: Self::State);
}

/// A lock that masks interrupts while it is held.
///
/// # Panics
///
/// Locking it while this core holds it panics instead of waiting: an allocator calls its own adapter, or an
/// exception that cannot be masked uses the heap.
pub struct Masked<M: MaskInterrupts> {
    is_locked: AtomicBool,
    /// Written and read by the holder of the lock only.
    state: UnsafeCell<Option<M::State>>,
}

// SAFETY: only the holder of the lock accesses `state`, which is `Send`.
unsafe impl<M: MaskInterrupts> Sync for Masked<M> {}

// SAFETY: `is_locked` is tested and set with interrupts masked, so by the contract of `MaskInterrupts` only one
// caller finds it clear. It stays set until that caller unlocks.
unsafe impl<M: MaskInterrupts> RawMutex for Masked<M> {
    const INIT: Self = Self { is_locked: AtomicBool::new(false), state: UnsafeCell::new(None) };
    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock(&self) {
        assert!(self.try_lock(), "a heap was entered while it was in use");
    }

    #[inline]
    fn try_lock(&self) -> bool {
        let state = M::mask();
        // Relaxed, and no compare-and-swap: `mask` and `restore` order the accesses of all holders.
        if self.is_locked.load(Ordering::Relaxed) {
            // SAFETY: the state is that of the call above, and this section is over.
            unsafe { M::restore(state) };
            return false;
        }
        self.is_locked.store(true, Ordering::Relaxed);
        // SAFETY: this caller holds the lock now, so no other code accesses the state.
        unsafe { self.state.get().write(Some(state)) };
        true
    }

    #[inline]
    unsafe fn unlock(&self) {
        // SAFETY: the caller holds the lock, so no other code accesses the state.
        let state = unsafe { self.state.get().replace(None) };
        self.is_locked.store(false, Ordering::Relaxed);
        if let Some(state) = state {
            // SAFETY: `try_lock` stored the state when the section began, and by the contract of `MaskInterrupts`
            // no section that began later is active. It was just removed, so it is passed once.
            unsafe { M::restore(state) };
        }
    }
}

impl<M: MaskInterrupts> fmt::Debug for Masked<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_locked = self.is_locked.load(Ordering::Relaxed);
        f.debug_struct("Masked").field("is_locked", &is_locked).finish_non_exhaustive()
    }
}
