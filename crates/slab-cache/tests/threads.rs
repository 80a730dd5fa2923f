//! Boxes that are made on one thread and dropped on another.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "a source that several threads use for as long as they need")]

mod config;

use std::ptr::NonNull;
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::thread;

use config::With;
use lock_api::RawMutex;
use slab_cache::{Checked, Global, Hardened, Mode, SlabBox, SlabCache, Unchecked};
use slab_testkit::FailingSource;

type Spin = spin::Mutex<()>;
/// Under Miri it makes pointers of numbers, when threads wait for it.
#[cfg(not(miri))]
type Waiting = parking_lot::RawMutex;
#[cfg(miri)]
type Waiting = Spin;
type Cache<T, R, A = Global, M = Checked> = SlabCache<T, With<R, A, 1024, M>>;

const ROUNDS: u64 = if cfg!(miri) { 8 } else { 20_000 };

/// A value that knows what it should be.
struct Stamped {
    words: [u64; 7],
    drops: Arc<()>,
}

impl Stamped {
    fn new(number: u64, drops: &Arc<()>) -> Self {
        Self { words: std::array::from_fn(|at| number ^ at as u64), drops: Arc::clone(drops) }
    }

    fn check(&self) {
        let number = self.words[0];
        assert!(self.words.iter().enumerate().all(|(at, word)| *word == number ^ at as u64));
    }
}

impl Drop for Stamped {
    fn drop(&mut self) {
        self.check();
        self.words = [u64::MAX; 7];
        assert!(Arc::strong_count(&self.drops) > 1);
    }
}

/// Threads send each other boxes, check their content and drop them.
fn exchange<R, M>(cache: &Cache<Stamped, R, &'static FailingSource<Global>, M>)
where
    R: RawMutex + Send + Sync + 'static,
    M: Mode,
{
    const THREADS: usize = 3;
    let drops = Arc::new(());
    type Ends<T> = (Vec<std::sync::mpsc::Sender<T>>, Vec<std::sync::mpsc::Receiver<T>>);
    type Held<R, M> = SlabBox<Stamped, With<R, &'static FailingSource<Global>, 1024, M>>;
    let (senders, receivers): Ends<Held<R, M>> = (0..THREADS).map(|_| channel()).unzip();
    thread::scope(|scope| {
        for (id, inbox) in receivers.into_iter().enumerate() {
            let (senders, drops, cache) = (senders.clone(), Arc::clone(&drops), cache.clone());
            scope.spawn(move || {
                let mut kept = Vec::new();
                for round in 0..ROUNDS {
                    let number = round << 8 | id as u64;
                    let made = cache.alloc(Stamped::new(number, &drops)).expect("memory");
                    match round % 4 {
                        0 => kept.push(made),
                        1 => drop(made),
                        way => drop(senders[(id + way as usize) % THREADS].send(made)),
                    }
                    if round % 3 == 0 {
                        inbox.try_iter().for_each(|held| held.check());
                    }
                    if kept.len() > 100 {
                        kept.drain(..50).for_each(|held| held.check());
                    }
                }
                drop(senders);
                inbox.iter().for_each(|held| held.check());
            });
        }
        drop(senders);
    });
    assert_eq!(Arc::strong_count(&drops), 1, "each value was dropped once");
}

/// A source that is there as long as a cache of threads may ask for, until the test has seen all blocks
/// come back.
struct Source(NonNull<FailingSource<Global>>);

impl Source {
    fn new() -> Self {
        Self(NonNull::from(Box::leak(Box::new(FailingSource::new(Global)))))
    }

    fn get(&self) -> &'static FailingSource<Global> {
        // SAFETY: the source is there until this is dropped, which the caches do not outlive.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // SAFETY: made by `new`, and without a live block no cache uses it.
        let source = unsafe { Box::from_raw(self.0.as_ptr()) };
        assert!(std::thread::panicking() || source.live_blocks() == 0);
    }
}

fn stress<R: RawMutex + Send + Sync + 'static, M: Mode>() {
    let owner = Source::new();
    let source = owner.get();
    let cache = Cache::<Stamped, R, _, M>::with_config_in(source).expect("memory");
    exchange(&cache);
    assert_eq!(cache.stats().live, 0);
    cache.reclaim();
    assert_eq!(cache.stats().slabs, 0);
    drop(cache);
    assert_eq!(source.live_blocks(), 0);
}

#[test]
fn exchanged_boxes_keep_their_values() {
    stress::<Spin, Checked>();
    stress::<Waiting, Hardened>();
    // Under Miri both locks are the same, and the modes differ in what they check alone.
    if !cfg!(miri) {
        stress::<Spin, Unchecked>();
        stress::<Waiting, Checked>();
    }
}

#[test]
fn boxes_dropped_elsewhere_come_home() {
    let cache = Cache::<[u64; 8], Spin>::with_config().expect("memory");
    let count: u64 = if cfg!(miri) { 40 } else { 100 };
    for _ in 0..3 {
        let held: Vec<_> = (0..count).map(|n| cache.alloc([n; 8]).expect("memory")).collect();
        thread::spawn(move || drop(held)).join().expect("no panic");
        assert_eq!(cache.stats().live, 0);
    }
    let slabs_max = count.div_ceil(12) as usize;
    assert!(cache.stats().slabs_used_peak <= slabs_max, "the slots were used again");
    assert!(cache.reclaim() > 0);
    assert_eq!(cache.stats().slabs, 0);
}

