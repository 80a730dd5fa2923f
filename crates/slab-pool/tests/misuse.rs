//! The misuse matrix of buffers. All of it is safe code: what is refused by the compiler is shown at
//! `PooledBuffer`, what is refused with an error or a panic in `limits` and `sharing`; here are buffers,
//! readers and futures that are forgotten.
#![cfg(not(loom))]

use std::any::Any;
use std::collections::HashSet;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use slab_pool::{AcquireFuture, BufferPool, PoolError, PooledBuffer};

const BYTES: usize = 4096;

fn limited(buffers: usize) -> BufferPool {
    let builder = BufferPool::builder().outstanding_bytes_max(buffers * BYTES);
    builder.leak_tracking(true).build().expect("sound")
}

/// Never drops a value. It stays reachable, so that no tool reports it as a leak.
fn forget(value: impl Send + 'static) {
    static FORGOTTEN: Mutex<Vec<Box<dyn Any + Send>>> = Mutex::new(Vec::new());
    FORGOTTEN.lock().expect("no panic").push(Box::new(ManuallyDrop::new(value)));
}

fn address(buffer: &[u8]) -> usize {
    buffer.as_ptr().addr()
}

/// It stays handed out: counted, named by the leak tracker, and never handed out again.
#[test]
fn a_forgotten_buffer_stays_out_for_ever() {
    let pool = limited(3);
    let forgotten = pool.acquire(1);
    let lost = address(&forgotten);
    forget(forgotten);
    for _ in 0..50 {
        let held = [pool.acquire(1), pool.acquire(1)];
        assert!(held.iter().all(|buffer| address(buffer) != lost));
        let refused = pool.try_acquire(1).expect_err("the place is taken");
        assert!(matches!(refused, PoolError::WouldWait { outstanding_bytes: 12_288, .. }));
    }
    let out = pool.outstanding().expect("tracked");
    assert_eq!((out.len(), out[0].bytes()), (1, BYTES));
    assert!(out[0].location().file().ends_with("misuse.rs"));
    assert_eq!(pool.detailed_stats().outstanding_bytes, Some(BYTES));
}

#[test]
fn a_forgotten_reader_keeps_the_buffer_from_being_written_and_from_coming_back() {
    let pool = limited(2);
    let whole = pool.acquire(1).freeze();
    forget(whole.slice(1..2));
    let whole = whole.try_mut().expect_err("a reader is counted");
    drop(whole);
    assert_eq!((pool.idle(0), pool.detailed_stats().outstanding_bytes), (0, Some(BYTES)));
    drop(pool.acquire(1));
    assert_eq!(pool.idle(0), 1);
}

fn poll(future: &mut Pin<Box<impl Future<Output = Result<PooledBuffer, PoolError>>>>) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    matches!(future.as_mut().poll(&mut context), Poll::Ready(Ok(_)))
}

/// Polls a future whose waker does nothing until it is ready, for a few seconds at most.
fn poll_until_ready(future: &mut Pin<Box<AcquireFuture>>) -> PooledBuffer {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut context = Context::from_waker(Waker::noop());
    while Instant::now() < deadline {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(outcome) => return outcome.expect("within the limit"),
            Poll::Pending => thread::yield_now(),
        }
    }
    panic!("a forgotten future keeps its turn");
}

fn queued(pool: &BufferPool) -> Pin<Box<AcquireFuture>> {
    let mut future = Box::pin(pool.acquire_async(1));
    assert!(!poll(&mut future));
    future
}

/// Dropped, it gives up its turn at once; forgotten, after a while.
#[test]
fn a_forgotten_future_loses_its_turn() {
    let pool = limited(1);
    let held = pool.acquire(1);
    let (first, mut second) = (queued(&pool), queued(&pool));
    drop(first);
    drop(held);
    assert!(poll(&mut second), "the one before it was cancelled");
    // While it waits, and once it was served.
    for served in [false, true] {
        let held = pool.acquire(1);
        let (first, mut second) = (queued(&pool), queued(&pool));
        if served {
            drop(held);
            forget(first);
        } else {
            forget(first);
            drop(held);
        }
        assert!(!poll(&mut second), "the first might still come");
        drop(poll_until_ready(&mut second));
        assert_eq!(pool.detailed_stats().outstanding_bytes, Some(0));
    }
}

