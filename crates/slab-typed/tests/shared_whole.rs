//! Operations on a whole `SharedSlab`, and those of its only user.
#![cfg(all(feature = "std", not(loom)))]

use std::cell::Cell;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use allocator_api2::alloc::Global;
use slab_testkit::{FailingSource, implements};
use slab_typed::shared::TakeError;
use slab_typed::{SharedSlab, SlabError, SlotHandle};

mod shared_values;

use shared_values::{Bomb, Counted, Pair, SLAB_SLOTS, some};

#[test]
fn retain_removes_what_it_is_told_to() {
    let slab = SharedSlab::new();
    let keys: Vec<_> = (0..some(3000) as u64).map(|n| slab.insert(Pair::new(n))).collect();
    let mut seen = HashSet::new();
    slab.retain(|key, pair| {
        assert!(seen.insert(key) && keys[pair.number() as usize] == key);
        pair.number() % 3 == 0
    });
    assert_eq!(seen.len(), keys.len());
    for (n, &key) in keys.iter().enumerate() {
        assert_eq!(slab.contains(key), n % 3 == 0);
    }
    assert_eq!(slab.len(), keys.len().div_ceil(3));
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut left = 5;
        slab.retain(|_, _| {
            left -= 1;
            assert_ne!(left, 0, "stops here");
            false
        });
    }));
    assert!(outcome.is_err());
    assert_eq!(slab.len(), keys.len().div_ceil(3) - 4);
}

#[test]
fn clear_removes_all_and_keeps_the_memory() {
    let slab = &SharedSlab::new();
    let drops = Arc::new(AtomicUsize::new(0));
    let keys: Vec<_> = (0..some(3000)).map(|_| slab.insert(Counted(drops.clone()))).collect();
    let (capacity, guard) = (slab.capacity(), slab.get(keys[7]).unwrap());
    slab.clear();
    assert_eq!((slab.len(), slab.capacity()), (0, capacity));
    assert_eq!(drops.load(Ordering::Relaxed), keys.len() - 1);
    drop(guard);
    assert_eq!(drops.load(Ordering::Relaxed), keys.len());
    assert!(keys.iter().all(|&key| !slab.contains(key)));
}

#[test]
fn clear_goes_on_after_a_panic() {
    let slab = SharedSlab::new();
    let drops = Arc::new(AtomicUsize::new(0));
    (0..10).for_each(|n| _ = slab.insert(Bomb(n == 4, drops.clone())));
    assert!(catch_unwind(AssertUnwindSafe(|| slab.clear())).is_err());
    assert_eq!((slab.len(), drops.load(Ordering::Relaxed)), (0, 10));
    assert_eq!(slab.compact(), 1, "no slot is lost");
}

#[test]
fn reserved_slots_need_no_request() {
    let source = FailingSource::new(Global);
    let slab = SharedSlab::<u64, SlotHandle, _>::new_in(&source);
    let count = 2 * SLAB_SLOTS + 5;
    slab.try_reserve(count).unwrap();
    assert_eq!(slab.capacity(), 3 * SLAB_SLOTS);
    let before = source.requests();
    slab.try_reserve(count).unwrap();
    assert_eq!(source.requests(), before, "they are vacant still");
    let keys: HashSet<_> = (0..count as u64).map(|n| slab.insert(n)).collect();
    assert_eq!((keys.len(), source.requests()), (count, before));
    slab.try_reserve(SLAB_SLOTS).unwrap();
    assert_eq!(slab.capacity(), 4 * SLAB_SLOTS);
    keys.into_iter().for_each(|key| assert!(slab.remove(key)));
    slab.compact();
    assert_eq!(slab.slab_count(), 0);
}

