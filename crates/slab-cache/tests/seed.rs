//! The behaviour of the crate that this one grew out of, and its defects, rewritten.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "memory sources are unsafe traits")]

mod config;

use std::alloc::Layout;
use std::cell::RefCell;
use std::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator};
use config::With;
use slab_cache::{Global, NoLock, SlabBox, SlabCache};
use slab_testkit::FailingSource;

type Spin = spin::Mutex<()>;

/// A box has a value from the start: one without is a `MaybeUninit`, whose drop runs no destructor.
#[test]
fn a_box_without_a_value_is_of_another_type() {
    let cache = SlabCache::<String>::new().expect("memory");
    let empty: SlabBox<std::mem::MaybeUninit<String>> = cache.alloc_uninit().expect("memory");
    drop(empty);
    assert_eq!(*SlabBox::write(cache.alloc_uninit().expect("memory"), "full".into()), "full");
}

/// The source may use the cache: the seed called its hooks with the spin lock held.
#[test]
fn the_source_may_use_the_cache_that_asks_it() {
    thread_local! {
        static CACHE: RefCell<Option<SlabCache<u64, With<Spin, Recursive>>>> = const { RefCell::new(None) };
    }
    struct Recursive;
    // SAFETY: it is `Global`.
    unsafe impl Allocator for Recursive {
        fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
            CACHE.with_borrow(|cache| {
                if let Some(cache) = cache {
                    assert_eq!(cache.stats().live, cache.stats().slots);
                }
            });
            Global.allocate(layout)
        }
        unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
            // SAFETY: the caller passes a live block with its layout, and `Global` allocated it.
            unsafe { Global.deallocate(block, layout) };
        }
    }
    let cache = SlabCache::with_config_in(Recursive).expect("memory");
    CACHE.set(Some(cache.clone()));
    let held: Vec<_> = (0..3000).map(|n| cache.alloc(n).expect("memory")).collect();
    assert!(held.iter().zip(0..).all(|(held, n)| **held == n));
    CACHE.set(None);
}

/// The seed lost a slab whose construction failed.
#[test]
fn a_growth_that_fails_leaks_nothing() {
    let source = FailingSource::failing_at(Global, 3);
    let cache =
        SlabCache::<[u64; 8], With<NoLock, _, 512>>::with_config_in(&source).expect("memory");
    let held: Vec<_> = (0..200).map(|n| cache.alloc([n; 8])).collect();
    assert_eq!(source.failures(), 1);
    assert!(held.iter().all(Result::is_ok), "a smaller chunk was there");
    drop((held, cache));
    assert_eq!(source.live_blocks(), 0);
}

/// The seed searched a list of slabs for a free slot: the cost of each grew with their number.
#[test]
fn a_free_slot_is_found_without_a_search() {
    let cache = SlabCache::<[u64; 8]>::new().expect("memory");
    let count = if cfg!(miri) { 300 } else { 30_000 };
    let mut held: Vec<_> = (0..count).map(|n| cache.alloc([n; 8]).expect("memory")).collect();
    let places: Vec<_> = held.iter().map(SlabBox::as_ptr).collect();
    // Of all full slabs, the one that gets a free slot serves next, once the front has none.
    let front_rest = cache.stats().slots - cache.stats().live;
    let freed = held.swap_remove(10);
    drop(freed);
    let more: Vec<_> = (0..front_rest).map(|n| cache.alloc([n; 8]).expect("memory")).collect();
    assert!(more.iter().any(|held| SlabBox::as_ptr(held) == places[10]));
}

/// The seed needed values of four bytes.
#[test]
fn small_and_aligned_values_work() {
    #[derive(Clone, Copy)]
    #[repr(align(64))]
    struct Line(u8);
    let bytes = SlabCache::<u8>::new().expect("memory");
    let lines = SlabCache::<Line, With<Spin>>::with_config().expect("memory");
    let held: Vec<_> = (0..=255)
        .map(|n| (bytes.alloc(n).expect("memory"), lines.alloc(Line(n)).expect("memory")))
        .collect();
    for (n, (byte, line)) in (0..=255).zip(&held) {
        assert_eq!((**byte, line.0), (n, n));
        assert_eq!(SlabBox::as_ptr(line).addr().get() % 64, 0);
    }
}

/// Handles and boxes are dropped in any order, and the last one frees the cache.
#[test]
fn either_the_handle_or_the_box_may_be_last() {
    for handle_first in [true, false] {
        let source = FailingSource::new(Global);
        let cache = SlabCache::<String, With<Spin, _>>::with_config_in(&source).expect("memory");
        let (held, other) = (cache.alloc("here".to_owned()).expect("memory"), cache.clone());
        drop(cache);
        if handle_first {
            drop(other);
            assert_eq!(*held, "here");
            drop(held);
        } else {
            drop(held);
            drop(other);
        }
        assert_eq!(source.live_blocks(), 0);
    }
}
