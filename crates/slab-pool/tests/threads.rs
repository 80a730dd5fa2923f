//! Many threads, and threads at their ends.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use slab_pool::{BufferPool, PooledBuffer};

const MIRI: bool = cfg!(miri);

fn bytes_idle(pool: &BufferPool) -> usize {
    pool.detailed_stats().retained_bytes
}

#[test]
fn a_thread_that_ends_leaves_its_buffers_to_others() {
    let pool = BufferPool::new(64);
    let made = if MIRI { 6 } else { 40 };
    thread::spawn({
        let pool = Arc::clone(&pool);
        move || drop((0..made).map(|_| pool.acquire(1)).collect::<Vec<_>>())
    })
    .join()
    .expect("no panic");
    assert_eq!(pool.idle(0), made);
    drop((0..made).map(|_| pool.acquire(1)).collect::<Vec<_>>());
    assert_eq!((pool.misses(), pool.recycles()), (made as u64, made as u64));
}

#[test]
fn the_pool_may_go_before_its_buffers_and_threads() {
    let pool = BufferPool::new(8);
    let (mut here, there) = (pool.acquire(1), pool.acquire(5000));
    let (go, wait) = channel::<()>();
    let thread = thread::spawn({
        let pool = Arc::clone(&pool);
        move || {
            drop(pool.acquire(1));
            drop(pool);
            // The cache of this thread outlives the pool.
            wait.recv().expect("told to go on");
            drop(there);
        }
    });
    while Arc::strong_count(&pool) > 1 {
        thread::yield_now();
    }
    drop(pool);
    here[0] = 1;
    here.resize(10_000, 2);
    assert_eq!((here[0], here[9999]), (1, 2));
    let frozen = here.freeze();
    assert_eq!(frozen.slice(9999..).len(), 1);
    drop(frozen);
    go.send(()).expect("it waits");
    thread.join().expect("no panic");
}

#[test]
fn buffers_return_while_unwinding() {
    let pool = BufferPool::new(8);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let _buffers = (pool.acquire(1), pool.acquire(1).freeze());
        panic!("on purpose");
    }));
    assert!(outcome.is_err());
    assert_eq!(pool.idle(0), 2);
}

thread_local! {
    static KEPT: RefCell<Vec<PooledBuffer>> = const { RefCell::new(Vec::new()) };
}

/// Whichever destructor runs first, the pool's or the other one.
#[test]
fn buffers_in_thread_locals_return() {
    for kept_first in [true, false] {
        let pool = BufferPool::new(8);
        thread::spawn({
            let pool = Arc::clone(&pool);
            move || {
                if kept_first {
                    KEPT.with_borrow_mut(Vec::clear);
                }
                let buffers = [pool.acquire(1), pool.acquire(1), pool.acquire_for_write(1)];
                KEPT.with_borrow_mut(|kept| kept.extend(buffers));
            }
        })
        .join()
        .expect("no panic");
        assert_eq!(pool.idle(0), 3, "{kept_first}");
        assert_eq!(pool.acquire(1).len(), 4096);
        assert_eq!(pool.recycles(), 1);
    }
}

/// Uses the pool when its thread's caches are gone already.
struct Late(Option<Arc<BufferPool>>);

impl Drop for Late {
    fn drop(&mut self) {
        if let Some(pool) = &self.0 {
            assert_eq!(pool.acquire(1).len(), 4096);
            drop((0..10).map(|_| pool.acquire(1)).collect::<Vec<_>>());
        }
    }
}

thread_local! {
    static LATE: RefCell<Late> = const { RefCell::new(Late(None)) };
}

#[test]
fn a_thread_without_caches_uses_the_shared_tier() {
    let pool = BufferPool::new(8);
    thread::spawn({
        let pool = Arc::clone(&pool);
        move || {
            LATE.with_borrow_mut(|late| late.0 = Some(Arc::clone(&pool)));
            drop(pool.acquire(1));
        }
    })
    .join()
    .expect("no panic");
    assert_eq!((pool.allocations(), pool.idle(0)), (12, 8));
}

#[test]
fn a_producer_is_fed_by_a_consumer() {
    let pool = BufferPool::new(64);
    let (sender, receiver) = sync_channel::<PooledBuffer>(4);
    let count = if MIRI { 60 } else { 10_000 };
    let consumer = thread::spawn(move || {
        for (at, buffer) in receiver.into_iter().enumerate() {
            assert_eq!(buffer[0], at as u8);
        }
    });
    for at in 0..count {
        let mut buffer = pool.acquire(1);
        buffer.write_at(0, &[at as u8]).expect("inside");
        sender.send(buffer).expect("the consumer stays");
    }
    drop(sender);
    consumer.join().expect("no panic");
    let stats = pool.detailed_stats();
    assert!(stats.totals.misses <= 64 + 8, "{stats:?}");
    assert!(stats.classes[0].idle <= 64);
}

#[test]
fn trimming_reaches_other_threads_when_they_come_by() {
    let pool = BufferPool::new(64);
    let (go, wait) = channel::<()>();
    let (done, told) = channel();
    let other = thread::spawn({
        let pool = Arc::clone(&pool);
        move || {
            drop((0..10).map(|_| pool.acquire(1)).collect::<Vec<_>>());
            let held = pool.acquire(1);
            done.send(()).expect("somebody listens");
            wait.recv().expect("told to go on");
            drop(held);
            assert_eq!(pool.idle(0), 1, "only the last one stays");
        }
    });
    told.recv().expect("done");
    let freed = pool.trim();
    assert_eq!((freed, bytes_idle(&pool)), (0, 9 * 4096));
    go.send(()).expect("it waits");
    other.join().expect("no panic");
    assert_eq!(pool.trim(), 4096);
    assert_eq!(bytes_idle(&pool), 0);
}