#[test]
fn a_reservation_that_cannot_be_is_refused_at_once() {
    let source = FailingSource::new(Global);
    let slab = SharedSlab::<u64, SlotHandle, _>::new_in(&source);
    slab.insert(1);
    let before = source.requests();
    for additional in [usize::MAX, usize::MAX / 2, 1 << 33] {
        let refused = slab.try_reserve(additional).unwrap_err();
        assert!(matches!(refused, SlabError::IndexSpaceExhausted { .. }), "{refused:?}");
    }
    let large = SharedSlab::<[u8; 1 << 40], SlotHandle, _>::new_in(&source);
    let refused = large.try_reserve(1 << 24).unwrap_err();
    assert!(matches!(refused, SlabError::OutOfMemory { .. }), "{refused:?}");
    assert_eq!((source.requests(), slab.len()), (before, 1));
}

#[test]
fn a_refused_reservation_releases_what_it_had() {
    for nth in 1.. {
        let source = FailingSource::failing_at(Global, nth);
        let slab = SharedSlab::<u64, SlotHandle, _>::new_in(&source);
        let outcome = slab.try_reserve(3 * SLAB_SLOTS);
        // Without a record this thread works all the same.
        if source.failures() == 0 || nth == 1 {
            assert_eq!((outcome, slab.slab_count()), (Ok(()), 3));
            if nth == 1 {
                continue;
            }
            assert!(nth > 7, "{nth} requests");
            break;
        }
        assert!(matches!(outcome, Err(SlabError::OutOfMemory { .. })));
        assert_eq!((slab.slab_count(), slab.capacity()), (0, 0));
        assert_eq!(slab.held_bytes(), source.live_bytes());
        // The released chunks serve again.
        let keys: HashSet<_> = (0..2 * SLAB_SLOTS as u64).map(|n| slab.insert(n)).collect();
        assert_eq!((keys.len(), slab.slab_count()), (2 * SLAB_SLOTS, 2));
    }
}

#[test]
fn take_returns_what_nothing_reads() {
    let drops = Arc::new(AtomicUsize::new(0));
    let dropped = || drops.load(Ordering::Relaxed);
    let slab = SharedSlab::new();
    let keys: Vec<_> = (0..4).map(|_| slab.insert(Counted(drops.clone()))).collect();
    let taken = slab.take(keys[0]).unwrap_or_else(|refused| panic!("{refused}"));
    assert_eq!((slab.len(), dropped()), (3, 0));
    drop(taken);
    assert_eq!(dropped(), 1);
    assert_eq!(slab.take(keys[0]).err(), Some(TakeError::NotFound));

    let guard = slab.get(keys[1]).unwrap();
    assert!(slab.take(keys[2]).is_ok(), "another slot's guard does not count");
    assert_eq!(slab.take(keys[1]).err(), Some(TakeError::StillRead));
    assert_eq!((slab.len(), dropped(), slab.contains(keys[1])), (1, 2, false));
    drop(guard);
    assert_eq!(dropped(), 3);

    let pinned = slab.pin();
    assert_eq!(slab.take(keys[3]).err(), Some(TakeError::StillRead));
    assert_eq!(dropped(), 3);
    drop(pinned);
    assert_eq!((slab.len(), dropped()), (0, 4));
    assert_eq!(slab.compact(), 1, "no slot is lost");
}

#[test]
fn take_works_for_values_without_destructors_and_for_worn_slots() {
    let mut slab = SharedSlab::new();
    slab.raise_generation_floor(u32::MAX);
    for n in 0..3 * SLAB_SLOTS as u64 {
        let key = slab.insert(n);
        assert_eq!(slab.take(key), Ok(n));
        assert_eq!(slab.take(key), Err(TakeError::NotFound));
    }
    assert!(slab.is_empty() && slab.capacity() < SLAB_SLOTS);
}