#[test]
fn the_last_box_on_any_thread_ends_the_cache() {
    for _ in 0..if cfg!(miri) { 2 } else { 300 } {
        let source = FailingSource::new(Global);
        let cache = Cache::<u64, Spin, _>::with_config_in(&source).expect("memory");
        let mut held: Vec<_> = (0..40).map(|n| cache.alloc(n).expect("memory")).collect();
        let rest = held.split_off(20);
        let barrier = Barrier::new(3);
        thread::scope(|scope| {
            for held in [held, rest] {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    drop(held);
                });
            }
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                drop(cache);
            });
        });
        assert_eq!(source.live_blocks(), 0);
    }
}

#[test]
fn handles_and_boxes_are_sent_where_the_lock_permits() {
    fn shared<T: Send + Sync>() {}
    shared::<Cache<u64, Spin>>();
    shared::<SlabBox<u64, With<Spin>>>();
    // A cache owns no value: one for values of a single thread may be anywhere.
    shared::<Cache<*const u64, Spin>>();
}

#[cfg(feature = "std")]
mod thread_caches {
    use super::*;

    /// More boxes than a thread keeps slots.
    const COUNT: u64 = if cfg!(miri) { 40 } else { 90 };

    #[test]
    fn exchanged_boxes_keep_their_values() {
        let owner = Source::new();
        let source = owner.get();
        let cache = Cache::<Stamped, Spin, _>::with_thread_caches_in(source).expect("memory");
        exchange(&cache);
        cache.flush_thread_cache();
        assert_eq!(cache.stats().live, 0, "the threads gave all back");
        drop(cache);
        assert_eq!(source.live_blocks(), 0);
    }

    #[test]
    fn a_thread_that_ends_gives_its_slots_back() {
        let cache = Cache::<u64, Spin>::with_thread_caches().expect("memory");
        thread::scope(|scope| {
            let work = || {
                let count = if cfg!(miri) { 40 } else { 200 };
                for n in 0..count {
                    drop(cache.alloc(n));
                }
                assert!(cache.stats().live > 0, "the thread keeps some");
            };
            // Without `join` the thread may not be past its last destructor.
            scope.spawn(work).join().expect("no panic");
        });
        assert_eq!(cache.stats().live, 0);
    }

    #[test]
    fn several_caches_used_in_turn_keep_theirs() {
        let count = if cfg!(miri) { 4 } else { 20 };
        let caches: Vec<_> =
            (0..count).map(|_| Cache::<u64, Spin>::with_thread_caches().expect("memory")).collect();
        for cache in &caches {
            drop(cache.alloc(0));
        }
        let before: Vec<_> = caches.iter().map(|cache| cache.stats().live).collect();
        let places: Vec<_> =
            caches.iter().map(|cache| SlabBox::as_ptr(&cache.alloc(1).expect("memory"))).collect();
        for _ in 0..5 {
            for (cache, place) in caches.iter().zip(&places) {
                let held = cache.alloc(2).expect("memory");
                assert_eq!(SlabBox::as_ptr(&held), *place, "the slot used last");
            }
        }
        let after: Vec<_> = caches.iter().map(|cache| cache.stats().live).collect();
        assert_eq!(before, after);
        assert!(before.iter().all(|&live| live > 0));
    }

    #[test]
    fn boxes_may_be_dropped_while_a_thread_ends() {
        type Held = SlabBox<u64, With<Spin, Global, 1024>>;
        thread_local! {
            static HELD: std::cell::RefCell<Vec<Held>> = const { std::cell::RefCell::new(Vec::new()) };
        }
        let cache = Cache::<u64, Spin>::with_thread_caches().expect("memory");
        for is_first in [true, false] {
            thread::scope(|scope| {
                let work = || {
                    // Which of the two is destroyed first depends on which was used first.
                    if is_first {
                        HELD.with_borrow_mut(Vec::clear);
                    }
                    let held: Vec<_> =
                        (0..COUNT).map(|n| cache.alloc(n).expect("memory")).collect();
                    HELD.with_borrow_mut(|all| all.extend(held));
                };
                scope.spawn(work).join().expect("no panic");
            });
        }
        assert_eq!(cache.stats().live, 0);
    }

    #[test]
    fn boxes_may_be_dropped_by_a_panic() {
        let cache = Cache::<u64, Spin>::with_thread_caches().expect("memory");
        let outcome = thread::scope(|scope| {
            let work = || {
                let _held: Vec<_> = (0..COUNT).map(|n| cache.alloc(n).expect("memory")).collect();
                std::panic::resume_unwind(Box::new(()));
            };
            scope.spawn(work).join()
        });
        assert!(outcome.is_err());
        assert_eq!(cache.stats().live, 0);
    }

    #[test]
    fn a_closed_cache_gets_its_slots_back() {
        let owner = Source::new();
        let source = owner.get();
        let cache = Cache::<u64, Spin, _>::with_thread_caches_in(source).expect("memory");
        drop(cache.alloc(1));
        thread::spawn(move || drop(cache)).join().expect("no panic");
        assert!(source.live_blocks() > 0, "this thread has slots of it");
        let other = Cache::<u64, Spin>::with_thread_caches().expect("memory");
        drop(other.alloc(1));
        assert_eq!(source.live_blocks(), 0, "it looked for closed caches");
    }

    #[test]
    fn the_thread_that_closes_a_cache_keeps_nothing() {
        let owner = Source::new();
        let source = owner.get();
        let cache = Cache::<u64, Spin, _>::with_thread_caches_in(source).expect("memory");
        let held = cache.alloc(1).expect("memory");
        drop(cache.alloc(1));
        drop(cache);
        assert_eq!(*held, 1);
        drop(held);
        assert_eq!(source.live_blocks(), 0);
    }
}
