//! Each operation that asks for memory, with a source that refuses each of its requests in turn, or
//! panics at it: what was to be stored comes back, nothing is lost, and nothing changes. And each operation
//! that gives memory back, with a source that panics when it gets a block.
#![cfg(not(loom))]

mod config;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use config::With;
use lock_api::RawMutex;
use slab_cache::{
    CacheError, Checked, Full, Global, Hardened, Mode, NoLock, SlabBox, SlabCache, Stats,
};
use slab_testkit::{FailingSource, for_each_failure};

type Spin = spin::Mutex<()>;
type Value = [u64; 25];
type Cache<'a, R, M> = SlabCache<Value, With<R, &'a FailingSource<Global>, 1024, M>>;

/// An operation on a full cache, and whether it was refused.
type Operation<'a, R, M> = fn(&Cache<'a, R, M>) -> bool;

fn operations<'a, R: RawMutex + 'static, M: Mode>() -> [(&'static str, Operation<'a, R, M>); 3] {
    [
        ("alloc", |cache| match cache.alloc([70; 25]) {
            Ok(held) => *held != [70; 25],
            Err(Full(value)) => value == [70; 25],
        }),
        ("alloc_with", |cache| {
            let called = Cell::new(false);
            match cache.alloc_with(|| {
                called.set(true);
                [71; 25]
            }) {
                Ok(held) => !called.get() || *held != [71; 25],
                Err(Full(make)) => {
                    assert!(!called.get());
                    make() == [71; 25]
                }
            }
        }),
        ("alloc_uninit", |cache| match cache.alloc_uninit() {
            Ok(held) => *SlabBox::write(held, [72; 25]) != [72; 25],
            Err(Full(())) => true,
        }),
    ]
}

fn each_operation<R: RawMutex + 'static, M: Mode>() {
    for index in 0..operations::<R, M>().len() {
        let (mut refusals, mut done) = (0, 0);
        let injected = for_each_failure(|source| {
            let (name, operation) = operations::<R, M>()[index];
            let cache = match Cache::<R, M>::with_config_in(source) {
                Ok(cache) => cache,
                Err(error) => {
                    assert!(matches!(error, CacheError::OutOfMemory { .. }));
                    return;
                }
            };
            // Until the next one needs another chunk.
            let mut held = Vec::new();
            while held.len() < 2 || cache.stats().live < cache.stats().slots {
                match cache.alloc([held.len() as u64; 25]) {
                    Ok(made) => held.push(made),
                    Err(_) => break,
                }
            }
            let before = cache.stats();
            if operation(&cache) {
                refusals += 1
            } else {
                done += 1
            }
            assert_eq!(cache.stats().live, before.live, "{name}");
            assert!((0..).zip(&held).all(|(number, held)| **held == [number; 25]), "{name}");
            // The cache works again, unless the source refuses everything.
            let again = cache.alloc([0; 25]).is_ok();
            assert!(again || source.failures() > 1, "{name}");
            // Boxes may be the last.
            drop(cache);
            held.truncate(1);
        });
        assert!(injected >= 3 && done > 1 && refusals > 1, "{injected} requests");
    }
}

#[test]
fn each_operation_with_each_of_its_requests_refused() {
    each_operation::<NoLock, Checked>();
    each_operation::<Spin, Checked>();
    each_operation::<Spin, Hardened>();
}

#[test]
#[cfg(feature = "std")]
fn caches_of_threads_with_each_request_refused() {
    let mut nth = 0;
    loop {
        nth += 1;
        let source = forgotten(FailingSource::failing_at(Global, nth));
        let cache = SlabCache::<Value, With<Spin, _, 1024>>::with_thread_caches_in(source);
        match cache {
            Err(error) => assert!(matches!(error, CacheError::OutOfMemory { .. })),
            Ok(cache) => {
                let mut held = Vec::new();
                for number in 0..40 {
                    match cache.alloc([number; 25]) {
                        Ok(made) => held.push(made),
                        Err(Full(value)) => assert_eq!(value, [number; 25]),
                    }
                }
                held.drain(..20).for_each(drop);
                assert!(held.windows(2).all(|pair| pair[0][0] < pair[1][24]));
                cache.reclaim();
                assert_eq!(cache.stats().live, held.len() as u64);
                drop(cache);
                drop(held);
                assert!(
                    SlabCache::<u64, With<Spin>>::with_thread_caches().is_ok_and(|other| {
                        drop(other.alloc(1));
                        other.reclaim() > 0
                    }),
                    "slots of the closed cache leave with the next batch of another"
                );
            }
        }
        assert_eq!((nth, source.live_blocks()), (nth, 0));
        if source.failures() == 0 {
            break;
        }
    }
    assert!(nth > 4, "{nth} requests");
}

