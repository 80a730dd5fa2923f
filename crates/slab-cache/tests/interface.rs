//! Ways to make a cache: inference, aliases and configurations.
#![cfg(not(loom))]

use std::thread;

use lock_api::RawMutex;
use slab_cache::{
    CacheError, Config, DefaultConfig, Global, Hardened, SharedBox, SharedCache, SlabBox,
    SlabCache, SpinLock, WithLock, WithSource,
};
use slab_testkit::FailingSource;

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[test]
fn constructors_infer_the_configuration() -> Outcome {
    let words = SlabCache::new()?;
    let word: SlabBox<String> = words.alloc("slab".to_owned())?;
    assert_eq!(*word, "slab");

    let shared = SlabCache::shared()?;
    let number: SharedBox<u64> = shared.alloc(7)?;
    thread::spawn(move || drop(number)).join().expect("no panic");
    assert!(shared.is_empty());

    let source = FailingSource::new(Global);
    let numbers = SlabCache::new_in(&source)?;
    assert_eq!(*numbers.alloc(7_u64)?, 7);
    Ok(())
}

#[test]
fn every_configuration_has_boxes_as_wide_as_a_pointer() {
    enum Large {}
    impl Config for Large {
        type Lock = SpinLock;
        type Mode = Hardened;
        type Source = Global;
        const SLAB_BYTES: usize = 65_536;
    }
    const POINTER: usize = size_of::<usize>();
    assert_eq!(size_of::<Option<SlabBox<[u64; 9]>>>(), POINTER);
    assert_eq!(size_of::<Option<SharedBox<[u64; 9]>>>(), POINTER);
    assert_eq!(size_of::<Option<SlabBox<[u64; 900], Large>>>(), POINTER);
    assert_eq!(size_of::<Option<SlabBox<u8, WithSource<Global, Large>>>>(), POINTER);
    assert_eq!(<WithSource<Global, WithLock<SpinLock, Large>> as Config>::SLAB_BYTES, 65_536);
    assert_eq!(DefaultConfig::SLAB_BYTES, 4096);
}

#[test]
fn counts_of_values_and_bytes_agree_with_the_source() -> Result<(), CacheError> {
    let source = FailingSource::new(Global);
    let cache = SlabCache::new_in(&source)?;
    assert!(cache.is_empty());
    let count = if cfg!(miri) { 70 } else { 1000 };
    let held: Vec<_> = (0..count).map(|n| cache.alloc([n as u64; 8]).expect("memory")).collect();
    assert_eq!((cache.len(), cache.live_count()), (count, count));
    assert_eq!(cache.used_bytes(), 64 * count);
    assert_eq!(cache.held_bytes(), source.live_bytes());
    assert_eq!(cache.held_bytes(), cache.stats().held_bytes);
    drop(held);
    assert!(cache.is_empty() && cache.used_bytes() == 0);
    let before = source.live_bytes();
    let trimmed = cache.trim();
    assert_eq!((before - trimmed, 0), (source.live_bytes(), cache.reclaim()));
    assert_eq!(cache.held_bytes(), source.live_bytes());
    Ok(())
}

#[test]
fn a_spin_lock_admits_one_thread() {
    let rounds = if cfg!(miri) { 10 } else { 20_000 };
    let count = lock_api::Mutex::<SpinLock, u64>::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| (0..rounds).for_each(|_| *count.lock() += 1));
        }
    });
    assert_eq!(count.into_inner(), 3 * rounds);
    let lock = SpinLock::INIT;
    assert!(lock.try_lock() && !lock.try_lock());
}

#[test]
fn threads_share_a_cache_by_reference() -> Outcome {
    let cache = SharedCache::shared()?;
    let rounds = if cfg!(miri) { 5 } else { 2000 };
    thread::scope(|scope| {
        for id in 0..3_u64 {
            let cache = &cache;
            scope.spawn(move || {
                for round in 0..rounds {
                    let held = cache.alloc([id, round]).expect("memory");
                    assert_eq!(*held, [id, round]);
                }
            });
        }
    });
    assert!(cache.is_empty());
    Ok(())
}