#[test]
fn of_two_threads_that_take_a_value_one_gets_it() {
    let slab = &SharedSlab::new();
    let keys: &Vec<_> = &(0..some(2000) as u64).map(|n| slab.insert(Pair::new(n))).collect();
    let sums: Vec<u64> = thread::scope(|scope| {
        let take_all = || {
            let taken = keys.iter().filter_map(|&key| slab.take(key).ok());
            taken.map(|pair| pair.number()).sum()
        };
        [0, 1].map(|_| scope.spawn(take_all)).map(|thread| thread.join().unwrap()).into()
    });
    let count = keys.len() as u64;
    assert_eq!(sums.into_iter().sum::<u64>(), count * (count - 1) / 2);
}

#[test]
fn shrinking_an_empty_slab_releases_everything() {
    let mut slab = SharedSlab::new();
    let mut all = HashSet::new();
    for round in 1..4 {
        let keys: Vec<_> = (0..6 * SLAB_SLOTS as u64).map(|n| slab.insert(n)).collect();
        assert!(keys.iter().all(|&key| all.insert(key)), "round {round}");
        let other = &slab;
        thread::scope(|scope| {
            scope.spawn(|| keys.iter().for_each(|&key| assert!(other.remove(key))));
        });
        slab.shrink_to_fit();
        assert_eq!((slab.held_bytes(), slab.slab_count(), slab.len()), (0, 0, 0));
        assert!(all.iter().all(|&key| !slab.contains(key)));
    }
}

#[test]
fn shrinking_keeps_live_keys_and_forgets_the_slabs_behind_them() {
    let mut slab = SharedSlab::new();
    let keys: Vec<_> = (0..5 * SLAB_SLOTS as u64).map(|n| slab.insert(n)).collect();
    let kept = SLAB_SLOTS + 3;
    (0..keys.len()).filter(|&n| n != kept).for_each(|n| assert!(slab.remove(keys[n])));
    slab.compact();
    let compacted = slab.held_bytes();
    slab.shrink_to_fit();
    assert!(slab.held_bytes() < compacted, "{} of {compacted}", slab.held_bytes());
    assert_eq!((slab.len(), slab.slab_count()), (1, 1));
    assert_eq!(slab.get_mut(keys[kept]), Some(&mut (kept as u64)));
    let again: Vec<_> = (0..5 * SLAB_SLOTS as u64 - 1).map(|n| slab.insert(n)).collect();
    assert_eq!(slab.slab_count(), 5, "each vacant slot is found");
    let old: HashSet<_> = keys.iter().collect();
    assert!(again.iter().all(|key| !old.contains(key)));
    assert!(keys.iter().enumerate().all(|(n, &key)| slab.contains(key) == (n == kept)));
}

#[test]
fn shrinking_drops_the_values_of_forgotten_guards_and_pins() {
    let drops = Arc::new(AtomicUsize::new(0));
    let mut slab = SharedSlab::new();
    let keys: Vec<_> = (0..30).map(|_| slab.insert(Counted(drops.clone()))).collect();
    keys[..20].iter().for_each(|&key| std::mem::forget(slab.get(key)));
    std::mem::forget(slab.pin());
    keys[1..].iter().for_each(|&key| assert!(slab.remove(key)));
    assert_eq!(drops.load(Ordering::Relaxed), 0);
    slab.shrink_to_fit();
    assert_eq!((drops.load(Ordering::Relaxed), slab.len()), (29, 1));
    // Guards and pins work as in a new slab.
    let guard = slab.get(keys[0]).unwrap();
    slab.remove(keys[0]);
    assert_eq!(drops.load(Ordering::Relaxed), 29);
    drop(guard);
    assert_eq!(drops.load(Ordering::Relaxed), 30);
    drop(slab.pin());
    slab.shrink_to_fit();
    assert_eq!(slab.held_bytes(), 0);
}

#[test]
fn shrinking_keeps_worn_generations() {
    let mut slab = SharedSlab::new();
    slab.raise_generation_floor(1 << 31);
    let worn = slab.insert(1);
    slab.remove(worn);
    slab.shrink_to_fit();
    assert_eq!(slab.slab_count(), 0);
    assert!(slab.held_bytes() > 0);
    let next = slab.insert(2);
    assert!(!slab.contains(worn) && slab.contains(next));
}

