//! `SharedSlab`: when values are found, when they are dropped, and when memory is released.
#![cfg(all(feature = "std", not(loom)))]

use std::cell::Cell;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use slab_testkit::implements;
use slab_typed::{SharedSlab, SlotHandle, TypedHandle};

mod shared_values;

use shared_values::{Bomb, Counted, Pair, SLAB_SLOTS, some};

#[test]
fn values_are_found_until_they_are_removed() {
    let slab = SharedSlab::new();
    assert!(slab.is_empty());
    let handles: Vec<_> = (0..some(5000)).map(|n| slab.insert(n.to_string())).collect();
    assert_eq!(slab.len(), handles.len());
    for (n, &handle) in handles.iter().enumerate() {
        assert_eq!(*slab.get(handle).unwrap(), n.to_string());
        assert_eq!(slab.pin().get(handle), Some(&n.to_string()));
    }
    for &handle in handles.iter().step_by(2) {
        assert!(slab.remove(handle));
        assert!(!slab.remove(handle));
    }
    for (n, &handle) in handles.iter().enumerate() {
        assert_eq!(slab.get(handle).is_some(), n % 2 == 1);
        assert_eq!(slab.contains(handle), n % 2 == 1);
        assert_eq!(slab.pin().get(handle).is_some(), n % 2 == 1);
    }
    assert_eq!(slab.len(), handles.len() / 2);
    let new: HashSet<_> = (0..some(5000)).map(|n| slab.insert(n.to_string())).collect();
    assert!(handles.iter().all(|handle| !new.contains(handle)));
}

#[test]
fn any_bits_are_safe() {
    let slab = SharedSlab::new();
    let count = if cfg!(miri) { 5 } else { 100 };
    let handles: Vec<_> = (0..count as u64).map(|n| slab.insert(n)).collect();
    let live = |handle: SlotHandle| handles.contains(&handle);
    let mut state = 1_u64;
    for round in 0..some(20_000) as u64 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let bits = match round % 4 {
            0 => state ^ state >> 32,
            1 => 1 << 32 | state >> 53,
            2 => (state >> 40) << 32 | state >> 57,
            _ => u64::MAX - (state >> 33 << 32) - (state >> 62),
        };
        let Some(handle) = SlotHandle::from_bits(bits) else { continue };
        assert_eq!(slab.contains(handle), live(handle));
        assert_eq!(slab.get(handle).is_some(), live(handle));
        assert_eq!(slab.pin().get(handle).is_some(), live(handle));
        assert!(live(handle) || !slab.remove(handle));
    }
    assert_eq!(slab.len(), count);
    let empty = SharedSlab::<u64>::new();
    assert!(empty.get(handles[0]).is_none() && !empty.remove(handles[0]));
}

#[test]
fn a_removed_value_is_dropped_at_once_or_with_its_last_guard() {
    let drops = Arc::new(AtomicUsize::new(0));
    let dropped = || drops.load(Ordering::Relaxed);
    let slab = SharedSlab::new();
    let handles: Vec<_> = (0..4).map(|_| slab.insert(Counted(drops.clone()))).collect();
    slab.remove(handles[0]);
    assert_eq!(dropped(), 1);

    let guards = [slab.get(handles[1]), slab.get(handles[1])];
    let other = slab.get(handles[2]);
    slab.remove(handles[1]);
    assert!(slab.get(handles[1]).is_none());
    assert_eq!(dropped(), 1);
    let [first, second] = guards;
    drop(first);
    assert_eq!(dropped(), 1);
    drop(second);
    assert_eq!(dropped(), 2);

    // Another slot's guard keeps only that slot.
    slab.remove(handles[3]);
    assert_eq!(dropped(), 3);
    drop(other);
    slab.remove(handles[2]);
    assert_eq!(dropped(), 4);
}

#[test]
fn a_removed_value_is_dropped_with_the_last_pin_from_before() {
    let drops = Arc::new(AtomicUsize::new(0));
    let dropped = || drops.load(Ordering::Relaxed);
    let slab = &SharedSlab::new();
    let handles: Vec<_> = (0..3).map(|_| slab.insert(Counted(drops.clone()))).collect();
    let pinned = slab.pin();
    let nested = slab.pin();
    let value = nested.get(handles[0]).unwrap();
    slab.remove(handles[0]);
    assert_eq!((dropped(), Arc::strong_count(&value.0)), (0, 4));
    assert!(nested.get(handles[0]).is_none());
    drop(nested);
    assert_eq!(dropped(), 0);
    let (entered, left) = (&Barrier::new(2), &Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(move || {
            let _later = slab.pin();
            entered.wait();
            left.wait();
        });
        entered.wait();
        drop(pinned);
        assert_eq!(dropped(), 1, "the later pin does not count");
        slab.remove(handles[1]);
        assert_eq!(dropped(), 1);
        left.wait();
    });
    assert_eq!(dropped(), 2);
    slab.remove(handles[2]);
    assert_eq!(dropped(), 3);
}

