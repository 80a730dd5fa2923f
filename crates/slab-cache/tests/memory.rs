//! Where the memory comes from: refused at each step in turn, given back once, never asked for with
//! the lock held.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "memory sources are unsafe traits")]

mod config;

use std::alloc::Layout;
use std::cell::Cell;
use std::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator};
use config::With;
use lock_api::RawMutex;
use slab_bytes::SlabByteAllocator;
use slab_cache::{
    CacheError, Checked, Full, Global, Hardened, Mode, NoLock, SlabCache, Unchecked, WithSource,
};
use slab_testkit::{Arena, FailingSource, for_each_failure};
use slab_traits::Locked;

type Spin = spin::Mutex<()>;

/// Fills and empties a cache, some of whose requests may be refused.
fn scenario<R: RawMutex + 'static, M: Mode>(source: &FailingSource<Global>) {
    let cache = SlabCache::<[u64; 25], With<R, _, 1024, M>>::with_config_in(source);
    let Ok(cache) = cache else { return };
    let (count, mut refused) = (if cfg!(miri) { 24 } else { 200 }, 0);
    let mut held = Vec::new();
    for n in 0..count {
        match cache.alloc([n; 25]) {
            Ok(made) => held.push(made),
            Err(Full(value)) => {
                assert_eq!(value, [n; 25], "the value comes back");
                refused += 1;
            }
        }
    }
    assert_eq!(cache.stats().live, count - refused);
    assert!(held.windows(2).all(|pair| pair[0][0] < pair[1][24]));
    held.retain(|held| held[0] % 7 == 0);
    cache.reclaim();
    if let Err(Full(make)) = cache.alloc_with(|| [1; 25]) {
        assert_eq!(make(), [1; 25], "the closure comes back");
    }
    let handle = cache.clone();
    drop(cache);
    held.truncate(3);
    drop(handle);
}

#[test]
fn a_refusal_at_any_step_loses_nothing() {
    let least = if cfg!(miri) { 3 } else { 9 };
    assert!(for_each_failure(scenario::<NoLock, Checked>) >= least);
    assert!(for_each_failure(scenario::<Spin, Checked>) >= least);
    assert!(for_each_failure(scenario::<Spin, Hardened>) >= least);
    assert!(for_each_failure(scenario::<NoLock, Unchecked>) >= least);
}

#[test]
fn a_refused_record_is_an_error() {
    let source = FailingSource::failing_from(Global, 1);
    let refused = SlabCache::<u64, WithSource<_>>::new_in(&source).map(|_| ());
    assert!(matches!(refused, Err(CacheError::OutOfMemory { .. })), "{refused:?}");
}

#[test]
fn chunks_shrink_where_the_source_has_little_room() {
    /// Refuses all that is longer.
    struct Short(usize);
    // SAFETY: refusing is permitted; the rest is `Global`'s.
    unsafe impl Allocator for Short {
        fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
            if layout.size() > self.0 { Err(AllocError) } else { Global.allocate(layout) }
        }
        unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
            // SAFETY: the caller passes a live block with its layout, and `Global` allocated it.
            unsafe { Global.deallocate(block, layout) };
        }
    }
    let cache = SlabCache::<u64, WithSource<_>>::new_in(Short(4096)).expect("memory");
    drop(cache.alloc(1).expect("a chunk of one slab"));
    assert_eq!(cache.stats().slabs, 1);
    // The chunk's record takes the only slot of a slab: two slabs are the least.
    let cache = SlabCache::<[u8; 4032], WithSource<_>>::new_in(Short(8192)).expect("memory");
    drop(cache.alloc([0; 4032]).expect("a chunk of two slabs"));
    assert_eq!(cache.stats().slots, 1);
    let cache = SlabCache::<[u8; 4032], WithSource<_>>::new_in(Short(4096)).expect("memory");
    assert!(cache.alloc([0; 4032]).is_err());
}

#[test]
fn empty_chunks_leave_and_what_swings_is_kept() {
    let source = FailingSource::new(Global);
    let cache =
        SlabCache::<[u64; 8], With<NoLock, _, 1024>>::with_config_in(&source).expect("memory");
    let count = if cfg!(miri) { 300 } else { 3000 };
    let swing = || {
        let held: Vec<_> = (0..count).map(|_| cache.alloc([0; 8]).expect("memory")).collect();
        drop(held);
        cache.stats()
    };
    let first = swing();
    assert!(first.held_bytes < first.held_bytes_peak / 2, "{first:?}");
    assert_eq!(first.live, 0);
    swing();
    let requests = source.requests();
    let kept = swing();
    assert!(source.requests() <= requests + 1, "the memory was there");
    assert!(kept.held_bytes > first.held_bytes);
    assert_eq!(cache.reclaim() + size_of_rest(&cache.stats()), kept.held_bytes);
    assert_eq!((cache.stats().slabs, source.live_blocks()), (0, 1), "the cache's own record");
    let again = swing();
    assert!(again.held_bytes < again.held_bytes_peak / 2, "forgotten: {again:?}");
    drop(cache);
    assert_eq!(source.live_blocks(), 0);
}

fn size_of_rest(stats: &slab_cache::Stats) -> usize {
    stats.held_bytes
}