#[test]
fn shrinking_survives_a_source_that_panics() {
    for nth in 1.. {
        let source = FailingSource::panicking_at_release(Global, nth);
        let mut slab = SharedSlab::<u64, SlotHandle, _>::new_in(&source);
        let keys: Vec<_> = (0..5 * SLAB_SLOTS as u64).map(|n| slab.insert(n)).collect();
        keys[1..].iter().for_each(|&key| assert!(slab.remove(key)));
        let panicked = catch_unwind(AssertUnwindSafe(|| slab.shrink_to_fit())).is_err();
        let count = 2 * SLAB_SLOTS as u64;
        let again: HashSet<_> = (0..count).map(|n| slab.insert(n)).collect();
        assert_eq!((again.len() as u64, slab.len() as u64), (count, count + 1));
        assert!(keys.iter().all(|key| !again.contains(key)) && slab.contains(keys[0]));
        drop(catch_unwind(AssertUnwindSafe(|| drop(slab))));
        assert_eq!(source.live_bytes(), 0);
        if !panicked {
            assert!(nth > 10, "{nth} releases");
            break;
        }
    }
}

#[test]
fn iter_mut_and_drain_reach_each_value_once() {
    let mut slab = SharedSlab::new();
    let count = some(3000) as u64;
    let keys: Vec<_> = (0..count).map(|n| slab.insert(Box::new(n))).collect();
    keys.iter().step_by(5).for_each(|&key| assert!(slab.remove(key)));
    let mut borrowed: Vec<_> = slab.iter_mut().collect();
    assert_eq!(borrowed.len(), keys.len() - keys.len().div_ceil(5));
    borrowed.iter_mut().for_each(|(_, number)| ***number += count);
    let drained: HashSet<_> = slab.drain().collect();
    let expected = (0..count).filter(|n| n % 5 != 0);
    assert_eq!(drained, expected.map(|n| (keys[n as usize], Box::new(n + count))).collect());
    assert!(slab.is_empty() && keys.iter().all(|&key| !slab.contains(key)));
}

#[test]
fn a_drain_that_ends_early_drops_the_rest() {
    let drops = Arc::new(AtomicUsize::new(0));
    let mut slab = SharedSlab::new();
    (0..10).for_each(|_| _ = slab.insert(Counted(drops.clone())));
    let taken: Vec<_> = slab.drain().take(3).collect();
    assert_eq!((slab.len(), drops.load(Ordering::Relaxed)), (0, 7));
    drop(taken);
    slab.insert(Counted(drops.clone()));
    std::mem::forget(slab.drain());
    assert_eq!(slab.len(), 1);
}

#[test]
fn a_slab_is_unwind_safe_if_its_values_are() {
    type Slab<T> = SharedSlab<T>;
    assert!(implements!(Slab<u64>: UnwindSafe) && implements!(Slab<u64>: RefUnwindSafe));
    assert!(!implements!(Slab<Cell<u64>>: RefUnwindSafe));
    assert!(!implements!(Slab<Rc<Cell<u64>>>: UnwindSafe));
    type Guard<T> = slab_typed::shared::Guard<'static, T>;
    assert!(implements!(Guard<u64>: UnwindSafe) && implements!(Guard<u64>: RefUnwindSafe));
    assert!(!implements!(Guard<Cell<u64>>: UnwindSafe));
    type Pinned<T> = slab_typed::shared::Pinned<'static, T>;
    assert!(implements!(Pinned<u64>: UnwindSafe) && implements!(Pinned<u64>: RefUnwindSafe));
    assert!(!implements!(Pinned<Cell<u64>>: UnwindSafe));
    // A removal whose destructor panics leaves nothing half done.
    let slab = SharedSlab::new();
    let key = slab.insert(Bomb(true, Arc::default()));
    assert!(catch_unwind(|| slab.remove(key)).is_err());
    assert!(slab.is_empty());
}
