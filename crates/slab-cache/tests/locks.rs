//! Locks that use their own memory after the release, and locks that panic.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "locks are unsafe traits, and a source outlives its caches")]

mod config;

use std::alloc::Layout;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use allocator_api2::alloc::{AllocError, Allocator};
use config::With;
use lock_api::RawMutex;
use slab_cache::{Checked, Global, Hardened, Mode, SlabBox, SlabCache};

type Source = &'static Tracked;
/// A slab of 1024 bytes has three slots, the last one of a chunk two.
type Value = [u64; 40];
type Cache<R, M = Checked> = SlabCache<Value, With<R, Source, 1024, M>>;

/// A source that knows its live blocks.
#[derive(Default)]
struct Tracked(Mutex<HashMap<usize, (Block, Layout)>>);

struct Block(NonNull<u8>);

// SAFETY: a block that a source owns may be anywhere.
unsafe impl Send for Block {}

impl Tracked {
    fn blocks(&self) -> MutexGuard<'_, HashMap<usize, (Block, Layout)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live_blocks(&self) -> usize {
        self.blocks().len()
    }
}

// SAFETY: blocks are those of `Global`.
unsafe impl Allocator for Tracked {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        let block = Global.allocate(layout)?;
        self.blocks().insert(block.addr().get(), (Block(block.cast()), layout));
        Ok(block)
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        let known = self.blocks().remove(&block.addr().get());
        assert_eq!(known.map(|(_, layout)| layout), Some(layout), "not a live block");
        // SAFETY: the block was live, with that layout.
        unsafe { Global.deallocate(block, layout) };
    }
}

/// Owns a source that is `'static` to its caches.
struct SourceOwner(NonNull<Tracked>);

impl SourceOwner {
    fn new() -> Self {
        Self(NonNull::from(Box::leak(Box::default())))
    }

    fn get(&self) -> Source {
        // SAFETY: the source lives as long as this owner, which the test drops last.
        unsafe { self.0.as_ref() }
    }
}

/// Deallocates what a cache has lost, too.
impl Drop for SourceOwner {
    fn drop(&mut self) {
        // SAFETY: made by `new`. No handle and no box of a cache is left.
        let source = unsafe { Box::from_raw(self.0.as_ptr()) };
        for (_, (Block(block), layout)) in source.blocks().drain() {
            // SAFETY: the block is live, and no cache uses it any more.
            unsafe { Global.deallocate(block, layout) };
        }
    }
}

/// Where a thread stops inside `unlock`: after that many releases it says so and waits.
struct Stop {
    releases_left: usize,
    stopped: Sender<()>,
    go_on: Receiver<()>,
}

thread_local! {
    static STOP: RefCell<Option<Stop>> = const { RefCell::new(None) };
}

/// A spin lock that counts its releases once the next thread may already have it.
struct Lingering {
    is_held: AtomicBool,
    releases: AtomicUsize,
}

// SAFETY: the flag goes from clear to set for one thread at a time.
unsafe impl RawMutex for Lingering {
    const INIT: Self = Self { is_held: AtomicBool::new(false), releases: AtomicUsize::new(0) };
    type GuardMarker = lock_api::GuardSend;

    fn lock(&self) {
        while !self.try_lock() {
            thread::yield_now();
        }
    }

