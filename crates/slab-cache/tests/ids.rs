//! The numbers of caches with caches of threads: the table grows on an allocator that needs a number
//! itself, and a cache that could not be made leaves nothing behind.
#![cfg(all(feature = "std", not(loom)))]
#![expect(unsafe_code, reason = "a global allocator, and a source that caches outlive")]

mod config;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use allocator_api2::alloc::{AllocError, Allocator};
use config::With;
use slab_cache::{CacheError, Global, SlabCache};
use slab_testkit::FailingSource;

type Spin = spin::Mutex<()>;

/// The system's allocator. It counts what a thread asks for, and makes a cache before it serves a request
/// of the thread that is told so.
struct Using;

thread_local! {
    static BYTES: Cell<usize> = const { Cell::new(0) };
    static MAKES_CACHES: Cell<bool> = const { Cell::new(false) };
    static CACHES_MADE: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: blocks are the system's.
unsafe impl GlobalAlloc for Using {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.set(BYTES.get() + layout.size());
        if MAKES_CACHES.replace(false) {
            let cache = SlabCache::<u64, With<Spin>>::with_thread_caches();
            assert!(cache.is_ok_and(|cache| cache.alloc(1).is_ok()));
            CACHES_MADE.set(CACHES_MADE.get() + 1);
            MAKES_CACHES.set(true);
        }
        // SAFETY: the precondition is that of this function, which the caller meets.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller passes a live block with its layout, and the system allocated it.
        unsafe { System.dealloc(block, layout) };
    }
}

#[global_allocator]
static GLOBAL: Using = Using;

/// Each test counts on the caches of the other one to be gone.
static TURN: Mutex<()> = Mutex::new(());

#[test]
fn the_table_of_numbers_grows_on_an_allocator_that_takes_one() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let count = if cfg!(miri) { 150 } else { 1000 };
    let (done, is_done) = channel();
    thread::spawn(move || {
        MAKES_CACHES.set(true);
        let make = || SlabCache::<u64, With<Spin>>::with_thread_caches().expect("memory");
        let caches: Vec<_> = (0..count).map(|_| make()).collect();
        MAKES_CACHES.set(false);
        let ids =
            caches.iter().zip(0..).map(|(cache, number)| cache.alloc(number).expect("memory"));
        assert_eq!(ids.map(|held| *held).sum::<u64>(), count * (count - 1) / 2);
        drop(caches);
        done.send(CACHES_MADE.get()).expect("the test waits");
    });
    let made = is_done.recv_timeout(Duration::from_secs(if cfg!(miri) { 600 } else { 20 }));
    assert!(made.expect("the thread waits for itself") >= count as usize);
}

/// A source that panics instead.
struct Panicking;

// SAFETY: it has no blocks.
unsafe impl Allocator for Panicking {
    fn allocate(&self, _: Layout) -> Result<NonNull<[u8]>, AllocError> {
        resume_unwind(Box::new(()))
    }

    unsafe fn deallocate(&self, _: NonNull<u8>, _: Layout) {}
}

#[test]
fn caches_that_were_refused_cost_a_thread_nothing() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let refusals = if cfg!(miri) { 100 } else { 100_000 };
    // A new thread, which has no magazines yet.
    let work = move || {
        let pointer = NonNull::from(Box::leak(Box::new(FailingSource::failing_from(Global, 1))));
        // SAFETY: the source is freed below, when no cache uses it.
        let source: &'static FailingSource<Global> = unsafe { pointer.as_ref() };
        for _ in 0..refusals {
            let refused =
                SlabCache::<u64, With<Spin, _>>::with_thread_caches_in(source).map(|_| ());
            assert!(matches!(refused, Err(CacheError::OutOfMemory { .. })));
        }
        for _ in 0..refusals / 100 {
            let make = || SlabCache::<u64, With<Spin, _>>::with_thread_caches_in(Panicking).is_ok();
            assert!(catch_unwind(make).is_err());
        }
        // SAFETY: made above, and no cache has it.
        drop(unsafe { Box::from_raw(pointer.as_ptr()) });
        // As many at once leave nothing behind either.
        let made: Vec<_> =
            (0..70).map(|_| SlabCache::<u64, With<Spin>>::with_thread_caches()).collect();
        assert!(made.iter().all(Result::is_ok));
        drop(made);
        let cache = SlabCache::<u64, With<Spin>>::with_thread_caches().expect("memory");
        let before = BYTES.get();
        drop(cache.alloc(1).expect("memory"));
        BYTES.get() - before
    };
    let bytes = thread::spawn(work).join().expect("no panic");
    assert!(bytes < 20_000, "{bytes} bytes, of which the first chunk has 16384");
}