#[test]
fn statistics_count_slots_slabs_and_bytes() {
    let source = FailingSource::new(Global);
    let cache =
        SlabCache::<[u64; 8], With<NoLock, _, 1024>>::with_config_in(&source).expect("memory");
    let held: Vec<_> = (0..100).map(|_| cache.alloc([0; 8]).expect("memory")).collect();
    let stats = cache.stats();
    assert_eq!(stats.live, 100);
    assert_eq!(stats.held_bytes, source.live_bytes());
    assert!(stats.slots >= 100 && stats.slabs_used <= stats.slabs);
    assert_eq!(stats.slabs_used, stats.slabs_used_peak);
    drop(held);
    assert_eq!(cache.stats().slabs_used_peak, stats.slabs_used_peak);
    assert!(cache.stats().slabs_used <= 1, "the front's");
}

#[test]
fn the_record_of_a_chunk_takes_a_slot_not_a_slab() {
    let cache = SlabCache::<[u64; 8]>::new().expect("memory");
    let _held = cache.alloc([0; 8]).expect("memory");
    let stats = cache.stats();
    assert_eq!(stats.slots, stats.slabs as u64 * 63 - 1);
}

thread_local! {
    static HOLDS_LOCK: Cell<bool> = const { Cell::new(false) };
}

/// A lock that knows whether this thread holds it.
struct Watched(Spin);

// SAFETY: it is `spin`'s lock.
unsafe impl RawMutex for Watched {
    const INIT: Self = Self(<Spin as RawMutex>::INIT);
    type GuardMarker = lock_api::GuardNoSend;

    fn lock(&self) {
        RawMutex::lock(&self.0);
        HOLDS_LOCK.set(true);
    }

    fn try_lock(&self) -> bool {
        unreachable!("the cache always waits")
    }

    unsafe fn unlock(&self) {
        HOLDS_LOCK.set(false);
        // SAFETY: the caller holds it.
        unsafe { RawMutex::unlock(&self.0) };
    }
}

/// A source that is only used without the lock.
struct Unlocked;

// SAFETY: it is `Global`.
unsafe impl Allocator for Unlocked {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        assert!(!HOLDS_LOCK.get(), "asked for memory under the lock");
        Global.allocate(layout)
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        assert!(!HOLDS_LOCK.get(), "gave memory back under the lock");
        // SAFETY: the caller passes a live block with its layout, and `Global` allocated it.
        unsafe { Global.deallocate(block, layout) };
    }
}

impl Drop for Unlocked {
    fn drop(&mut self) {
        assert!(!HOLDS_LOCK.get(), "dropped under the lock");
    }
}

#[test]
fn the_source_is_never_called_under_the_lock() {
    let cache =
        SlabCache::<[u64; 8], With<Watched, _, 512>>::with_config_in(Unlocked).expect("memory");
    for _ in 0..3 {
        let held: Vec<_> = (0..200).map(|_| cache.alloc([0; 8]).expect("memory")).collect();
        let other = cache.clone();
        drop(held);
        drop(other);
        cache.reclaim();
    }
    let held: Vec<_> = (0..50).map(|_| cache.alloc([0; 8]).expect("memory")).collect();
    drop(cache);
    drop(held);
}

/// A lock that masks interrupts, where there are any.
struct Critical;

thread_local! {
    static RESTORE: Cell<Option<critical_section::RestoreState>> = const { Cell::new(None) };
}

// SAFETY: a critical section excludes all others.
unsafe impl RawMutex for Critical {
    const INIT: Self = Self;
    type GuardMarker = lock_api::GuardNoSend;

    fn lock(&self) {
        // SAFETY: released by `unlock`, on this thread, in reverse order.
        RESTORE.set(Some(unsafe { critical_section::acquire() }));
    }

    fn try_lock(&self) -> bool {
        self.lock();
        true
    }

    unsafe fn unlock(&self) {
        if let Some(state) = RESTORE.take() {
            // SAFETY: `lock` got the state from `acquire`.
            unsafe { critical_section::release(state) };
        }
    }
}

#[test]
fn any_lock_will_do() {
    fn run<R: RawMutex + 'static>() {
        let cache = SlabCache::<u64, With<R>>::with_config().expect("memory");
        let held: Vec<_> = (0..100).map(|n| cache.alloc(n).expect("memory")).collect();
        assert_eq!(held.iter().map(|held| **held).sum::<u64>(), 4950);
        drop(held);
        assert_eq!(cache.stats().live, 0);
    }
    run::<Critical>();
    run::<parking_lot::RawMutex>();
    run::<Spin>();
    run::<NoLock>();
}

#[test]
fn a_cache_lives_in_a_region_of_the_callers() {
    let arena = Arena::new(if cfg!(miri) { 32 * 1024 } else { 256 * 1024 }, 8);
    let heap: Locked<Spin, SlabByteAllocator> = Locked::new(SlabByteAllocator::new());
    // SAFETY: the arena outlives the heap, and only the heap uses it.
    unsafe { heap.add_region(arena.region()) }.expect("a region");
    let used_before = heap.used_bytes();
    let cache = SlabCache::<[u64; 8], With<Spin, _>>::with_config_in(&heap).expect("memory");
    let mut held = Vec::new();
    while let Ok(made) = cache.alloc([held.len() as u64; 8]) {
        held.push(made);
    }
    let bytes = held.len() * 64;
    assert!(bytes > heap.total_bytes() / 2, "{bytes} of {}", heap.total_bytes());
    assert!(held.iter().enumerate().all(|(n, held)| held[7] == n as u64));
    held.pop();
    held.push(cache.alloc([0; 8]).expect("a slot came back"));
    drop(held);
    drop(cache);
    assert_eq!(heap.used_bytes(), used_before, "every chunk came back");
}