    fn try_lock(&self) -> bool {
        self.is_held
            .compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    unsafe fn unlock(&self) {
        self.is_held.store(false, Ordering::Release);
        let due = STOP.with_borrow_mut(|stop| {
            let left = &mut stop.as_mut()?.releases_left;
            *left -= 1;
            if *left == 0 { stop.take() } else { None }
        });
        if let Some(stop) = due {
            stop.stopped.send(()).expect("the test waits");
            let _ = stop.go_on.recv();
        }
        // Valid: the caller borrows the lock until this returns.
        self.releases.fetch_add(1, Ordering::Relaxed);
    }
}

type Action = Box<dyn FnOnce() + Send>;

/// Runs the first action of `setup` on a thread that stops inside its n-th `unlock`, and the second
/// meanwhile, for each n. Together they end the cache. Returns the number of unlocks.
fn at_each_unlock(setup: impl Fn(Source) -> (Action, Action)) -> usize {
    for nth in 1.. {
        let owner = SourceOwner::new();
        let (first, second) = setup(owner.get());
        let (stopped, is_stopped) = channel();
        let (goes_on, go_on) = channel();
        let thread = thread::spawn(move || {
            STOP.set(Some(Stop { releases_left: nth, stopped, go_on }));
            first();
            STOP.take().is_some()
        });
        let has_stopped = is_stopped.recv().is_ok();
        second();
        if has_stopped {
            assert!(owner.get().live_blocks() > 0, "a thread is inside the lock of a freed core");
        }
        let _ = goes_on.send(());
        let is_over = thread.join().expect("no panic");
        assert_eq!(owner.get().live_blocks(), 0, "the last thread that leaves frees the core");
        if is_over {
            return nth - 1;
        }
    }
    unreachable!("an action ends")
}

fn fill<M: Mode>(cache: &Cache<Lingering, M>, count: u64) -> Vec<Held<M>> {
    (0..count).map(|number| cache.alloc([number; 40]).expect("memory")).collect()
}

type Held<M> = SlabBox<Value, With<Lingering, Source, 1024, M>>;

#[test]
fn a_free_that_takes_the_lock_leaves_it_before_the_core_is_freed() {
    let unlocks = at_each_unlock(|source| {
        let cache = Cache::<_, Checked>::with_config_in(source).expect("memory");
        // The first slab is full and not the one that serves: its first free takes the lock.
        let mut held = fill(&cache, 4);
        drop(cache);
        let one = held.swap_remove(0);
        (Box::new(|| drop(one)), Box::new(|| drop(held)))
    });
    assert_eq!(unlocks, 1);
}

#[test]
fn a_hardened_free_leaves_the_lock_before_the_core_is_freed() {
    let unlocks = at_each_unlock(|source| {
        let cache = Cache::<_, Hardened>::with_config_in(source).expect("memory");
        let mut held = fill(&cache, 5);
        drop(cache);
        let one = held.swap_remove(0);
        (Box::new(|| drop(one)), Box::new(|| drop(held)))
    });
    assert!(unlocks >= 2, "one to look, one to free");
}

#[test]
fn a_chunk_goes_back_before_the_core_is_freed() {
    let unlocks = at_each_unlock(|source| {
        let cache = Cache::<_, Checked>::with_config_in(source).expect("memory");
        // A chunk has 11 slots: this is the first one and a part of the second.
        let mut rest = fill(&cache, 13);
        let last = rest.pop().expect("there are some");
        // All of the first chunk but its last slot is free.
        let one = rest.swap_remove(0);
        drop(rest);
        drop(cache);
        (Box::new(|| drop(one)), Box::new(|| drop(last)))
    });
    assert!(unlocks >= 2, "{unlocks}: one to free, one to say that the chunk is back");
}

#[test]
fn a_handle_leaves_the_lock_before_the_core_is_freed() {
    let unlocks = at_each_unlock(|source| {
        let cache = Cache::<_, Checked>::with_config_in(source).expect("memory");
        let held = fill(&cache, 1);
        (Box::new(|| drop(cache)), Box::new(|| drop(held)))
    });
    assert_eq!(unlocks, 1);
    let unlocks = at_each_unlock(|source| {
        let cache = Cache::<_, Checked>::with_config_in(source).expect("memory");
        // Twice, so that the cache keeps several empty chunks.
        let count = 100;
        drop(fill(&cache, count));
        drop(fill(&cache, count));
        let held = fill(&cache, 1);
        (Box::new(|| drop(cache)), Box::new(|| drop(held)))
    });
    assert!(unlocks > 3, "{unlocks}: one for each empty chunk");
}

#[cfg(feature = "std")]
mod thread_caches {
    use super::*;

    fn cached(source: Source) -> Cache<Lingering> {
        Cache::with_thread_caches_in(source).expect("memory")
    }

    #[test]
    fn a_free_after_the_last_handle_leaves_the_lock_before_the_core_is_freed() {
        let unlocks = at_each_unlock(|source| {
            let cache = cached(source);
            let mut held = fill(&cache, 4);
            drop(cache);
            let one = held.swap_remove(0);
            (Box::new(|| drop(one)), Box::new(|| drop(held)))
        });
        assert_eq!(unlocks, 1);
    }