#[test]
fn idle_buffers_decay_and_used_ones_stay() {
    let interval = Duration::from_secs(10);
    let pool = BufferPool::builder().idle_decay(interval).capacity_per_class(1000).build();
    let pool = pool.expect("sound");
    let start = Instant::now();
    let burst = if MIRI { 70 } else { 500 };
    drop((0..burst).map(|_| pool.acquire(1)).collect::<Vec<_>>());
    assert_eq!(pool.idle(0), burst);
    assert_eq!(pool.decay(start), 0, "too early");
    for tick in 1..6 {
        // A thread that keeps using three.
        drop((0..3).map(|_| pool.acquire(1)).collect::<Vec<_>>());
        pool.decay(start + interval * tick);
    }
    let idle = pool.idle(0);
    assert!((3..70.min(burst)).contains(&idle), "{idle}");
    let misses = pool.misses();
    drop((0..3).map(|_| pool.acquire(1)).collect::<Vec<_>>());
    assert_eq!(pool.misses(), misses);
    for tick in 6..10 {
        pool.decay(start + interval * tick);
    }
    assert_eq!(pool.idle(0), 0, "no thread used any");
}

/// No call of `decay`: threads that use the pool sweep it, in every sixteenth of their slow paths.
#[test]
fn a_pool_in_use_decays_by_itself() {
    let interval = Duration::from_millis(if MIRI { 1 } else { 20 });
    // With a limit of outstanding bytes every acquire and release takes the slow path.
    let builder = BufferPool::builder().outstanding_bytes_max(8 << 20);
    let pool = builder.idle_decay(interval).capacity_per_class(1000).build().expect("sound");
    let burst = if MIRI { 70 } else { 500 };
    drop((0..burst).map(|_| pool.acquire(1)).collect::<Vec<_>>());
    assert_eq!(pool.idle(0), burst);
    let patience = Instant::now() + Duration::from_secs(30);
    while pool.idle(0) > 0 {
        assert!(Instant::now() < patience, "{} buffers are still idle", pool.idle(0));
        // Another class than that of the idle buffers.
        (0..16).for_each(|_| drop(pool.acquire(5000)));
        thread::sleep(interval);
    }
}

#[test]
fn without_decay_idle_buffers_stay() {
    let builder = BufferPool::builder().outstanding_bytes_max(8 << 20);
    let pool = builder.idle_decay(Duration::ZERO).no_idle_decay().build().expect("sound");
    drop(pool.acquire(1));
    (0..100).for_each(|_| drop(pool.acquire(5000)));
    assert_eq!(pool.idle(0), 1);
}

/// Contents that say whose buffer it is: two owners of one would notice.
#[test]
fn stress_with_contents() {
    let pools = [BufferPool::new(16), BufferPool::new(3)];
    let deadline = Instant::now() + Duration::from_millis(if MIRI { 0 } else { 1500 });
    let threads = if MIRI { 3 } else { 6 };
    thread::scope(|scope| {
        let mut mail = Vec::new();
        let mut boxes = Vec::new();
        for _ in 0..threads {
            let (sender, receiver) = channel::<(PooledBuffer, u64)>();
            mail.push(sender);
            boxes.push(receiver);
        }
        let work = boxes.into_iter().enumerate().map(|(me, inbox)| {
            let (mail, pools) = (mail.clone(), &pools);
            scope.spawn(move || {
                let mut state = me as u64 + 1;
                let mut held: Vec<(PooledBuffer, u64)> = Vec::new();
                let mut rounds = 0;
                while rounds < 40 || Instant::now() < deadline {
                    rounds += 1;
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
                    let dice = (state >> 40) as usize;
                    if held.len() < 12 && !dice.is_multiple_of(3) {
                        let size = [1, 4096, 4097, 20_000][dice % 4];
                        let mut buffer = pools[dice % 2].acquire(size);
                        let len = buffer.len();
                        assert!(buffer[..64] == [0; 64] && buffer[len - 64..] == [0; 64]);
                        buffer.write_at(0, &state.to_le_bytes()).expect("inside");
                        buffer.write_at(len - 8, &state.to_le_bytes()).expect("inside");
                        held.push((buffer, state));
                    } else if !held.is_empty() {
                        let gone = held.swap_remove(dice % held.len());
                        check(&gone);
                        if dice.is_multiple_of(5) {
                            // A thread that has ended drops it with its inbox.
                            let _ = mail[dice % mail.len()].send(gone);
                        }
                    }
                    inbox.try_iter().for_each(|gone| check(&gone));
                }
                held.iter().for_each(check);
            })
        });
        // The scope itself waits for the closures alone, and what threads keep moves when they end.
        let threads: Vec<_> = work.collect();
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    });
    for pool in &pools {
        let stats = pool.detailed_stats();
        for class in &stats.classes {
            assert!(class.idle <= class.capacity, "{class:?}");
        }
        assert!(stats.totals.allocations > if MIRI { 3 } else { 20 }, "{stats:?}");
    }
}

fn check((buffer, number): &(PooledBuffer, u64)) {
    assert_eq!(buffer[..8], number.to_le_bytes());
    assert_eq!(buffer[buffer.len() - 8..], number.to_le_bytes());
}
