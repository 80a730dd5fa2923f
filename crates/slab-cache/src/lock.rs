//! The locks that the crate brings along.
#![expect(unsafe_code, reason = "RawMutex, Send and Sync are unsafe traits")]

use core::any::TypeId;
use core::marker::PhantomData;

use lock_api::RawMutex;

/// The lock of a cache that stays on one thread, together with its boxes: no lock.
///
/// Neither the cache nor its boxes are `Send`, so the compiler rejects a program that shares them. Such a
/// cache executes no atomic instruction.
///
/// ```compile_fail,E0277
/// use slab_cache::{SlabBox, SlabCache};
///
/// let numbers = SlabCache::new().expect("memory");
/// let number: SlabBox<u64> = numbers.alloc(7).expect("memory");
/// // error: a cache without a lock stays on the thread that made it
/// std::thread::spawn(move || drop(number));
/// ```
pub type NoLock = LocalLock<()>;

/// [`NoLock`]. The parameter exists for the compiler's error message only.
#[derive(Debug)]
pub struct LocalLock<N>(PhantomData<*const N>);

/// No type implements this.
#[diagnostic::on_unimplemented(
    message = "a cache without a lock stays on the thread that made it",
    label = "this sends or shares a cache, or a box of a cache, that has no lock",
    note = "choose a lock: `SharedCache<T>` and `SharedBox<T>` have `SpinLock`; `SlabCache<T, WithLock<L>>` \
            and `SlabBox<T, WithLock<L>>` take any `lock_api::RawMutex`, for example `parking_lot::RawMutex`"
)]
pub trait Threadsafe: sealed::Sealed {}

mod sealed {
    pub trait Sealed {}
}

// SAFETY: `Threadsafe` is sealed and has no implementation, so no `LocalLock` is `Send`.
unsafe impl<N: Threadsafe> Send for LocalLock<N> {}
// SAFETY: no `LocalLock` is `Sync`, for the same reason.
unsafe impl<N: Threadsafe> Sync for LocalLock<N> {}

// SAFETY: the lock is neither `Send` nor `Sync`, so one thread uses it. The crate does not call it: what
// runs on a cache's state calls no code of the user's, and so cannot come back to the same state.
unsafe impl RawMutex for NoLock {
    const INIT: Self = Self(PhantomData);
    type GuardMarker = lock_api::GuardNoSend;

    fn lock(&self) {
        unreachable!("slab-cache does not call this lock");
    }

    fn try_lock(&self) -> bool {
        false
    }

    unsafe fn unlock(&self) {}
}

/// Returns whether `R` is [`NoLock`]. Known at compile time.
#[inline(always)]
pub fn is_local<R: RawMutex + 'static>() -> bool {
    TypeId::of::<R>() == TypeId::of::<NoLock>()
}

#[cfg(target_has_atomic = "8")]
pub use spin::SpinLock;

#[cfg(target_has_atomic = "8")]
mod spin {
    use core::sync::atomic::{AtomicBool, Ordering};

    use lock_api::RawMutex;

    /// A lock that spins, and yields the processor from time to time if there is `std`.
    ///
    /// A cache holds its lock for a few dozen instructions. On an operating system `parking_lot::RawMutex`
    /// is the better lock where threads outnumber processors; a kernel needs one that masks interrupts.
    #[derive(Debug)]
    pub struct SpinLock(AtomicBool);

    // SAFETY: the flag changes from clear to set for one thread at a time, and only the holder clears it.
    unsafe impl RawMutex for SpinLock {
        const INIT: Self = Self(AtomicBool::new(false));
        type GuardMarker = lock_api::GuardSend;

        #[inline]
        fn lock(&self) {
            if !self.try_lock() {
                self.lock_slow();
            }
        }

        #[inline]
        fn try_lock(&self) -> bool {
            // Acquire: the holder sees what the previous holder wrote.
            !self.0.swap(true, Ordering::Acquire)
        }

        #[inline]
        unsafe fn unlock(&self) {
            // Release: the next holder sees what this one wrote.
            self.0.store(false, Ordering::Release);
        }
    }

    impl SpinLock {
        #[cold]
        fn lock_slow(&self) {
            let mut spins = 0_u32;
            loop {
                // Relaxed: `try_lock` decides.
                while self.0.load(Ordering::Relaxed) {
                    spins = spins.wrapping_add(1);
                    relax(spins);
                }
                if self.try_lock() {
                    return;
                }
            }
        }
    }

    #[cfg(feature = "std")]
    fn relax(spins: u32) {
        extern crate std;
        if spins & 63 == 0 { std::thread::yield_now() } else { core::hint::spin_loop() }
    }

    #[cfg(not(feature = "std"))]
    fn relax(_: u32) {
        core::hint::spin_loop();
    }
}
