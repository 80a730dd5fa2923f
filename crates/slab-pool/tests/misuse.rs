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
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::thread;

use slab_pool::{BufferPool, PoolError, PooledBuffer};

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

/// Dropped, it gives its turn up; forgotten, it keeps it, and those behind it wait.
#[test]
fn a_forgotten_future_keeps_its_turn() {
    let pool = limited(1);
    let held = pool.acquire(1);
    let mut first = Box::pin(pool.acquire_async(1));
    let mut second = Box::pin(pool.acquire_async(1));
    assert!(!poll(&mut first) && !poll(&mut second));
    drop(first);
    drop(held);
    assert!(poll(&mut second), "the one before it was cancelled");
    let held = pool.acquire(1);
    let (mut first, mut second) =
        (Box::pin(pool.acquire_async(1)), Box::pin(pool.acquire_async(1)));
    assert!(!poll(&mut first) && !poll(&mut second));
    forget(first);
    drop(held);
    assert!(!poll(&mut second));
    assert_eq!(pool.detailed_stats().outstanding_bytes, Some(BYTES));
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
