//! Sources, locks and values that use the cache that calls them.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "sources and locks are unsafe traits")]

mod config;

use std::alloc::Layout;
use std::cell::{Cell, RefCell};
use std::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator};
use config::With;
use lock_api::RawMutex;
use slab_cache::{Checked, Global, Hardened, Mode, NoLock, SlabBox, SlabCache};
use slab_testkit::FailingSource;

type Value = [u64; 40];
type Cache<R, M> = SlabCache<Value, With<R, Reentrant, 1024, M>>;
type Held<R, M> = SlabBox<Value, With<R, Reentrant, 1024, M>>;

/// The action that a source or a lock does with the cache while it is called.
type Use = Box<dyn FnMut()>;

thread_local! {
    static USE: RefCell<Option<Use>> = const { RefCell::new(None) };
    static USES: Cell<usize> = const { Cell::new(0) };
}

/// Uses the cache, unless it is in use by this already.
fn use_cache() {
    let Some(mut action) = USE.try_with(RefCell::take).ok().flatten() else { return };
    action();
    USES.set(USES.get() + 1);
    USE.set(Some(action));
}

/// A source that uses the cache before and after each of its calls.
struct Reentrant(&'static FailingSource<Global>);

// SAFETY: blocks are those of the inner source.
unsafe impl Allocator for Reentrant {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        use_cache();
        let block = self.0.allocate(layout);
        use_cache();
        block
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        use_cache();
        // SAFETY: the caller passes a live block with its layout, and the inner source allocated it.
        unsafe { self.0.deallocate(block, layout) };
        use_cache();
    }
}

/// A lock that uses the cache before it is taken and after it is released.
struct Using(spin::Mutex<()>);

// SAFETY: it is `spin`'s lock.
unsafe impl RawMutex for Using {
    const INIT: Self = Self(<spin::Mutex<()> as RawMutex>::INIT);
    type GuardMarker = lock_api::GuardSend;

    fn lock(&self) {
        use_cache();
        RawMutex::lock(&self.0);
    }

    fn try_lock(&self) -> bool {
        RawMutex::try_lock(&self.0)
    }

    unsafe fn unlock(&self) {
        // SAFETY: the caller holds it.
        unsafe { RawMutex::unlock(&self.0) };
        use_cache();
    }
}

/// Fills and empties a cache whose source and lock allocate, free and count in it.
fn used_by_what_it_calls<R: RawMutex + 'static, M: Mode>(make: fn(Reentrant) -> Cache<R, M>) {
    let pointer = NonNull::from(Box::leak(Box::new(FailingSource::new(Global))));
    // SAFETY: the source is freed at the end, when no cache uses it.
    let source: &'static FailingSource<Global> = unsafe { pointer.as_ref() };
    let cache = make(Reentrant(source));
    let (handle, mut kept, mut turn) = (cache.clone(), Vec::<Held<R, M>>::new(), 0_u64);
    USES.set(0);
    USE.set(Some(Box::new(move || {
        turn += 1;
        match turn % 4 {
            0 => drop(kept.pop()),
            1 | 2 => kept.extend(handle.alloc([turn; 40])),
            _ => assert!(handle.stats().live >= kept.len() as u64),
        }
        assert!(kept.iter().all(|held| held[0] == held[39]));
        if kept.len() > 20 {
            kept.clear();
        }
    })));
    let rounds = if cfg!(miri) { 1 } else { 20 };
    for _ in 0..rounds {
        let held: Vec<_> =
            (0..60).map(|number| cache.alloc([number; 40]).expect("memory")).collect();
        assert!(held.iter().zip(0..).all(|(held, number)| **held == [number; 40]));
        drop(held);
        cache.reclaim();
    }
    // The last handle and the last boxes go while the source is called.
    drop(USE.take());
    assert!(USES.get() > 10, "{} uses", USES.get());
    let (handle, mut kept) = (Some(cache.clone()), fill(&cache, 30));
    let mut owned = (handle, cache.alloc([1; 40]).ok());
    USE.set(Some(Box::new(move || {
        drop(owned.0.take());
        drop(owned.1.take());
    })));
    drop(cache);
    kept.clear();
    drop(USE.take());
    assert_eq!(source.live_blocks(), 0);
    // SAFETY: made above. All blocks are back, so no cache uses the source.
    drop(unsafe { Box::from_raw(pointer.as_ptr()) });
}

fn fill<R: RawMutex + 'static, M: Mode>(cache: &Cache<R, M>, count: u64) -> Vec<Held<R, M>> {
    (0..count).map(|number| cache.alloc([number; 40]).expect("memory")).collect()
}

#[test]
fn sources_and_locks_may_use_the_cache_that_calls_them() {
    used_by_what_it_calls::<NoLock, Checked>(|source| {
        Cache::with_config_in(source).expect("memory")
    });
    used_by_what_it_calls::<NoLock, Hardened>(|source| {
        Cache::with_config_in(source).expect("memory")
    });
    used_by_what_it_calls::<Using, Checked>(|source| {
        Cache::with_config_in(source).expect("memory")
    });
    used_by_what_it_calls::<Using, Hardened>(|source| {
        Cache::with_config_in(source).expect("memory")
    });
    #[cfg(feature = "std")]
    used_by_what_it_calls::<Using, Checked>(|source| {
        Cache::with_thread_caches_in(source).expect("memory")
    });
}

/// A value that owns a handle of its cache and a box in it.
struct Owner {
    next: Option<SlabBox<Self, With<spin::Mutex<()>>>>,
    _cache: SlabCache<Self, With<spin::Mutex<()>>>,
}

#[test]
fn values_may_own_the_last_handles_of_their_cache() {
    let cache = SlabCache::<Owner, With<spin::Mutex<()>>>::with_config().expect("memory");
    let mut first = None;
    for _ in 0..100 {
        let owner = Owner { next: first.take(), _cache: cache.clone() };
        first = cache.alloc(owner).ok();
    }
    drop(cache);
    let depth = std::iter::successors(first.as_ref(), |owner| owner.next.as_ref()).count();
    assert_eq!(depth, 100);
    drop(first);
}
