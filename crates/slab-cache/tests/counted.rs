//! Counted pointers: what they have in common with `std`'s, in caches with each lock and mode.
#![cfg(not(loom))]

mod config;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::Pin;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use config::With;
use lock_api::RawMutex;
use slab_cache::{
    AtomicCount, Checked, Count, Counted, Full, Global, Hardened, LocalCount, Mode, NoLock,
    SharedCache, SlabArc, SlabCache, SlabCounted, SlabRc, Unchecked, coerce,
};
use slab_testkit::{FailingSource, for_each_failure};

type Spin = spin::Mutex<()>;
type Configured<'a, R, M> = With<R, &'a FailingSource<Global>, 1024, M>;
type Cache<'a, T, R, M> = SlabCache<Counted<T>, Configured<'a, R, M>>;

/// Makes a counted pointer of the kind `Self`, by a closure or not.
trait Alloc: Count + Sized {
    fn alloc<'a, T, R: RawMutex + 'static, M: Mode>(
        cache: &Cache<'a, T, R, M>,
        value: T,
        is_made: bool,
    ) -> Result<SlabCounted<T, Configured<'a, R, M>, Self>, Full<T>>;

    fn make<'a, T, R: RawMutex + 'static, M: Mode>(
        cache: &Cache<'a, T, R, M>,
        value: T,
    ) -> SlabCounted<T, Configured<'a, R, M>, Self> {
        Self::alloc(cache, value, false).expect("memory")
    }
}

impl Alloc for LocalCount {
    fn alloc<'a, T, R: RawMutex + 'static, M: Mode>(
        cache: &Cache<'a, T, R, M>,
        value: T,
        is_made: bool,
    ) -> Result<SlabCounted<T, Configured<'a, R, M>, Self>, Full<T>> {
        if is_made {
            cache.alloc_rc_with(|| value).map_err(|full| Full((full.0)()))
        } else {
            cache.alloc_rc(value)
        }
    }
}

impl Alloc for AtomicCount {
    fn alloc<'a, T, R: RawMutex + 'static, M: Mode>(
        cache: &Cache<'a, T, R, M>,
        value: T,
        is_made: bool,
    ) -> Result<SlabCounted<T, Configured<'a, R, M>, Self>, Full<T>> {
        if is_made {
            cache.alloc_arc_with(|| value).map_err(|full| Full((full.0)()))
        } else {
            cache.alloc_arc(value)
        }
    }
}

/// Counts its drops and its clones.
#[derive(Debug)]
struct Watched<'a>(&'a Cell<usize>, u64);

impl Clone for Watched<'_> {
    fn clone(&self) -> Self {
        Self(self.0, self.1 + 1)
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// A value of an alignment above the count's.
#[repr(align(64))]
#[derive(Debug, Clone, Copy, PartialEq)]
struct Aligned(u8);

fn owners<N: Alloc, R: RawMutex + 'static, M: Mode>() {
    let source = FailingSource::new(Global);
    let drops = Cell::new(0);
    let cache = Cache::<Watched<'_>, R, M>::with_config_in(&source).expect("memory");
    let one = N::make(&cache, Watched(&drops, 1));
    let mut two = one.clone();
    assert!(SlabCounted::ptr_eq(&one, &two) && cache.len() == 1);
    assert_eq!((SlabCounted::strong_count(&one), two.1), (2, 1));
    assert!(SlabCounted::get_mut(&mut two).is_none());
    let two = SlabCounted::try_unwrap(two).expect_err("there are two owners");
    drop(one);
    assert_eq!(drops.get(), 0);
    let value = SlabCounted::try_unwrap(two).expect("there is one owner");
    assert_eq!((drops.get(), cache.len()), (0, 0));
    drop(value);

    let mut one = N::make(&cache, Watched(&drops, 5));
    SlabCounted::get_mut(&mut one).expect("one owner").1 = 6;
    let two = one.clone();
    assert!(SlabCounted::into_inner(two).is_none());
    assert_eq!(SlabCounted::into_inner(one).map(|value| value.1), Some(6));
    assert_eq!((drops.get(), cache.len()), (2, 0));

    let mut one = N::make(&cache, Watched(&drops, 7));
    SlabCounted::make_mut(&mut one).expect("memory").1 = 8;
    let two = one.clone();
    assert_eq!(SlabCounted::make_mut(&mut one).expect("memory").1, 9, "a clone");
    assert!(!SlabCounted::ptr_eq(&one, &two));
    assert_eq!((two.1, cache.len(), drops.get()), (8, 2, 2));

    // The last owner frees the cache. A cache without handles serves `make_mut` all the same.
    drop(cache);
    let mut three = one.clone();
    SlabCounted::make_mut(&mut three).expect("memory");
    assert_eq!((one.1, three.1), (9, 10));
    drop((one, two, three));
    assert_eq!((drops.get(), source.live_blocks()), (5, 0));
}