#[test]
fn more_guards_than_cells_keep_their_values() {
    let slab = SharedSlab::new();
    let handles: Vec<_> = (0..40).map(|n| slab.insert(Pair::new(n))).collect();
    let guards: Vec<_> = handles.iter().map(|&handle| slab.get(handle).unwrap()).collect();
    for &handle in &handles {
        assert!(slab.remove(handle));
    }
    for n in 0..100 {
        slab.insert(Pair::new(n));
    }
    for (n, guard) in (0..).zip(&guards) {
        assert_eq!(guard.number(), n);
    }
    drop(guards);
    assert_eq!(slab.len(), 100);
}

#[test]
fn the_last_guard_beyond_the_cells_drops_what_waits_for_it() {
    let drops = Arc::new(AtomicUsize::new(0));
    let slab = SharedSlab::new();
    let handles: Vec<_> = (0..10).map(|_| slab.insert(Counted(drops.clone()))).collect();
    let guards: Vec<_> = handles[1..].iter().map(|&handle| slab.get(handle).unwrap()).collect();
    slab.remove(handles[0]);
    assert_eq!(drops.load(Ordering::Relaxed), 0);
    drop(guards);
    assert_eq!(drops.load(Ordering::Relaxed), 1);
}

#[test]
fn a_guard_may_end_on_another_thread() {
    let drops = Arc::new(AtomicUsize::new(0));
    let slab = &SharedSlab::new();
    let handle = slab.insert(Counted(drops.clone()));
    let guard = slab.get(handle).unwrap();
    slab.remove(handle);
    assert_eq!(drops.load(Ordering::Relaxed), 0);
    thread::scope(|scope| {
        scope.spawn(|| drop(guard));
    });
    assert_eq!(drops.load(Ordering::Relaxed), 1);
}

#[test]
fn compact_releases_what_has_no_value() {
    let slab = &SharedSlab::new();
    let count = if cfg!(miri) { 3 } else { 10 } * SLAB_SLOTS;
    let handles: Vec<_> = (0..count).map(|n| slab.insert(n)).collect();
    let full = slab.held_bytes();
    let remove = |handles: &[SlotHandle]| {
        handles.iter().for_each(|&handle| assert!(slab.remove(handle)));
    };
    let (removed, end) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        // Slots at hand of a thread that ended, and of one that waits.
        scope.spawn(|| remove(&handles[..count / 2])).join().unwrap();
        scope.spawn(|| {
            remove(&handles[count / 2..count - 1]);
            removed.wait();
            end.wait();
        });
        removed.wait();
        let chunks = slab.slab_count();
        assert_eq!(slab.compact(), chunks - 1);
        end.wait();
    });
    assert_eq!((slab.slab_count(), slab.len()), (1, 1));
    assert!(slab.held_bytes() < full * 6 / 10 + 8192, "{} of {full}", slab.held_bytes());
    assert_eq!(*slab.get(handles[count - 1]).unwrap(), count - 1);
    assert!(handles[..count - 1].iter().all(|&handle| !slab.contains(handle)));
    let again: HashSet<_> = (0..count).map(|n| slab.insert(n)).collect();
    assert!(handles.iter().all(|handle| !again.contains(handle)));
    assert_eq!(slab.slab_count(), (count + 1).div_ceil(SLAB_SLOTS));
}

#[test]
fn compact_keeps_what_may_be_read() {
    let slab = SharedSlab::new();
    let handle = slab.insert(Pair::new(1));
    let guard = slab.get(handle).unwrap();
    slab.remove(handle);
    assert_eq!(slab.compact(), 0);
    assert_eq!(guard.number(), 1);
    drop(guard);
    assert_eq!(slab.compact(), 1);

    let numbers = SharedSlab::new();
    let handle = numbers.insert(5_u64);
    let pinned = numbers.pin();
    let number = pinned.get(handle).unwrap();
    numbers.remove(handle);
    assert_eq!(numbers.compact(), 0);
    for n in 0..300 {
        numbers.insert(n);
    }
    assert_eq!(*number, 5);
    drop(pinned);
}

