//! A global allocator that uses the pool in each of its calls: acquiring without waiting, and releasing, hold no lock and no
//! borrow that they would wait for further up the stack.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "a global allocator that comes back to the pool")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::Future;
use std::sync::OnceLock;
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use slab_pool::BufferPool;

struct Returning;

static POOLS: OnceLock<[BufferPool; 2]> = OnceLock::new();

thread_local! {
    /// Whether a call of the allocator goes to the pools.
    static ARMED: Cell<bool> = const { Cell::new(false) };
    static ENTERED: Cell<usize> = const { Cell::new(0) };
}

fn come_back() {
    if !ARMED.replace(false) {
        return;
    }
    for pool in POOLS.get().into_iter().flatten() {
        for size in [1, 5000] {
            drop(pool.try_acquire(size));
        }
    }
    ENTERED.set(ENTERED.get() + 1);
    ARMED.set(true);
}

// SAFETY: blocks are the system's; what happens before changes none of them.
unsafe impl GlobalAlloc for Returning {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        come_back();
        // SAFETY: the caller keeps the contract of `GlobalAlloc`, and the arguments are passed on unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        come_back();
        // SAFETY: the caller keeps the contract of `GlobalAlloc`, and the arguments are passed on unchanged.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        come_back();
        // SAFETY: the caller keeps the contract of `GlobalAlloc`, and the arguments are passed on unchanged.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static GLOBAL: Returning = Returning;

/// Makes every part of the pool allocate and free.
fn work(pool: &BufferPool, limit: usize) {
    for round in 0..3 {
        let held: Vec<_> = (0..limit).map_while(|_| pool.try_acquire(1).ok()).collect();
        let mut waiting: Vec<_> = (0..20).map(|_| Box::pin(pool.acquire_async(1))).collect();
        for future in &mut waiting {
            let _ = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
        drop(held);
        waiting.truncate(round * 10);
        drop(waiting);
        let mut buffer = pool.try_acquire_for_write(1).expect("inside the limit");
        let _ = buffer.extend_from_slice(&[1; 5000]);
        drop(buffer.freeze().slice(..10).detached());
        let _ = pool.prefill(1, 3);
        let _ = pool.detailed_stats();
        pool.decay(Instant::now());
        pool.trim();
    }
}

#[test]
fn an_allocator_that_uses_the_pool_waits_for_nothing() {
    let limited = BufferPool::builder().outstanding_bytes_max(16 * 4096);
    let pools =
        [BufferPool::with_capacity(8), limited.capacity_per_class(8).build().expect("sound")];
    assert!(POOLS.set(pools).is_ok());
    let (done, finished) = mpsc::channel();
    let thread = thread::spawn(move || {
        ARMED.set(true);
        for pool in POOLS.get().into_iter().flatten() {
            work(pool, 16);
        }
        // A pool that ends, and its cache of this thread.
        let short = BufferPool::with_capacity(4);
        drop([short.acquire(1), short.acquire(5000)]);
        drop(short);
        ARMED.set(false);
        done.send(ENTERED.get()).expect("somebody waits");
        // Also while the thread's caches end.
        ARMED.set(true);
    });
    let entered = finished.recv_timeout(Duration::from_secs(60)).expect("it hangs");
    assert!(entered > 100, "{entered}");
    thread.join().expect("no panic");
    for pool in POOLS.get().into_iter().flatten() {
        let stats = pool.detailed_stats();
        assert!(matches!(stats.outstanding_bytes, None | Some(0)), "{stats:?}");
        assert!(stats.classes.iter().all(|class| class.idle <= class.capacity), "{stats:?}");
    }
}