fn layouts<N: Alloc, R: RawMutex + 'static, M: Mode>() {
    fn check<N: Alloc, R: RawMutex + 'static, M: Mode, T>(values: [T; 5])
    where
        T: Copy + PartialEq + std::fmt::Debug,
    {
        let source = FailingSource::new(Global);
        let cache = Cache::<T, R, M>::with_config_in(&source).expect("memory");
        let held: Vec<_> = values.iter().map(|&value| N::make(&cache, value)).collect();
        for (value, held) in values.iter().zip(&held) {
            assert_eq!(value, &**held);
            assert_eq!(SlabCounted::as_ptr(held).addr().get() % align_of::<T>(), 0);
            assert_eq!(SlabCounted::strong_count(held), 1);
        }
        drop(held);
        assert_eq!(cache.len(), 0);
    }
    check::<N, R, M, ()>([(); 5]);
    check::<N, R, M, u8>([1, 2, 3, 4, 5]);
    check::<N, R, M, u128>([1, 2, 3, 4, 5]);
    check::<N, R, M, [u16; 50]>([[7; 50]; 5]);
    check::<N, R, M, Aligned>([Aligned(3); 5]);
}

fn for_each_kind(test: &str) {
    fn one<N: Alloc, R: RawMutex + 'static, M: Mode>(test: &str) {
        match test {
            "owners" => owners::<N, R, M>(),
            "layouts" => layouts::<N, R, M>(),
            _ => failures::<N, R, M>(),
        }
    }
    one::<LocalCount, NoLock, Checked>(test);
    one::<LocalCount, NoLock, Unchecked>(test);
    one::<LocalCount, Spin, Hardened>(test);
    one::<AtomicCount, NoLock, Hardened>(test);
    one::<AtomicCount, Spin, Checked>(test);
}

#[test]
fn owners_count_and_the_last_one_frees() {
    for_each_kind("owners");
}

#[test]
fn values_of_any_layout_lie_behind_their_count() {
    for_each_kind("layouts");
}

/// Each operation that asks for memory, with each of its requests refused.
fn failures<N: Alloc, R: RawMutex + 'static, M: Mode>() {
    let (mut refused, mut done) = (0, 0);
    let injected = for_each_failure(|source| {
        let Ok(cache) = Cache::<[u64; 25], R, M>::with_config_in(source) else { return };
        let mut held = Vec::new();
        for number in 0..8 {
            match N::alloc(&cache, [number; 25], number % 2 == 0) {
                Ok(made) => held.push(made),
                Err(Full(value)) => assert_eq!(value, [number; 25], "returned"),
            }
        }
        // The cache is full, and has no handle.
        while cache.stats().live < cache.stats().slots {
            let Ok(made) = N::alloc(&cache, [0; 25], false) else { break };
            held.push(made);
        }
        drop(cache);
        let Some(mut copy) = held.last().cloned() else { return };
        let before = *copy;
        match SlabCounted::make_mut(&mut copy) {
            Ok(value) => {
                value[0] = 90;
                done += 1;
                assert_eq!(held.last().map(|held| **held), Some(before));
            }
            Err(_) => {
                refused += 1;
                assert!(held.last().is_some_and(|held| SlabCounted::ptr_eq(held, &copy)));
                assert_eq!((*copy, SlabCounted::strong_count(&copy)), (before, 2));
            }
        }
    });
    assert!(injected > 2 && refused > 0 && done > 1, "{injected} {refused} {done}");
}

#[test]
fn each_operation_with_each_of_its_requests_refused() {
    for_each_kind("failures");
}

#[test]
fn panics_lose_no_slot_and_no_owner() {
    std::panic::set_hook(Box::new(|_| {}));
    struct Fragile<'a>(#[expect(dead_code, reason = "is dropped")] Watched<'a>, bool);
    impl Drop for Fragile<'_> {
        fn drop(&mut self) {
            if self.1 {
                panic_any(());
            }
        }
    }
    impl Clone for Fragile<'_> {
        fn clone(&self) -> Self {
            panic_any(())
        }
    }
    let drops = Cell::new(0);
    let cache = SlabCache::new().expect("memory");
    let mut one = cache.alloc_rc(Fragile(Watched(&drops, 1), true)).expect("memory");
    let two = one.clone();
    let copied = catch_unwind(AssertUnwindSafe(|| _ = SlabRc::make_mut(&mut one)));
    assert!(copied.is_err());
    assert_eq!((SlabRc::strong_count(&one), cache.len()), (2, 1), "the clone's slot is free");
    let made = catch_unwind(AssertUnwindSafe(|| {
        _ = cache.alloc_rc_with(|| panic_any(()));
    }));
    assert!(made.is_err() && cache.len() == 1);
    drop(one);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(two))).is_err());
    assert_eq!((drops.get(), cache.len()), (1, 0));
}