#[test]
fn a_forgotten_guard_keeps_its_value_only() {
    let drops = Arc::new(AtomicUsize::new(0));
    let slab = SharedSlab::new();
    let handles: Vec<_> = (0..30).map(|_| slab.insert(Counted(drops.clone()))).collect();
    for &handle in &handles[..5] {
        std::mem::forget(slab.get(handle));
    }
    handles.iter().for_each(|&handle| assert!(slab.remove(handle)));
    assert_eq!(drops.load(Ordering::Relaxed), 25);
    for _ in 0..10 {
        slab.remove(slab.insert(Counted(drops.clone())));
    }
    assert_eq!(drops.load(Ordering::Relaxed), 35);
    drop(slab);
    assert_eq!(drops.load(Ordering::Relaxed), 40);
}

#[test]
fn a_forgotten_pin_keeps_all_until_the_slab_is_dropped() {
    let drops = Arc::new(AtomicUsize::new(0));
    let slab = &SharedSlab::new();
    thread::scope(|scope| {
        scope.spawn(|| std::mem::forget(slab.pin()));
    });
    let handle = slab.insert(Counted(drops.clone()));
    thread::scope(|scope| {
        scope.spawn(|| drop(slab.pin()));
    });
    slab.remove(handle);
    drop(slab.pin());
    assert_eq!(drops.load(Ordering::Relaxed), 0);
    assert_eq!(slab.len(), 0);
}

#[test]
fn dropping_the_slab_drops_each_value_once() {
    let drops = Arc::new(AtomicUsize::new(0));
    let slab = SharedSlab::new();
    let handles: Vec<_> = (0..some(3000)).map(|_| slab.insert(Counted(drops.clone()))).collect();
    std::mem::forget(slab.pin());
    handles.iter().step_by(3).for_each(|&handle| assert!(slab.remove(handle)));
    drop(slab);
    assert_eq!(drops.load(Ordering::Relaxed), handles.len());
}

/// Uses a slab when it is dropped.
struct Nested<'a>(Cell<Option<&'a SharedSlab<Nested<'a>>>>, u32);

impl Drop for Nested<'_> {
    fn drop(&mut self) {
        if let Some(slab) = self.0.get()
            && self.1 > 0
        {
            let handle = slab.insert(Nested(Cell::new(Some(slab)), self.1 - 1));
            let guard = slab.get(handle).unwrap();
            slab.remove(handle);
            assert_eq!(guard.1, self.1 - 1);
            drop(guard);
            slab.compact();
        }
    }
}

#[test]
fn a_destructor_may_use_the_slab() {
    // Miri reports no leak of what a static leads to.
    static KEPT: AtomicPtr<SharedSlab<Nested<'static>>> = AtomicPtr::new(std::ptr::null_mut());
    let slab = &*Box::leak(Box::new(SharedSlab::new()));
    KEPT.store(std::ptr::from_ref(slab).cast_mut(), Ordering::Relaxed);
    for pinned in [false, true] {
        let pin = pinned.then(|| slab.pin());
        let handles: Vec<_> =
            (0..20).map(|_| slab.insert(Nested(Cell::new(Some(slab)), 3))).collect();
        handles.iter().for_each(|&handle| assert!(slab.remove(handle)));
        drop(pin);
        assert_eq!(slab.len(), 0);
    }
    slab.compact();
    assert_eq!(slab.slab_count(), 0);
}

#[test]
fn a_panicking_destructor_loses_no_slot_and_no_value() {
    let drops = Arc::new(AtomicUsize::new(0));
    let slab = SharedSlab::new();
    let bomb = slab.insert(Bomb(true, drops.clone()));
    assert!(catch_unwind(AssertUnwindSafe(|| slab.remove(bomb))).is_err());
    assert_eq!((slab.len(), drops.load(Ordering::Relaxed)), (0, 1));

    let handles: Vec<_> = (0..10).map(|n| slab.insert(Bomb(n == 3, drops.clone()))).collect();
    let pinned = slab.pin();
    handles.iter().for_each(|&handle| assert!(slab.remove(handle)));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(pinned))).is_err());
    assert_eq!(drops.load(Ordering::Relaxed), 11, "the others are dropped too");
    assert_eq!(slab.compact(), 1, "all slots are vacant");

    slab.insert(Bomb(true, drops.clone()));
    slab.insert(Bomb(false, drops.clone()));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(slab))).is_err());
    assert_eq!(drops.load(Ordering::Relaxed), 13);
}