    #[test]
    fn a_thread_that_flushes_leaves_the_lock_before_the_core_is_freed() {
        let unlocks = at_each_unlock(|source| {
            let cache = cached(source);
            let held = cache.alloc([1; 40]).expect("memory");
            let (to_main, from_thread) = channel();
            let (closed, is_closed) = channel::<()>();
            let first = move || {
                let stop = STOP.take();
                drop(cache.alloc([2; 40]));
                to_main.send(cache).expect("the test waits");
                assert!(is_closed.recv().is_err());
                STOP.set(stop);
                // Looks for closed caches.
                let other = SlabCache::<u64, With<spin::Mutex<()>>>::with_thread_caches();
                drop(other.expect("memory").alloc(1));
            };
            // The flush waits for this thread, so that it cannot be the second action.
            let thread = thread::spawn(move || {
                drop(from_thread.recv());
                drop(closed);
            });
            let second = move || {
                thread.join().expect("no panic");
                drop(held);
            };
            (Box::new(first), Box::new(second))
        });
        assert!(unlocks >= 1);
    }
}

/// A spin lock that panics when its turn comes.
struct Fragile(spin::Mutex<()>);

thread_local! {
    static CALLS_LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
}

impl Fragile {
    /// Panics if this call is the one.
    fn count(what: &str) {
        let left = CALLS_LEFT.get();
        CALLS_LEFT.set(left.saturating_sub(1));
        if left == 1 {
            panic!("{what} panics by plan");
        }
    }
}

// SAFETY: it is `spin`'s lock. A panic comes before it is taken, or after it is released.
unsafe impl RawMutex for Fragile {
    const INIT: Self = Self(<spin::Mutex<()> as RawMutex>::INIT);
    type GuardMarker = lock_api::GuardSend;

    fn lock(&self) {
        Self::count("lock");
        RawMutex::lock(&self.0);
    }

    fn try_lock(&self) -> bool {
        RawMutex::try_lock(&self.0)
    }

    unsafe fn unlock(&self) {
        // SAFETY: the caller holds it.
        unsafe { RawMutex::unlock(&self.0) };
        Self::count("unlock");
    }
}

/// Runs operations on a cache whose lock panics in its n-th call, for each n. Afterwards the cache works as
/// before, and at most `lost_max` slots stay in use that no box owns.
fn at_each_panic<M: Mode>(make: impl Fn(Source) -> Cache<Fragile, M>, lost_max: u64) {
    std::panic::set_hook(Box::new(|_| {}));
    // A chunk has 11 slots, so that there are several chunks in either case.
    let (count, step) = if cfg!(miri) { (13, 50) } else { (40, 1) };
    for nth in (1..).step_by(step) {
        let owner = SourceOwner::new();
        let cache = make(owner.get());
        let mut held: Vec<_> = Vec::new();
        CALLS_LEFT.set(nth);
        for round in 0..2 {
            for number in 0..count {
                let alloc = || cache.alloc([number; 40]).expect("memory");
                held.extend(catch_unwind(AssertUnwindSafe(alloc)));
            }
            for one in held.drain(round..) {
                let _ = catch_unwind(AssertUnwindSafe(|| drop(one)));
            }
            let _ = catch_unwind(AssertUnwindSafe(|| cache.reclaim()));
        }
        let has_ended = CALLS_LEFT.replace(usize::MAX) != 0;
        cache.reclaim();
        let lost = cache.stats().live - held.len() as u64;
        assert!(lost <= lost_max, "call {nth}: {lost} slots are lost");
        assert_eq!(cache.alloc([7; 40]).map(|held| held[39]), Ok(7));
        assert!(held.iter().all(|value| value[0] == value[39]));
        drop(held);
        drop(cache);
        let blocks = owner.get().live_blocks();
        if lost == 0 {
            assert_eq!(blocks, 0, "call {nth}");
        } else {
            assert!(
                (1..=2).contains(&blocks),
                "call {nth}: {blocks} blocks, not the core and a chunk"
            );
        }
        if has_ended {
            assert!(nth > 10, "{nth} calls");
            return;
        }
    }
}

#[test]
fn a_lock_that_panics_loses_one_slot_at_most() {
    at_each_panic(|source| Cache::<_, Checked>::with_config_in(source).expect("memory"), 1);
    at_each_panic(|source| Cache::<_, Hardened>::with_config_in(source).expect("memory"), 1);
    #[cfg(feature = "std")]
    at_each_panic(|source| Cache::<_, Checked>::with_thread_caches_in(source).expect("memory"), 1);
}
