//! Wakers that use the pool, own its futures, panic, or are slow: whatever their code does, nothing hangs, those behind are
//! served, and the counts are right afterwards.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "wakers whose clone, wake and drop run code of the test")]

use std::future::Future;
use std::mem::ManuallyDrop;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::thread;
use std::time::Duration;

use slab_pool::{AcquireFuture, BufferPool, PooledBuffer};

const BYTES: usize = 4096;

/// An action of a waker besides its work.
type Hook = Box<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Hooks {
    woken: AtomicUsize,
    /// Clones and the waker itself that are alive.
    alive: AtomicUsize,
    on_clone: Option<Hook>,
    on_wake: Option<Hook>,
    /// Called for the last clone alone.
    on_drop: Option<Hook>,
}

impl Hooks {
    fn waker(self) -> (Waker, Arc<Self>) {
        let hooks = Arc::new(self);
        hooks.alive.fetch_add(1, Ordering::Relaxed);
        let data = Arc::into_raw(Arc::clone(&hooks)).cast();
        // SAFETY: the functions of the table keep the contract for a pointer from `Arc::into_raw`.
        (unsafe { Waker::from_raw(RawWaker::new(data, &TABLE)) }, hooks)
    }

    fn call(hook: &Option<Hook>) {
        if let Some(hook) = hook {
            hook();
        }
    }
}

static TABLE: RawWakerVTable = RawWakerVTable::new(
    |data| {
        // SAFETY: the pointer came from `Arc::into_raw`, and the reference that it counts stays.
        let hooks = ManuallyDrop::new(unsafe { Arc::from_raw(data.cast::<Hooks>()) });
        Hooks::call(&hooks.on_clone);
        hooks.alive.fetch_add(1, Ordering::Relaxed);
        RawWaker::new(Arc::into_raw(Arc::clone(&hooks)).cast(), &TABLE)
    },
    |data| {
        // SAFETY: the pointer came from `Arc::into_raw`, and waking ends the reference.
        let hooks = unsafe { Arc::from_raw(data.cast::<Hooks>()) };
        hooks.alive.fetch_sub(1, Ordering::Relaxed);
        hooks.woken.fetch_add(1, Ordering::Relaxed);
        Hooks::call(&hooks.on_wake);
    },
    |_| unreachable!("the pool wakes by value"),
    |data| {
        // SAFETY: the pointer came from `Arc::into_raw`, and dropping ends the reference.
        let hooks = unsafe { Arc::from_raw(data.cast::<Hooks>()) };
        if hooks.alive.fetch_sub(1, Ordering::Relaxed) == 1 {
            Hooks::call(&hooks.on_drop);
        }
    },
);

fn on_wake(hook: impl Fn() + Send + Sync + 'static) -> Hooks {
    Hooks { on_wake: Some(Box::new(hook)), ..Hooks::default() }
}

fn on_drop(hook: impl Fn() + Send + Sync + 'static) -> Hooks {
    Hooks { on_drop: Some(Box::new(hook)), ..Hooks::default() }
}

fn on_clone(hook: impl Fn() + Send + Sync + 'static) -> Hooks {
    Hooks { on_clone: Some(Box::new(hook)), ..Hooks::default() }
}

fn boom() {
    panic!("boom")
}

/// Runs it on another thread, and fails instead of hanging.
fn in_time(action: impl FnOnce() + Send + 'static) {
    let (done, finished) = mpsc::channel();
    let thread = thread::spawn(move || {
        action();
        done.send(()).expect("somebody waits");
    });
    // Miri takes seconds for the backtrace of each panic.
    let seconds = if cfg!(miri) { 300 } else { 20 };
    let outcome = finished.recv_timeout(Duration::from_secs(seconds));
    assert_ne!(outcome, Err(RecvTimeoutError::Timeout), "it hangs");
    if let Err(payload) = thread.join() {
        panic::resume_unwind(payload);
    }
}

fn pool_of(buffers: usize) -> BufferPool {
    BufferPool::builder().outstanding_bytes_max(buffers * BYTES).build().expect("sound")
}

type Waiting = Pin<Box<AcquireFuture>>;

fn poll(future: &mut Waiting, waker: &Waker) -> Option<PooledBuffer> {
    match future.as_mut().poll(&mut Context::from_waker(waker)) {
        Poll::Ready(buffer) => Some(buffer.expect("inside the limit")),
        Poll::Pending => None,
    }
}

/// Returns a future that waits with that waker, of which the pool has the only clone.
fn queued(pool: &BufferPool, bytes: usize, waker: Waker) -> Waiting {
    let mut future = Box::pin(pool.acquire_async(bytes));
    assert!(poll(&mut future, &waker).is_none(), "there is no room");
    future
}

fn noop(pool: &BufferPool) -> Waiting {
    queued(pool, 1, Waker::noop().clone())
}

/// No buffer is handed out, no request waits, and the whole limit is available.
fn assert_settled(pool: &BufferPool) {
    let stats = pool.detailed_stats();
    assert_eq!((stats.outstanding_bytes, stats.waiting), (Some(0), 0));
    let mut held = Vec::new();
    while let Ok(buffer) = pool.try_acquire(1) {
        held.push(buffer);
    }
    assert!(!held.is_empty());
}