#[test]
fn a_closure_that_panics_or_inserts_leaves_no_gap() {
    let slab = SharedSlab::new();
    assert!(catch_unwind(AssertUnwindSafe(|| slab.insert_with(|_| panic_any("no")))).is_err());
    let outer = slab
        .insert_with(|key| {
            assert!(!slab.contains(key) && !slab.remove(key));
            slab.insert(1);
            2
        })
        .unwrap();
    assert_eq!((slab.len(), *slab.get(outer).unwrap()), (2, 2));
    let all: HashSet<_> = slab.pin().iter().map(|(_, &n)| n).collect();
    assert_eq!(all, HashSet::from([1, 2]));
}

#[test]
fn worn_slots_are_retired_and_their_chunk_is_still_released() {
    let mut slab = SharedSlab::<Pair>::new();
    slab.raise_generation_floor(u32::MAX);
    let first = slab.insert(Pair::new(1));
    assert_eq!(first.generation(), u32::MAX - 4);
    let guard = slab.get(first).unwrap();
    slab.remove(first);
    assert_eq!(slab.compact(), 0);
    assert_eq!(guard.number(), 1, "a slot is not retired before its value is dropped");
    drop(guard);
    let second = slab.insert(Pair::new(2));
    assert_ne!(first.to_bits() as u32, second.to_bits() as u32, "the first slot is retired");
    assert_eq!(slab.capacity(), SLAB_SLOTS - 1);
    slab.remove(second);
    assert_eq!((slab.compact(), slab.capacity()), (1, 0));
    slab.try_reserve(1).unwrap();
    assert_eq!(slab.capacity(), SLAB_SLOTS - 2);
    let mut handles = HashSet::new();
    for n in 0..SLAB_SLOTS as u64 - 2 {
        let handle = slab.insert(Pair::new(n));
        assert!(handles.insert(handle));
        slab.remove(handle);
    }
    assert_eq!((slab.slab_count(), slab.compact()), (1, 1));
    // All slots are retired: the next value needs a new chunk.
    slab.insert(Pair::new(3));
    assert_eq!((slab.slab_count(), slab.len()), (1, 1));
}

#[test]
fn values_of_all_shapes() {
    #[repr(align(256))]
    struct Wide(u8);

    fn exercise<T>(make: impl Fn(usize) -> T, check: impl Fn(&T, usize) -> bool) {
        let mut slab = SharedSlab::new();
        let handles: Vec<_> = (0..40).map(|n| slab.insert(make(n))).collect();
        for (n, &handle) in handles.iter().enumerate() {
            let guard = slab.get(handle).unwrap();
            assert!((&raw const *guard).is_aligned() && check(&guard, n));
            drop(guard);
            assert!(check(slab.get_mut(handle).unwrap(), n));
        }
        assert_eq!(slab.pin().iter().count(), 40);
        handles.iter().for_each(|&handle| assert!(slab.remove(handle)));
        assert!(slab.get_mut(handles[0]).is_none());
        assert!(slab.compact() > 0);
        assert_eq!(slab.slab_count(), 0);
    }
    exercise(|_| (), |(), _| true);
    exercise(|n| n as u8, |&value, n| value == n as u8);
    exercise(|n| Wide(n as u8), |value, n| value.0 == n as u8);
    exercise(|n| [n; 3000], |value, n| value[2999] == n);
    exercise(Rc::new, |value, n| **value == n);
    exercise(|n| vec![n; n], |value, n| value.len() == n);
}

#[test]
fn auto_traits_are_those_of_a_shared_owner() {
    type Slab<T> = SharedSlab<T, TypedHandle<Rc<()>>>;
    assert!(implements!(Slab<u64>: Send) && implements!(Slab<u64>: Sync));
    assert!(implements!(Slab<Cell<u64>>: Send) && !implements!(Slab<Cell<u64>>: Sync));
    assert!(!implements!(Slab<Rc<u64>>: Send) && !implements!(Slab<Rc<u64>>: Sync));
    type MutexGuard = std::sync::MutexGuard<'static, u64>;
    assert!(!implements!(Slab<MutexGuard>: Sync), "values are dropped on any thread");
    type Guard<T> = slab_typed::shared::Guard<'static, T>;
    assert!(implements!(Guard<u64>: Send) && implements!(Guard<u64>: Sync));
    assert!(!implements!(Guard<Cell<u64>>: Send) && !implements!(Guard<MutexGuard>: Sync));
    type Pinned = slab_typed::shared::Pinned<'static, u64>;
    assert!(!implements!(Pinned: Send) && !implements!(Pinned: Sync));
}
