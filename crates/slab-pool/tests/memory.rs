//! The memory that a pool holds, counted by the allocator.
#![expect(unsafe_code, reason = "a global allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use slab_pool::BufferPool;

/// Only buffers are aligned like this.
const ALIGNMENT: usize = 8192;

struct Counting;

static HELD_BYTES: AtomicUsize = AtomicUsize::new(0);

fn change(layout: Layout, action: fn(&AtomicUsize, usize, Ordering) -> usize) {
    if layout.align() == ALIGNMENT {
        action(&HELD_BYTES, layout.size(), Ordering::Relaxed);
    }
}

// SAFETY: all is the system's doing; counting changes no block.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        change(layout, AtomicUsize::fetch_add);
        // SAFETY: the caller keeps the contract of `GlobalAlloc`, and the arguments are passed on unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        change(layout, AtomicUsize::fetch_add);
        // SAFETY: the caller keeps the contract of `GlobalAlloc`, and the arguments are passed on unchanged.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        change(layout, AtomicUsize::fetch_sub);
        // SAFETY: the caller keeps the contract of `GlobalAlloc`, and the arguments are passed on unchanged.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

fn held() -> usize {
    HELD_BYTES.load(Ordering::Relaxed)
}

/// One test, because the counter belongs to the process.
#[test]
fn memory_comes_back_from_bursts_trims_threads_and_pools() {
    let limit: usize = if cfg!(miri) { 64 << 10 } else { 1 << 20 };
    let builder = BufferPool::builder().alignment(ALIGNMENT).capacity_per_class(1 << 20);
    let pool = builder.retained_bytes_max(limit).build().expect("sound");
    let burst = || {
        let sizes = [4096, 16 << 10].into_iter().cycle();
        let mut bytes = 0;
        let more = |size: &usize| {
            bytes += size;
            bytes <= 10 * limit
        };
        drop(sizes.take_while(more).map(|size| pool.acquire(size)).collect::<Vec<_>>());
    };
    burst();
    let after = held();
    assert!(after <= limit && after > limit / 2, "{after} of {limit}");
    assert_eq!(after, pool.detailed_stats().retained_bytes);

    for _ in 0..4 {
        pool.decay(Instant::now());
    }
    assert_eq!(held(), 0, "none of it was needed");

    thread::scope(|scope| {
        // The scope itself waits for the closures alone, and what threads keep moves when they end.
        let threads = [(); 3].map(|()| scope.spawn(burst));
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    });
    assert!(held() <= limit, "{} of {limit}", held());
    burst();
    let before = held();
    assert_eq!(pool.trim(), before);
    assert_eq!(held(), 0);

    burst();
    let out = pool.acquire(1);
    drop(pool);
    assert_eq!(held(), 4096, "what is out stays");
    drop(out);
    assert_eq!(held(), 0);
}