fn panicking<R: RawMutex + 'static, M: Mode>() {
    let mut nth = 0;
    loop {
        nth += 1;
        let source = FailingSource::panicking_at(Global, nth);
        let made = catch_unwind(AssertUnwindSafe(|| Cache::<R, M>::with_config_in(&source)));
        if let Ok(cache) = made.map(|cache| cache.expect("memory")) {
            let mut held = Vec::new();
            for number in 0..30_u64 {
                let make = || cache.alloc([number; 25]).expect("memory");
                held.extend(catch_unwind(AssertUnwindSafe(make)));
            }
            assert_eq!(cache.stats().live, held.len() as u64);
            assert!(held.len() >= 29, "one of them met the panic");
            held.truncate(5);
            cache.reclaim();
            drop(cache);
        }
        assert_eq!(source.live_blocks(), 0);
        if source.failures() == 0 {
            break;
        }
    }
    assert!(nth > 3, "{nth} requests");
}

#[test]
fn a_source_that_panics_loses_nothing() {
    panicking::<NoLock, Checked>();
    panicking::<Spin, Checked>();
    panicking::<Spin, Hardened>();
}

/// Runs an action that may panic, and returns whether it did.
fn panics(action: impl FnOnce()) -> usize {
    usize::from(catch_unwind(AssertUnwindSafe(action)).is_err())
}

/// Fills and empties a cache whose source panics at its n-th release, for each n: each block goes back all
/// the same, and the cache counts right.
fn panicking_at_release<R: RawMutex + 'static, M: Mode>(
    make: impl Fn(&'static FailingSource<Global>) -> Cache<'static, R, M>,
) {
    let (step, rests): (_, &[_]) = if cfg!(miri) { (5, &[30]) } else { (1, &[10, 20, 30]) };
    for nth in (1..).step_by(step) {
        let source = forgotten(FailingSource::panicking_at_release(Global, nth));
        let cache = make(source);
        let mut held = Vec::new();
        let mut panicked = 0;
        for &rest in rests {
            // The second time, memory comes back that is kept from then on.
            for left in [0, rest] {
                held.extend((0..90).map(|number| cache.alloc([number; 25]).expect("memory")));
                panicked += held.drain(left..).map(|one| panics(|| drop(one))).sum::<usize>();
            }
            let handle = cache.clone();
            panicked += panics(|| drop(handle));
            if rest < 30 {
                panicked += panics(|| _ = cache.reclaim());
                cache.reclaim();
            }
            let stats = cache.stats();
            assert!(stats.live >= rest as u64 && stats.live <= rest as u64 + 64, "release {nth}");
            assert_eq!(stats.held_bytes, source.live_bytes(), "release {nth}");
        }
        let Stats { slabs, slabs_used, .. } = cache.stats();
        assert!(
            slabs > slabs_used + 4,
            "the last handle gives back several chunks: {slabs}, {slabs_used}"
        );
        panicked += panics(|| drop(cache));
        panicked += held.into_iter().map(|one| panics(|| drop(one))).sum::<usize>();
        assert_eq!((source.live_blocks(), source.failures()), (0, panicked), "release {nth}");
        if panicked == 0 {
            assert!(nth > 2 * step, "{nth} releases");
            return;
        }
    }
}

#[test]
fn a_source_that_panics_when_a_block_comes_back_gets_the_others() {
    panicking_at_release::<NoLock, Checked>(|source| {
        Cache::with_config_in(source).expect("memory")
    });
    panicking_at_release::<Spin, Checked>(|source| Cache::with_config_in(source).expect("memory"));
    panicking_at_release::<Spin, Hardened>(|source| Cache::with_config_in(source).expect("memory"));
    #[cfg(feature = "std")]
    panicking_at_release::<Spin, Checked>(|source| {
        Cache::with_thread_caches_in(source).expect("memory")
    });
}

/// Makes a source `'static`. It stays reachable, so that no tool takes it for a leak.
fn forgotten(source: FailingSource<Global>) -> &'static FailingSource<Global> {
    static SOURCES: Mutex<Vec<&'static FailingSource<Global>>> = Mutex::new(Vec::new());
    let source: &'static _ = Box::leak(Box::new(source));
    SOURCES.lock().expect("no panic").push(source);
    source
}
