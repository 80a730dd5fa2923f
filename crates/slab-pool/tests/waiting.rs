//! Backpressure: limits, order, timeouts, futures and their cancellation.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use slab_pool::{BufferPool, PoolError};

const BYTES: usize = 4096;

fn pool_of(buffers: usize) -> BufferPool {
    BufferPool::builder().outstanding_bytes_max(buffers * BYTES).build().expect("sound")
}

fn out(pool: &BufferPool) -> Option<usize> {
    pool.detailed_stats().outstanding_bytes
}

#[test]
fn the_limit_holds_and_says_its_numbers() {
    let pool = pool_of(3);
    let held: Vec<_> = (0..3).map(|_| pool.try_acquire(1).expect("inside the limit")).collect();
    let error = pool.try_acquire(1).expect_err("at the limit");
    let full = PoolError::WouldWait {
        buffer_bytes: BYTES,
        outstanding_bytes: 3 * BYTES,
        limit_bytes: 3 * BYTES,
        waiting: 0,
    };
    assert_eq!(error, full);
    let error = pool.try_acquire(3 * BYTES + 1).expect_err("more than the limit alone");
    assert_eq!(error, PoolError::ExceedsLimit { buffer_bytes: 4 * BYTES, limit_bytes: 3 * BYTES });
    let waited = Duration::from_millis(1);
    let error = pool.acquire_timeout(1, waited).expect_err("no thread releases");
    assert_eq!(error, PoolError::TimedOut { buffer_bytes: BYTES, waited });
    assert_eq!(out(&pool), Some(3 * BYTES));
    drop(held);
    assert_eq!(out(&pool), Some(0));
    assert_eq!(pool.acquire(1).len(), BYTES);
    assert_eq!(pool.recycles(), 1);
}

#[test]
fn frozen_and_resized_buffers_count_as_well() {
    let pool = pool_of(4);
    let mut buffer = pool.acquire_for_write(1);
    buffer.resize(BYTES + 1, 0);
    assert_eq!(out(&pool), Some(2 * BYTES));
    let error = buffer.try_resize(3 * BYTES, 0).expect_err("both would be out for a moment");
    assert!(matches!(error, PoolError::WouldWait { outstanding_bytes: 8192, .. }), "{error}");
    assert_eq!(buffer.len(), BYTES + 1);
    let frozen = buffer.freeze();
    let clone = frozen.clone();
    drop(frozen);
    assert_eq!(out(&pool), Some(2 * BYTES));
    drop(clone);
    assert_eq!(out(&pool), Some(0));
}

#[test]
fn a_release_lets_a_waiting_thread_in() {
    let pool = pool_of(1);
    let held = pool.acquire(1);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| pool.acquire(1).len());
        while pool.detailed_stats().waiting == 0 {
            thread::yield_now();
        }
        drop(held);
        assert_eq!(waiter.join().expect("no panic"), BYTES);
    });
    assert_eq!((pool.misses(), pool.recycles()), (1, 1), "the waiter gets the very buffer");
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn futures_are_served_in_order_and_a_cancelled_one_loses_nothing() {
    let pool = pool_of(1);
    let counts: Vec<_> = (0..3).map(|_| Arc::new(Count::default())).collect();
    let wakers: Vec<_> = counts.iter().map(|count| Waker::from(Arc::clone(count))).collect();
    let woken = |index: usize| counts[index].0.load(Ordering::Relaxed);
    let held = pool.acquire(1);
    let mut first = Box::pin(pool.acquire_async(1));
    let mut second = pin!(pool.acquire_async(1));
    let mut third = pin!(pool.acquire_async(1));
    assert!(first.as_mut().poll(&mut Context::from_waker(&wakers[0])).is_pending());
    assert!(second.as_mut().poll(&mut Context::from_waker(&wakers[1])).is_pending());
    assert!(third.as_mut().poll(&mut Context::from_waker(&wakers[2])).is_pending());
    assert_eq!(pool.detailed_stats().waiting, 3);
    // Polled again, they have shown that they were not forgotten: none is woken in place of another.
    assert!(first.as_mut().poll(&mut Context::from_waker(&wakers[0])).is_pending());
    assert!(second.as_mut().poll(&mut Context::from_waker(&wakers[1])).is_pending());

    drop(held);
    assert_eq!((woken(0), woken(1), woken(2)), (1, 0, 0));
    assert!(pool.try_acquire(1).is_err(), "no new request overtakes one that waits");
    drop(first);
    assert_eq!((woken(1), woken(2)), (1, 0), "the turn passes on");
    let Poll::Ready(Ok(buffer)) = second.as_mut().poll(&mut Context::from_waker(&wakers[1])) else {
        panic!("its turn has come")
    };
    assert!(third.as_mut().poll(&mut Context::from_waker(&wakers[0])).is_pending());
    drop(buffer);
    assert_eq!((woken(0), woken(2)), (2, 0), "the waker of the last poll is the one called");
    let poll = third.as_mut().poll(&mut Context::from_waker(&wakers[2]));
    assert!(matches!(poll, Poll::Ready(Ok(_))));
}

