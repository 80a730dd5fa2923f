//! `SharedSlab` with threads that insert, read, remove and compact at once.
#![cfg(all(feature = "std", not(loom)))]

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use slab_typed::{SharedSlab, SlotHandle};

mod shared_values;

use shared_values::{Pair, SLAB_SLOTS, linger, some};

#[test]
fn iteration_beside_removal_yields_what_stays() {
    let slab = &SharedSlab::new();
    let count = some(20_000) as u64;
    let handles: Vec<_> = (0..count).map(|n| slab.insert(Pair::new(n))).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            for &handle in handles.iter().step_by(2) {
                slab.remove(handle);
                slab.insert(Pair::new(count));
            }
        });
        for _ in 0..3 {
            let pinned = slab.pin();
            let mut odd = HashSet::new();
            for (handle, pair) in &pinned {
                let number = pair.number();
                if number % 2 == 1 && number < count {
                    assert!(handle == handles[number as usize] && odd.insert(number));
                }
            }
            assert_eq!(odd.len() as u64, count / 2);
        }
    });
}

#[test]
fn threads_agree_with_a_locked_map() {
    const THREADS: usize = 4;
    let slab = &SharedSlab::<Pair>::new();
    let map = &Mutex::new(HashMap::new());
    thread::scope(|scope| {
        for thread in 0..THREADS as u64 {
            scope.spawn(move || {
                let mut own = Vec::new();
                let mut state = thread + 1;
                for round in 0..some(20_000) as u64 {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let pick = state >> 33;
                    match pick % 8 {
                        0..=2 => {
                            let number = thread << 32 | round;
                            let handle = slab.insert(Pair::new(number));
                            assert!(map.lock().unwrap().insert(handle, number).is_none());
                            own.push(handle);
                        }
                        3..=4 if !own.is_empty() => {
                            let handle = own.swap_remove(pick as usize / 8 % own.len());
                            let number = map.lock().unwrap().remove(&handle).unwrap();
                            assert_eq!(slab.get(handle).unwrap().number(), number);
                            assert!(slab.remove(handle));
                        }
                        5 if pick % 1024 < 64 => drop(slab.compact()),
                        _ if !own.is_empty() => {
                            let handle = own[pick as usize / 8 % own.len()];
                            let number = slab.get(handle).unwrap().number();
                            assert_eq!(map.lock().unwrap()[&handle], number);
                        }
                        _ => (),
                    }
                }
            });
        }
    });
    let map = map.lock().unwrap();
    assert_eq!(slab.len(), map.len());
    let found: HashMap<_, _> =
        slab.pin().iter().map(|(handle, pair)| (handle, pair.number())).collect();
    assert_eq!(*map, found);
}

/// All threads insert, read and remove the same keys, so removals meet reads. `remove` succeeds once for each key.
fn shared_keys<T: Send + Sync>(make: impl Fn(u64) -> T + Sync, check: impl Fn(&T) + Sync) {
    const THREADS: usize = 3;
    let slab = &SharedSlab::<T>::new();
    let keys: &Vec<_> = &(0..32).map(|n| Mutex::new(slab.insert(make(n)))).collect();
    let (removed, inserted) = (&AtomicUsize::new(0), &AtomicUsize::new(32));
    let (make, check) = (&make, &check);
    thread::scope(|scope| {
        for thread in 0..THREADS as u64 {
            scope.spawn(move || {
                let mut state = thread + 1;
                for round in 0..some(30_000) as u64 {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let pick = (state >> 33) as usize;
                    let place = &keys[pick % 32];
                    let key = *place.lock().unwrap();
                    match pick / 32 % 8 {
                        0..=1 => {
                            if slab.remove(key) {
                                removed.fetch_add(1, Ordering::Relaxed);
                                inserted.fetch_add(1, Ordering::Relaxed);
                                *place.lock().unwrap() = slab.insert(make(round));
                            }
                        }
                        2 => {
                            let pinned = slab.pin();
                            let values: Vec<_> = keys
                                .iter()
                                .filter_map(|key| pinned.get(*key.lock().unwrap()))
                                .collect();
                            linger();
                            values.into_iter().for_each(check);
                        }
                        3 if pick % 1024 < 32 => drop(slab.compact()),
                        4 if pick % 1024 < 64 => {
                            slab.pin().iter().for_each(|(_, value)| check(value))
                        }
                        _ => {
                            if let Some(guard) = slab.get(key) {
                                check(&guard);
                                if pick.is_multiple_of(7) {
                                    linger();
                                }
                                check(&guard);
                            }
                        }
                    }
                }
            });
        }
    });
    assert_eq!(slab.len(), inserted.load(Ordering::Relaxed) - removed.load(Ordering::Relaxed));
}

#[test]
fn threads_that_share_keys_read_whole_values() {
    shared_keys(Pair::new, |pair| assert!(pair.number() < u64::MAX));
}

#[test]
fn threads_that_share_keys_read_whole_values_without_destructors() {
    shared_keys(|n| [n, !n, n], |value| assert!(value[0] == !value[1] && value[0] == value[2]));
}

#[test]
fn many_threads_come_and_go() {
    let slab = &SharedSlab::new();
    for _ in 0..if cfg!(miri) { 2 } else { 20 } {
        thread::scope(|scope| {
            for n in 0..20_u64 {
                scope.spawn(move || {
                    let handle = slab.insert(Pair::new(n));
                    assert_eq!(slab.get(handle).unwrap().number(), n);
                    if n % 2 == 0 {
                        slab.remove(handle);
                    }
                });
            }
        });
    }
    assert_eq!(slab.len(), if cfg!(miri) { 20 } else { 200 });
    assert!(slab.capacity() <= 21 * SLAB_SLOTS);
}

#[test]
fn a_thread_at_its_end_still_works() {
    static SLAB: SharedSlab<Pair> = SharedSlab::new();
    struct AtEnd(Cell<Option<SlotHandle>>);
    impl Drop for AtEnd {
        fn drop(&mut self) {
            let handle = self.0.get().unwrap();
            assert_eq!(SLAB.get(handle).unwrap().number(), 1);
            let guard = SLAB.get(handle).unwrap();
            assert!(SLAB.remove(handle));
            assert_eq!(guard.number(), 1);
            let new = SLAB.insert(Pair::new(2));
            assert_eq!(SLAB.pin().get(new).unwrap().number(), 2);
            assert!(SLAB.remove(new));
        }
    }
    thread_local! {
        // Both orders of destruction.
        static BEFORE: AtEnd = const { AtEnd(Cell::new(None)) };
        static AFTER: AtEnd = const { AtEnd(Cell::new(None)) };
    }
    thread::spawn(|| {
        BEFORE.with(|_| ());
        let handle = SLAB.insert(Pair::new(1));
        BEFORE.with(|at_end| at_end.0.set(Some(handle)));
        let handle = SLAB.insert(Pair::new(1));
        AFTER.with(|at_end| at_end.0.set(Some(handle)));
    })
    .join()
    .unwrap();
    assert_eq!(SLAB.len(), 0);
    SLAB.compact();
    assert_eq!(SLAB.slab_count(), 0);
}
