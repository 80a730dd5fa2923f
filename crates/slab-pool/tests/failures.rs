//! Each operation that asks for a buffer's memory, refused: an error or the documented panic, and the
//! pool is as it was. The pool's own records are boxes and vectors of the standard library.
#![cfg(not(any(loom, miri)))]
#![expect(unsafe_code, reason = "a global allocator that refuses")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::Future;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab_pool::{BufferPool, PoolError, PooledBuffer};

/// Only buffers are aligned like this.
const ALIGNMENT: usize = 8192;

struct Refusing;

#[derive(Clone, Copy)]
struct Counts {
    /// Buffers that are granted before the next ones are refused.
    granted: usize,
    refused: usize,
    live: usize,
}

thread_local! {
    static COUNTS: Cell<Counts> =
        const { Cell::new(Counts { granted: usize::MAX, refused: 0, live: 0 }) };
}

fn change(layout: Layout, change: impl FnOnce(&mut Counts) -> bool) -> bool {
    if layout.align() != ALIGNMENT {
        return true;
    }
    let mut counts = COUNTS.get();
    let granted = change(&mut counts);
    COUNTS.set(counts);
    granted
}

// SAFETY: blocks are the system's; refusing is always permitted.
unsafe impl GlobalAlloc for Refusing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `GlobalAlloc`, and the arguments are passed on unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let granted = change(layout, |counts| {
            let granted = counts.granted > 0;
            counts.granted -= usize::from(granted);
            counts.refused += usize::from(!granted);
            counts.live += usize::from(granted);
            granted
        });
        if !granted {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller keeps the contract of `GlobalAlloc`, and the arguments are passed on unchanged.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        change(layout, |counts| {
            counts.live -= 1;
            true
        });
        // SAFETY: the caller keeps the contract of `GlobalAlloc`, and the arguments are passed on unchanged.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static GLOBAL: Refusing = Refusing;

/// Returns what an operation returns that gets so many buffers, and no more.
fn refusing<T>(granted: usize, action: impl FnOnce() -> T) -> T {
    COUNTS.set(Counts { granted, refused: 0, ..COUNTS.get() });
    let outcome = action();
    assert!(COUNTS.get().refused > 0, "it asked for a buffer more");
    COUNTS.set(Counts { granted: usize::MAX, ..COUNTS.get() });
    outcome
}

fn out_of_memory(bytes: usize) -> PoolError {
    PoolError::OutOfMemory { bytes, alignment: ALIGNMENT }
}

fn pool() -> BufferPool {
    let builder = BufferPool::builder().alignment(ALIGNMENT).outstanding_bytes_max(1 << 20);
    builder.leak_tracking(true).copy_out_max(100).build().expect("sound")
}

fn panic_of(action: impl FnOnce() -> PooledBuffer) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| drop(action()))).expect_err("no memory");
    *panic.downcast::<String>().expect("a message with numbers")
}

type Operation = fn(&BufferPool, &mut PooledBuffer);

const OPERATIONS: &[(&str, Operation)] = &[
    ("acquire", |pool, _| {
        let message = refusing(0, || panic_of(|| pool.acquire(1)));
        assert!(message.contains(&out_of_memory(4096).to_string()), "{message}");
    }),
    ("acquire_zeroed", |pool, _| {
        let message = refusing(0, || panic_of(|| pool.acquire_zeroed(1)));
        assert!(message.contains(&out_of_memory(4096).to_string()), "{message}");
    }),
    ("acquire_for_write", |pool, _| {
        let message = refusing(0, || panic_of(|| pool.acquire_for_write(1)));
        assert!(message.contains(&out_of_memory(4096).to_string()), "{message}");
    }),
    ("try_acquire", |pool, _| {
        let refused = refusing(0, || pool.try_acquire(5000)).expect_err("no memory");
        assert_eq!(refused, out_of_memory(8192));
    }),
    ("try_acquire_for_write", |pool, _| {
        let refused = refusing(0, || pool.try_acquire_for_write(5000)).expect_err("no memory");
        assert_eq!(refused, out_of_memory(8192));
    }),
    ("acquire_timeout", |pool, _| {
        let wait = Duration::from_secs(9);
        let refused = refusing(0, || pool.acquire_timeout(1, wait)).expect_err("no memory");
        assert_eq!(refused, out_of_memory(4096));
    }),
    ("acquire_async", |pool, _| {
        let mut future = pin!(pool.acquire_async(1));
        let mut context = Context::from_waker(Waker::noop());
        match refusing(0, || future.as_mut().poll(&mut context)) {
            Poll::Ready(Err(error)) => assert_eq!(error, out_of_memory(4096)),
            other => panic!("{other:?}"),
        }
    }),
    ("prefill", |pool, _| {
        let refused = refusing(2, || pool.prefill(0, 5)).expect_err("no memory");
        assert_eq!(refused, out_of_memory(4096));
        assert_eq!(pool.idle(0), 2, "those before it are kept");
        pool.trim();
    }),
    ("try_resize", |_, buffer| {
        let refused = refusing(0, || buffer.try_resize(5000, 7)).expect_err("no memory");
        assert_eq!(refused, out_of_memory(8192));
    }),
    ("resize", |_, buffer| {
        let resized = refusing(0, || catch_unwind(AssertUnwindSafe(|| buffer.resize(5000, 7))));
        assert!(resized.is_err());
    }),
    ("extend_from_slice", |_, buffer| {
        let refused = refusing(0, || buffer.extend_from_slice(&[7; 5000])).expect_err("no memory");
        assert_eq!(refused, out_of_memory(16_384));
    }),
    ("write", |_, buffer| {
        let refused = refusing(0, || buffer.write(&[7; 5000])).expect_err("no memory");
        assert_eq!(refused.kind(), io::ErrorKind::OutOfMemory);
    }),
    ("detached", |pool, _| {
        let whole = large(pool).freeze();
        assert!(refusing(0, || whole.slice(0..200).detached()).is_none());
    }),
    ("slice", |pool, _| {
        let whole = large(pool).freeze();
        let part = refusing(0, || whole.slice(1..3));
        assert!(whole.try_mut().is_err(), "it is shared where there is no memory for a copy");
        assert_eq!(*part, [9; 2]);
    }),
];

/// Returns a buffer of which parts are worth a copy.
fn large(pool: &BufferPool) -> PooledBuffer {
    let mut buffer = pool.acquire(100_000);
    buffer.fill(9);
    buffer
}

#[test]
fn each_operation_without_memory_is_refused_and_changes_nothing() {
    for &(name, operation) in OPERATIONS {
        let pool = pool();
        let mut buffer = pool.acquire(4096);
        buffer.fill(3);
        let before = pool.detailed_stats();
        operation(&pool, &mut buffer);
        assert_eq!(*buffer, [3; 4096], "{name}");
        let after = pool.detailed_stats();
        assert_eq!(after.outstanding_bytes, before.outstanding_bytes, "{name}");
        assert_eq!(pool.outstanding().map(|buffers| buffers.len()), Some(1), "{name}");
        // And it works again.
        assert_eq!(pool.try_acquire(1).expect("memory").len(), 4096, "{name}");
        assert_eq!(pool.try_acquire(5000).expect("memory").len(), 8192, "{name}");
        drop(buffer);
        drop(pool);
        assert_eq!(COUNTS.get().live, 0, "{name}");
    }
}
