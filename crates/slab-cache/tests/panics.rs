//! Panics in values lose no slot and drop nothing twice.
#![cfg(not(loom))]

mod config;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};

use config::With;
use lock_api::RawMutex;
use slab_cache::{NoLock, SlabBox, SlabCache};

/// Counts its drops, and panics in the one that it was told to.
struct Fragile<'a>(&'a Cell<usize>, bool);

impl Drop for Fragile<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
        if self.1 {
            panic_any(());
        }
    }
}

fn quiet() {
    std::panic::set_hook(Box::new(|_| {}));
}

#[test]
fn a_panic_in_drop_frees_the_slot() {
    quiet();
    fn run<R: RawMutex + 'static>() {
        let drops = Cell::new(0);
        let cache: SlabCache<Fragile<'_>, With<R>> = SlabCache::with_config().expect("memory");
        for n in 1..=200 {
            let held = cache.alloc(Fragile(&drops, true)).expect("memory");
            assert!(catch_unwind(AssertUnwindSafe(|| drop(held))).is_err());
            assert_eq!((drops.get(), cache.stats().live), (n, 0));
        }
        assert!(cache.stats().slabs <= 4, "the slot is used again");
    }
    run::<NoLock>();
    run::<spin::Mutex<()>>();
}

#[test]
fn a_panic_while_a_value_is_made_frees_the_slot() {
    quiet();
    let drops = Cell::new(0);
    let cache: SlabCache<Fragile<'_>> = SlabCache::new().expect("memory");
    for _ in 0..200 {
        let made = catch_unwind(AssertUnwindSafe(|| cache.alloc_with(|| panic_any(()))));
        assert!(made.is_err());
    }
    assert_eq!((drops.get(), cache.stats().live), (0, 0));
    assert!(cache.stats().slabs <= 4);
    drop(cache.alloc_with(|| Fragile(&drops, false)));
    assert_eq!(drops.get(), 1);
}

#[test]
fn a_box_dropped_by_a_panic_frees_its_slot() {
    quiet();
    let drops = Cell::new(0);
    let cache: SlabCache<Fragile<'_>> = SlabCache::new().expect("memory");
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let _held = cache.alloc(Fragile(&drops, false)).expect("memory");
        panic_any(())
    }));
    assert!(outcome.is_err());
    assert_eq!((drops.get(), cache.stats().live), (1, 0));
}

#[test]
fn taking_the_value_does_not_drop_it() {
    let drops = Cell::new(0);
    let cache: SlabCache<Fragile<'_>> = SlabCache::new().expect("memory");
    let value = SlabBox::into_inner(cache.alloc(Fragile(&drops, false)).expect("memory"));
    assert_eq!((drops.get(), cache.stats().live), (0, 0));
    drop(value);
    assert_eq!(drops.get(), 1);
}