/// A node that owns the next one. The first two that are dropped store another one in their cache.
struct Node {
    next: Option<SlabRc<Node>>,
}

thread_local! {
    static NODES: RefCell<Option<SlabCache<Counted<Node>>>> = const { RefCell::new(None) };
    static NODE_DROPS: Cell<usize> = const { Cell::new(0) };
}

impl Drop for Node {
    fn drop(&mut self) {
        NODE_DROPS.set(NODE_DROPS.get() + 1);
        let nodes = NODES.with_borrow(Clone::clone);
        if let (Some(nodes), 1..3) = (nodes, NODE_DROPS.get()) {
            drop(nodes.alloc_rc(Node { next: self.next.take() }));
        }
    }
}

#[test]
fn a_destructor_uses_the_cache_that_its_value_is_in() {
    let nodes = SlabCache::new().expect("memory");
    NODES.set(Some(nodes.clone()));
    let mut list = None;
    for _ in 0..10 {
        list = nodes.alloc_rc(Node { next: list }).ok();
    }
    drop(list);
    assert_eq!((NODE_DROPS.get(), nodes.len()), (12, 0));
    NODES.take();
}

#[test]
fn trait_objects_share_their_owners_with_values() {
    let drops = Cell::new(0);
    trait Shape {
        fn area(&self) -> u64;
    }
    impl Shape for Watched<'_> {
        fn area(&self) -> u64 {
            self.1
        }
    }
    impl Shape for Aligned {
        fn area(&self) -> u64 {
            u64::from(self.0)
        }
    }
    let (watched, aligned) = (SlabCache::new().expect("memory"), SlabCache::new().expect("memory"));
    let mut value = watched.alloc_rc(Watched(&drops, 5)).expect("memory");
    let shape: SlabRc<dyn Shape + '_> = SlabRc::unsize(value.clone(), coerce!(dyn Shape + '_));
    assert_eq!(size_of_val(&shape), 2 * size_of::<usize>());
    assert_eq!((SlabRc::strong_count(&value), shape.area()), (2, 5));
    assert!(SlabRc::get_mut(&mut value).is_none());
    drop(value);
    let other = aligned.alloc_rc(Aligned(7)).expect("memory");
    let shapes = [shape, SlabRc::unsize(other, coerce!(dyn Shape + '_))];
    assert_eq!(shapes.iter().map(|shape| shape.area()).sum::<u64>(), 12);
    assert_eq!((watched.len(), aligned.len()), (1, 1));
    drop(shapes);
    assert_eq!((drops.get(), watched.len(), aligned.len()), (1, 0, 0));

    let bytes = SlabCache::new().expect("memory").alloc_rc([1_u8, 2, 3]).expect("memory");
    let bytes: SlabRc<[u8]> = SlabRc::unsize(bytes, coerce!([u8]));
    assert_eq!((bytes.len(), bytes[2]), (3, 3));
}

#[test]
fn only_the_first_owner_can_be_pinned() {
    let cache = SlabCache::new().expect("memory");
    let one = cache.alloc_rc(7_u64).expect("memory");
    let two = one.clone();
    let one = SlabRc::into_pin(one).expect_err("there is another owner");
    drop(two);
    let pinned: Pin<SlabRc<u64>> = SlabRc::into_pin(one).expect("there is one owner");
    let place = &raw const *pinned;
    let again = pinned.clone();
    drop(pinned);
    assert_eq!((&raw const *again, *again, cache.len()), (place, 7, 1));
}

#[test]
fn owners_on_several_threads_drop_the_value_once() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    struct Shared([u64; 4]);
    impl Drop for Shared {
        fn drop(&mut self) {
            DROPS.fetch_add(1, Ordering::Relaxed);
        }
    }
    let rounds = if cfg!(miri) { 3 } else { 200 };
    let cache = SharedCache::shared().expect("memory");
    let taken = AtomicUsize::new(0);
    for round in 0..rounds {
        let value: SlabArc<Shared> = cache.alloc_arc(Shared([round; 4])).expect("memory");
        let barrier = Barrier::new(3);
        thread::scope(|scope| {
            for _ in 0..3 {
                let (value, barrier, taken) = (value.clone(), &barrier, &taken);
                scope.spawn(move || {
                    barrier.wait();
                    let copies: Vec<_> = (0..5).map(|_| value.clone()).collect();
                    assert!(copies.iter().all(|copy| copy.0 == [round; 4]));
                    drop(copies);
                    let inner = SlabArc::into_inner(value);
                    taken.fetch_add(usize::from(inner.is_some()), Ordering::Relaxed);
                });
            }
            drop(value);
        });
    }
    assert_eq!(DROPS.load(Ordering::Relaxed), rounds as usize);
    assert!(taken.load(Ordering::Relaxed) <= rounds as usize && cache.is_empty());
}