#[test]
fn leaving_the_head_of_the_queue_lets_smaller_requests_in() {
    let pool = pool_of(2);
    let held = pool.acquire(1);
    let mut context = Context::from_waker(Waker::noop());
    let mut large = Box::pin(pool.acquire_async(2 * BYTES));
    let mut small = pin!(pool.acquire_async(1));
    assert!(large.as_mut().poll(&mut context).is_pending());
    assert!(small.as_mut().poll(&mut context).is_pending(), "first come, first served");
    drop(large);
    assert!(small.as_mut().poll(&mut context).is_ready());
    drop(held);
    assert_eq!(out(&pool), Some(0));
}

#[test]
fn a_request_that_cannot_be_is_an_error_at_once() {
    let pool = pool_of(1);
    let mut future = pin!(pool.acquire_async(BYTES + 1));
    let Poll::Ready(Err(error)) = future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    else {
        panic!("waiting does not help")
    };
    assert_eq!(error, PoolError::ExceedsLimit { buffer_bytes: 2 * BYTES, limit_bytes: BYTES });
}

#[test]
fn without_a_limit_futures_are_ready() {
    let pool = BufferPool::new(1);
    let mut future = pin!(pool.acquire_async(1));
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
}

#[test]
fn a_future_for_writing_waits_its_turn_and_brings_an_empty_buffer() {
    let pool = pool_of(1);
    let mut held = pool.acquire(1);
    held.fill(7);
    let mut context = Context::from_waker(Waker::noop());
    let mut first = pin!(pool.acquire_async_for_write(1));
    let mut second = pin!(pool.acquire_async(1));
    assert!(first.as_mut().poll(&mut context).is_pending());
    assert!(second.as_mut().poll(&mut context).is_pending());
    drop(held);
    let Poll::Ready(Ok(buffer)) = first.as_mut().poll(&mut context) else {
        panic!("its turn has come")
    };
    assert_eq!((buffer.len(), buffer.capacity(), buffer.dirty_len()), (0, BYTES, BYTES));
    drop(buffer);
    let Poll::Ready(Ok(buffer)) = second.as_mut().poll(&mut context) else {
        panic!("its turn has come")
    };
    assert_eq!((buffer.len(), buffer.dirty_len()), (BYTES, 0));
}

#[test]
fn many_threads_few_buffers() {
    let pool = pool_of(3);
    let rounds = if cfg!(miri) { 5 } else { 2000 };
    let most = AtomicUsize::new(0);
    let out = AtomicUsize::new(0);
    thread::scope(|scope| {
        for thread in 0..if cfg!(miri) { 3 } else { 6 } {
            let (pool, most, out) = (&pool, &most, &out);
            scope.spawn(move || {
                for round in 0..rounds {
                    let buffer = if (round + thread) % 3 == 0 {
                        match pool.acquire_timeout(1, Duration::from_micros(50)) {
                            Ok(buffer) => buffer,
                            Err(_) => continue,
                        }
                    } else {
                        pool.acquire(1)
                    };
                    most.fetch_max(out.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    out.fetch_sub(1, Ordering::SeqCst);
                    drop(buffer);
                }
            });
        }
    });
    assert!(most.into_inner() <= 3);
    assert_eq!((self::out(&pool), pool.detailed_stats().waiting), (Some(0), 0));
}

#[test]
fn tracked_buffers_are_listed_until_they_return() {
    let pool = BufferPool::builder().leak_tracking(true).build().expect("sound");
    let first = pool.acquire(1);
    let second = pool.acquire_zeroed(5000).freeze();
    let listed = pool.outstanding().expect("tracked");
    assert_eq!(listed.iter().map(|it| it.bytes()).collect::<Vec<_>>(), [4096, 8192]);
    assert!(listed.iter().all(|it| it.location().file() == file!()), "{listed:?}");
    assert!(listed[0].location().line() < listed[1].location().line());
    assert!(listed[0].age() >= listed[1].age());
    drop(first);
    assert_eq!(pool.outstanding().expect("tracked").len(), 1);
    drop(second);
    assert_eq!(pool.outstanding().expect("tracked"), []);
    assert_eq!(BufferPool::new(1).outstanding(), None);
}

/// A waker that uses the pool: nothing is locked while it runs.
struct Nosy(Mutex<Option<BufferPool>>);

impl Wake for Nosy {
    fn wake(self: Arc<Self>) {
        let pool = self.0.lock().expect("no panic").take().expect("once");
        assert!(pool.try_acquire(1).is_err());
        drop(pool.acquire_async(1));
    }
}

#[test]
fn wakers_may_use_the_pool() {
    let pool = pool_of(1);
    let held = pool.acquire(1);
    let waker = Waker::from(Arc::new(Nosy(Mutex::new(Some(pool.clone())))));
    let mut future = pin!(pool.acquire_async(1));
    assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(held);
    assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
}
