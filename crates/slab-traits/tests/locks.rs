//! The locks of the module `locks`.
#![expect(unsafe_code, reason = "implements an unsafe trait")]

use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};

use critical_section::RestoreState;
use lock_api::{Mutex, RawMutex};
use slab_testkit::implements;
use slab_traits::locks::{LocalMutex, MaskInterrupts, Masked};

/// Masks with `critical-section`, whose implementation for `std` is a lock that a thread may take twice.
struct CriticalSection;

/// Calls of `mask` without a call of `restore`, of all tests of this process, which therefore is one test.
static OPEN: AtomicUsize = AtomicUsize::new(0);

// SAFETY: a critical section excludes all other threads, and each test drops its guards in the order of their
// sections.
unsafe impl MaskInterrupts for CriticalSection {
    type State = RestoreState;

    fn mask() -> RestoreState {
        OPEN.fetch_add(1, Ordering::Relaxed);
        // SAFETY: `restore` is called once for each call, on the same thread.
        unsafe { critical_section::acquire() }
    }

    unsafe fn restore(state: RestoreState) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: the caller passes the state that `mask` returned, at the end of the section.
        unsafe { critical_section::release(state) };
    }
}

const ROUNDS: usize = if cfg!(miri) { 20 } else { 2000 };

/// Counts on several threads under one lock.
fn count<R: RawMutex + Sync>() {
    let counter = Mutex::<R, usize>::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    let mut count = counter.lock();
                    let before = *count;
                    std::hint::spin_loop();
                    *count = before + 1;
                }
            });
        }
    });
    assert_eq!(counter.into_inner(), 3 * ROUNDS);
}

#[test]
fn a_masked_lock_excludes_others_and_restores_what_it_masked() {
    count::<Masked<CriticalSection>>();
    assert_eq!(OPEN.load(Ordering::Relaxed), 0);

    let heap = Mutex::<Masked<CriticalSection>, u8>::new(1);
    let guard = heap.lock();
    assert_eq!(OPEN.load(Ordering::Relaxed), 1, "masked while it is held");
    assert!(heap.try_lock().is_none(), "this thread holds it");
    assert_eq!(OPEN.load(Ordering::Relaxed), 1, "the refused attempt restored its state");
    let entered = panic::catch_unwind(panic::AssertUnwindSafe(|| drop(heap.lock())));
    let message = *entered.expect_err("it must not wait").downcast::<&str>().expect("a text");
    assert_eq!(message, "a heap was entered while it was in use");
    assert_eq!(OPEN.load(Ordering::Relaxed), 1, "the panic came after the state was restored");

    let other = Mutex::<Masked<CriticalSection>, u8>::new(2);
    assert_eq!(*guard + *other.lock(), 3, "two locks may be held, one within the other");
    drop(guard);
    assert_eq!(OPEN.load(Ordering::Relaxed), 0);
    assert!(heap.try_lock().is_some(), "it is free again");
    let lock = <Masked<CriticalSection> as RawMutex>::INIT;
    assert_eq!(format!("{lock:?}"), "Masked { is_locked: false, .. }");
}

#[cfg(feature = "spin")]
#[test]
fn a_spin_lock_excludes_others() {
    count::<slab_traits::locks::Spin>();
}

#[cfg(feature = "parking_lot")]
#[test]
fn a_parking_lock_excludes_others() {
    count::<slab_traits::locks::ParkingLot>();
}

#[test]
fn guards_stay_on_their_thread_and_a_local_lock_too() {
    assert!(
        implements!(Masked<CriticalSection>: Sync) && implements!(Masked<CriticalSection>: Send)
    );
    assert!(!implements!(lock_api::MutexGuard<'static, Masked<CriticalSection>, u8>: Send));
    assert!(!implements!(LocalMutex: Sync));
}