/// Acquires, releases, queues up and gives up, and takes an own buffer or future along.
fn use_pool(pool: &BufferPool) {
    drop(pool.try_acquire(1));
    drop(pool.acquire_timeout(1, Duration::ZERO));
    let mut future = Box::pin(pool.acquire_async(1));
    drop(poll(&mut future, Waker::noop()));
    drop(poll(&mut future, Waker::noop()));
    drop(future);
    let _ = pool.detailed_stats();
}

#[test]
fn a_waker_that_owns_a_queued_future_is_dropped() {
    in_time(|| {
        let pool = pool_of(1);
        let held = pool.acquire(1);
        let owned = Mutex::new(Some(noop(&pool)));
        let owner = on_drop(move || drop(owned.lock().expect("no panic").take())).waker().0;
        let waiting = queued(&pool, 1, owner);
        drop(waiting);
        drop(held);
        assert_settled(&pool);
    });
}

#[test]
fn a_waker_that_owns_a_queued_future_is_replaced() {
    in_time(|| {
        let pool = pool_of(1);
        let held = pool.acquire(1);
        let owned = Mutex::new(Some(noop(&pool)));
        let owner = on_drop(move || drop(owned.lock().expect("no panic").take())).waker().0;
        let mut waiting = queued(&pool, 1, owner);
        assert!(poll(&mut waiting, Waker::noop()).is_none());
        assert_eq!(pool.detailed_stats().waiting, 1, "the owned one gave up its place");
        drop(held);
        assert!(poll(&mut waiting, Waker::noop()).is_some());
        assert_settled(&pool);
    });
}

#[test]
fn wakers_use_the_pool_while_they_are_cloned_woken_and_dropped() {
    in_time(|| {
        let pool = pool_of(2);
        let held = (pool.acquire(1), pool.acquire(1));
        let hooks = || {
            let pools = [(); 3].map(|()| pool.clone());
            let [clone, wake, drop] =
                pools.map(|pool| Some(Box::new(move || use_pool(&pool)) as _));
            Hooks { on_clone: clone, on_wake: wake, on_drop: drop, ..Hooks::default() }
        };
        let mut futures = [(); 3].map(|()| queued(&pool, 1, hooks().waker().0));
        let (waker, replacing) = hooks().waker();
        for future in &mut futures {
            assert!(
                poll(future, &waker).is_none(),
                "the first waker is dropped, the second cloned"
            );
        }
        let [one, mut two, mut three] = futures;
        drop(one);
        drop(held);
        assert_eq!(replacing.woken.load(Ordering::Relaxed), 2);
        assert!(poll(&mut two, &waker).is_some() && poll(&mut three, &waker).is_some());
        assert_eq!(replacing.alive.load(Ordering::Relaxed), 1, "only this one is left");
        drop(waker);
        assert_settled(&pool);
    });
}

/// Each wake releases what its future gets, so that the next one is served inside.
#[test]
fn wakers_that_take_their_turn_at_once_serve_each_other() {
    in_time(|| {
        let pool = pool_of(1);
        let held = pool.acquire(1);
        let served = Arc::new(AtomicUsize::new(0));
        for _ in 0..10 {
            let slot = Arc::new(Mutex::new(None::<Waiting>));
            let (own, served) = (Arc::clone(&slot), Arc::clone(&served));
            let wake = move || {
                let mut future = own.lock().expect("no panic").take().expect("woken once");
                assert!(poll(&mut future, Waker::noop()).is_some(), "its turn has come");
                served.fetch_add(1, Ordering::Relaxed);
            };
            *slot.lock().expect("no panic") = Some(queued(&pool, 1, on_wake(wake).waker().0));
        }
        drop(held);
        assert_eq!(served.load(Ordering::Relaxed), 10);
        assert_settled(&pool);
    });
}

#[test]
fn those_behind_a_waker_that_panics_are_served_and_the_release_does_not_panic() {
    in_time(|| {
        let pool = pool_of(4);
        let held = pool.acquire(4 * BYTES);
        let mut first = queued(&pool, 1, on_wake(boom).waker().0);
        let mut second = queued(&pool, 1, on_wake(boom).waker().0);
        let (waker, third_hooks) = Hooks::default().waker();
        let mut third = queued(&pool, 1, waker);
        let blocked = thread::spawn({
            let pool = pool.clone();
            move || pool.acquire(1).len()
        });
        while pool.detailed_stats().waiting < 4 {
            thread::yield_now();
        }
        drop(held);
        assert_eq!(blocked.join().expect("no panic"), BYTES);
        assert_eq!(third_hooks.woken.load(Ordering::Relaxed), 1);
        for future in [&mut first, &mut second, &mut third] {
            assert!(poll(future, Waker::noop()).is_some(), "the turn of all three has come");
        }
        assert_settled(&pool);
    });
}