/// Nothing uses the pool after the release. The requests behind are threads, or tasks that only wakers run.
#[test]
fn any_number_of_forgotten_futures_starve_neither_threads_nor_tasks() {
    let forgotten = if cfg!(miri) { 2 } else { 5 };
    let with_dead_queue = || {
        let pool = limited(1);
        let held = pool.acquire(1);
        (0..forgotten).for_each(|_| forget(queued(&pool)));
        (pool, held)
    };
    let (pool, held) = with_dead_queue();
    let blocked = thread::spawn({
        let pool = pool.clone();
        move || pool.acquire(1).len()
    });
    while pool.detailed_stats().waiting <= forgotten {
        thread::yield_now();
    }
    drop(held);
    assert_eq!(blocked.join().expect("no panic"), BYTES);

    let (pool, held) = with_dead_queue();
    let mut task = Box::pin(pool.acquire_async(1));
    let waiter = thread::spawn(move || {
        struct Unpark(thread::Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        loop {
            let polled = task.as_mut().poll(&mut Context::from_waker(&waker));
            let Poll::Ready(outcome) = polled else {
                thread::park();
                continue;
            };
            return outcome.expect("within the limit").len();
        }
    });
    while pool.detailed_stats().waiting <= forgotten {
        thread::yield_now();
    }
    drop(held);
    assert_eq!(waiter.join().expect("no panic"), BYTES);
    assert_eq!(pool.detailed_stats().outstanding_bytes, Some(0));
}

/// Requests that never wait find the room as well.
#[test]
fn a_forgotten_future_does_not_refuse_buffers_to_others() {
    let pool = limited(1);
    let held = pool.acquire(1);
    forget(queued(&pool));
    drop(held);
    let deadline = Instant::now() + Duration::from_secs(10);
    while pool.try_acquire(1).is_err() {
        assert!(Instant::now() < deadline, "a forgotten future keeps the room");
        thread::yield_now();
    }
}

/// A future that is slow to be polled loses its turn to the next one, and not its place.
#[test]
fn a_future_that_comes_late_is_at_its_old_place() {
    let pool = limited(1);
    let held = pool.acquire(1);
    let (mut late, mut next, mut last) = (queued(&pool), queued(&pool), queued(&pool));
    drop(held);
    let buffer = poll_until_ready(&mut next);
    assert!(!poll(&mut late) && !poll(&mut last));
    drop(buffer);
    assert!(!poll(&mut last), "the late one is before it");
    assert!(poll(&mut late));
    assert!(poll(&mut last));
    // It gives up its place while it has none.
    let held = pool.acquire(1);
    let (late, mut next) = (queued(&pool), queued(&pool));
    drop(held);
    let buffer = poll_until_ready(&mut next);
    drop(late);
    drop(buffer);
    assert_eq!(
        (pool.detailed_stats().outstanding_bytes, pool.detailed_stats().waiting),
        (Some(0), 0)
    );
}

/// A forgotten handle keeps the pool open; everything else goes on.
#[test]
fn a_forgotten_handle_keeps_the_pool_open() {
    let pool = BufferPool::with_capacity(4);
    forget(pool.clone());
    let held = pool.acquire(1);
    drop(pool);
    drop(held);
}

/// Two owners never have the same memory, whatever is resized, frozen, thawed and passed around.
#[test]
fn no_two_buffers_share_memory_after_resizing_and_thawing() {
    let pool = BufferPool::with_capacity(8);
    let mut held: Vec<PooledBuffer> = (0..6).map(|_| pool.acquire(1)).collect();
    for (step, buffer) in held.iter_mut().enumerate() {
        buffer.resize(BYTES * (step % 3 + 1), step as u8);
    }
    held.truncate(4);
    held.extend((0..4).map(|_| pool.acquire(1)));
    let frozen: Vec<_> = held.drain(..4).map(PooledBuffer::freeze).collect();
    held.extend(frozen.into_iter().map(|shared| shared.try_mut().expect("the only one")));
    held.extend((0..4).map(|_| pool.acquire(5000)));
    let places: HashSet<_> = held.iter().map(|buffer| address(buffer)).collect();
    assert_eq!(places.len(), held.len());
}

/// A panic with buffers on the stack gives them back, also on a thread that ends by it.
#[test]
fn a_panic_gives_buffers_back() {
    let pool = limited(4);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _held = (pool.acquire(1), pool.acquire(1).freeze());
        panic!("boom");
    }));
    assert!(panicked.is_err());
    assert_eq!(pool.detailed_stats().outstanding_bytes, Some(0));
    let ended = thread::spawn({
        let pool = pool.clone();
        move || {
            let _held = pool.acquire(1);
            panic!("boom");
        }
    });
    assert!(ended.join().is_err());
    assert_eq!(pool.detailed_stats().outstanding_bytes, Some(0));
    assert_eq!(pool.idle(0), 3, "this thread's two, and the other's");
}
