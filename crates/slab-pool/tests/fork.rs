//! The child of a fork of a program whose threads were in the middle of things.
#![cfg(all(unix, not(miri)))]
#![expect(unsafe_code, reason = "fork is a system call")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use slab_pool::BufferPool;

/// The work of the child. It must not wait for anything, and exits without running anything else.
fn child(pool: &BufferPool, held: slab_pool::PooledBuffer) -> bool {
    drop(held);
    // More than the thread's cache has, and back, so that the shared tier is asked; and a class that this thread
    // never used, so that the registry is asked.
    let fine = (0..10).all(|_| {
        let buffers: Vec<_> = (0..100).map(|_| pool.acquire(1)).collect();
        buffers.iter().all(|buffer| buffer.len() == 4096)
    });
    fine && pool.acquire(100_000).len() == 131_072 && pool.try_acquire(300_000).is_ok()
}

#[test]
fn acquire_and_release_work_in_the_child() {
    let pool = BufferPool::new(64);
    let stop = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..3)
        .map(|_| {
            let (pool, stop) = (Arc::clone(&pool), Arc::clone(&stop));
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    drop((0..100).map(|_| pool.acquire(1)).collect::<Vec<_>>());
                    let _ = pool.stats();
                }
            })
        })
        .collect();
    for attempt in 0..20 {
        let held = pool.acquire(1);
        // SAFETY: the child calls nothing that a lock of another thread could block, but for the allocator, which
        // the C library makes fit for use in the child.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: an alarm that no thread handles ends a child that hangs.
            unsafe { libc::alarm(20) };
            let status = if child(&pool, held) { 0 } else { 1 };
            // SAFETY: ends the process without destructors.
            unsafe { libc::_exit(status) };
        }
        assert!(pid > 0, "fork failed");
        let mut status = 0;
        // SAFETY: the child is ours, and `status` is there to be written to.
        let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
        assert_eq!((waited, status), (pid, 0), "attempt {attempt}");
    }
    stop.store(true, Ordering::Relaxed);
    for thread in busy {
        thread.join().expect("no panic");
    }
}