/// The second panic of a thread would abort the process.
#[test]
fn wakers_that_panic_while_a_panic_releases_buffers_abort_nothing() {
    in_time(|| {
        let pool = pool_of(2);
        let held = (pool.acquire(1), pool.acquire(1));
        let mut futures = [(); 4].map(|()| {
            let hooks = Hooks { on_drop: Some(Box::new(boom)), ..on_wake(boom) };
            queued(&pool, 1, hooks.waker().0)
        });
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _released = held;
            boom();
        }));
        assert!(panicked.is_err());
        let [first, second, third, fourth] = &mut futures;
        let buffers = [first, second].map(|future| poll(future, Waker::noop()));
        assert!(buffers.iter().all(Option::is_some), "their turn has come");
        assert!(poll(third, Waker::noop()).is_none() && poll(fourth, Waker::noop()).is_none());
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _cancelled = futures;
            boom();
        }));
        assert!(panicked.is_err());
        drop(buffers);
        assert_settled(&pool);
    });
}

/// Giving up the head's place serves those behind it, also if they panic.
#[test]
fn cancelling_serves_those_behind_a_waker_that_panics() {
    in_time(|| {
        let pool = pool_of(4);
        let held = pool.acquire(1);
        let head = queued(&pool, 4 * BYTES, on_drop(boom).waker().0);
        let mut first = queued(&pool, 1, on_wake(boom).waker().0);
        let mut second = noop(&pool);
        drop(head);
        assert!(poll(&mut first, Waker::noop()).is_some());
        assert!(poll(&mut second, Waker::noop()).is_some());
        drop(held);
        assert_settled(&pool);
    });
}

#[test]
fn a_clone_that_panics_reaches_the_poll_and_keeps_the_place() {
    in_time(|| {
        let pool = pool_of(1);
        let held = pool.acquire(1);
        let (bad, hooks) = on_clone(boom).waker();
        let panics =
            |future: &mut Waiting| catch_unwind(AssertUnwindSafe(|| poll(future, &bad))).is_err();
        let mut never_queued = Box::pin(pool.acquire_async(1));
        assert!(panics(&mut never_queued));
        assert_eq!(pool.detailed_stats().waiting, 0);
        let (waker, first_hooks) = Hooks::default().waker();
        let mut first = queued(&pool, 1, waker);
        let second = noop(&pool);
        assert!(panics(&mut first));
        assert_eq!(pool.detailed_stats().waiting, 2);
        drop(held);
        assert_eq!(first_hooks.woken.load(Ordering::Relaxed), 1, "by the waker it had");
        drop(second);
        assert!(poll(&mut first, Waker::noop()).is_some());
        let held = pool.acquire(1);
        let mut cancelled = noop(&pool);
        let mut last = noop(&pool);
        assert!(panics(&mut cancelled));
        drop((cancelled, held));
        assert!(poll(&mut last, Waker::noop()).is_some(), "the cancelled one left no place");
        drop(bad);
        assert_eq!(hooks.alive.load(Ordering::Relaxed), 0);
        drop((never_queued, first, last));
        assert_settled(&pool);
    });
}

/// The payload of a panic is code of the user as well.
#[test]
fn a_payload_that_panics_when_it_is_dropped_stays_in_the_pool() {
    struct Payload;
    impl Drop for Payload {
        fn drop(&mut self) {
            // The pool forgets this one: no size, no memory.
            panic::panic_any(Last);
        }
    }
    struct Last;
    impl Drop for Last {
        fn drop(&mut self) {
            panic!("never dropped");
        }
    }
    in_time(|| {
        let pool = pool_of(1);
        let held = pool.acquire(1);
        let mut waiting = queued(&pool, 1, on_wake(|| panic::panic_any(Payload)).waker().0);
        drop(held);
        assert!(poll(&mut waiting, Waker::noop()).is_some());
        assert_settled(&pool);
    });
}

/// It delays the thread that released; another thread's release serves the next request meanwhile.
#[test]
fn a_slow_waker_delays_only_its_caller() {
    in_time(|| {
        let pool = pool_of(2);
        let (one, two) = (pool.acquire(1), pool.acquire(1));
        let (entered, is_inside) = mpsc::channel();
        let (proceed, may_proceed) = mpsc::channel::<()>();
        let may_proceed = Mutex::new(may_proceed);
        let slow = on_wake(move || {
            entered.send(()).expect("somebody waits");
            may_proceed.lock().expect("no panic").recv().expect("told to go on");
        });
        let mut first = queued(&pool, 1, slow.waker().0);
        let (waker, second_hooks) = Hooks::default().waker();
        let mut second = queued(&pool, 1, waker);
        let releaser = thread::spawn(move || drop(one));
        is_inside.recv().expect("it is woken");
        drop(two);
        assert_eq!(second_hooks.woken.load(Ordering::Relaxed), 1);
        assert!(poll(&mut second, Waker::noop()).is_some());
        proceed.send(()).expect("it waits");
        releaser.join().expect("no panic");
        assert!(poll(&mut first, Waker::noop()).is_some());
        assert_settled(&pool);
    });
}
