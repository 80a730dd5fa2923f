//! The behaviour that the test suites of `thunderdome` 0.6.1 and `generational-arena` 0.2.9 ask for.
//! `docs/migration-typed.md` lists what differs.

use std::collections::BTreeSet;

use slab_typed::{SlabAllocator, SlabError, SlotHandle};

// Of thunderdome.

#[test]
fn handles_are_small_and_keep_their_bits() {
    assert_eq!((size_of::<SlotHandle>(), size_of::<Option<SlotHandle>>()), (8, 8));
    let handle = SlotHandle::from_bits(0x1BAD_CAFF_DEAD_BEEF).unwrap();
    assert_eq!(handle.to_bits(), 0x1BAD_CAFF_DEAD_BEEF);
    assert_eq!(SlotHandle::from_bits(0x0000_0000_DEAD_BEEF), None);
}

#[test]
fn a_new_arena_is_empty() {
    let arena: SlabAllocator<u32> = SlabAllocator::new(8);
    assert_eq!((arena.len(), arena.capacity()), (0, 0));
    let arena: SlabAllocator<u32> = SlabAllocator::with_capacity(8);
    assert_eq!((arena.len(), arena.capacity()), (0, 1024));
}

#[test]
fn insert_remove_get() {
    let mut arena = SlabAllocator::new(8);
    let one = arena.insert(1);
    assert_eq!((arena.len(), arena.get(one)), (1, Some(&1)));
    let two = arena.insert(2);
    assert_eq!((arena.len(), arena.get(one), arena.get(two)), (2, Some(&1), Some(&2)));
    assert!(arena.contains(two));
    assert_eq!((arena.remove(two), arena.contains(two)), (Some(2), false));
    let three = arena.insert(3);
    assert_eq!(arena.len(), 2);
    assert_eq!((arena.get(one), arena.get(two), arena.get(three)), (Some(&1), None, Some(&3)));
}

#[test]
fn a_place_leads_to_the_key_of_its_value() {
    let mut arena = SlabAllocator::new(8);
    let one = arena.insert(1);
    let two = arena.insert(2);
    let (slab, slot) = arena.locate(two).unwrap();
    assert_eq!(arena.key_at(slab, slot), Some(two));
    assert_eq!(arena.handle_at(slab, slot, two.generation()), Ok(two));
    arena.remove(two);
    assert_eq!(arena.key_at(slab, slot), None);
    let three = arena.insert(3);
    assert_eq!(arena.key_at(slab, slot), Some(three));
    assert_eq!(arena.key_at(0, 0), Some(one));
    assert_eq!((arena.key_at(0, 7), arena.key_at(0, 8), arena.key_at(1, 0)), (None, None, None));
    assert_eq!(arena.key_at(usize::MAX, usize::MAX), None);
    arena.clear();
    arena.compact();
    assert_eq!(arena.key_at(0, 0), None, "a released slab");
}

#[test]
fn two_values_at_once() {
    let mut arena = SlabAllocator::new(8);
    let (foo, bar) = (arena.insert(100), arena.insert(500));
    for (one, two) in [(foo, bar), (bar, foo)] {
        let [first, second] = arena.get_disjoint_mut([one, two]).unwrap();
        *first += 5;
        *second += 5;
    }
    assert_eq!((arena[foo], arena[bar]), (110, 510));
    assert!(arena.get_disjoint_mut([foo, foo]).is_none());
    arena.remove(bar);
    let stale = bar;
    let again = arena.insert(7);
    assert_eq!(arena.get_disjoint_mut([foo, stale]), None);
    assert_eq!(arena.get_disjoint_mut([again, stale]), None, "one slot, two generations");
    assert!(matches!(
        arena.try_get_disjoint_mut([again, stale]),
        Err(SlabError::StaleHandle { .. })
    ));
}

#[test]
fn memory_is_used_again() {
    let mut arena = SlabAllocator::new(2);
    arena.reserve(2);
    for round in 0..3 {
        let keys = [arena.insert("a"), arena.insert("b")];
        assert_eq!((arena.len(), arena.capacity()), (2, 2), "round {round}");
        keys.iter().for_each(|&key| _ = arena.remove(key));
        assert_eq!((arena.len(), arena.capacity()), (0, 2));
    }
}

#[test]
fn retain_half() {
    let mut arena: SlabAllocator<u32> = (0..100).collect();
    arena.retain(|_, n| *n % 2 == 1);
    assert_eq!(arena.len(), 50);
    assert!(arena.iter().all(|(_, n)| n % 2 == 1));
}

#[test]
fn moving_a_value_makes_its_old_key_stale() {
    // `invalidate` of thunderdome.
    let mut arena = SlabAllocator::new(8);
    let old = arena.insert("a");
    let value = arena.remove(old).unwrap();
    let new = arena.insert(value);
    assert_eq!((arena.get(old), arena.get(new)), (None, Some(&"a")));
    assert_eq!(arena.locate(new), Ok((0, 0)));
}

#[test]
fn iterators_know_their_length() {
    let mut arena: SlabAllocator<u32> = (0..3).collect();
    let keys: Vec<_> = arena.keys().collect();
    let mut iter = arena.iter();
    assert_eq!(iter.size_hint(), (3, Some(3)));
    assert_eq!(iter.next(), Some((keys[0], &0)));
    assert_eq!((iter.len(), iter.next_back()), (2, Some((keys[2], &2))));
    assert_eq!((iter.next(), iter.next(), iter.next()), (Some((keys[1], &1)), None, None));
    arena.iter_mut().for_each(|(_, n)| *n *= 2);
    assert!(arena.clone().into_iter().eq([(keys[0], 0), (keys[1], 2), (keys[2], 4)]));
    let mut drain = arena.drain();
    assert_eq!((drain.len(), drain.next(), drain.len()), (3, Some((keys[0], 0)), 2));
    drop(drain);
    assert!(arena.is_empty() && arena.capacity() == 1024);
}

// Of generational-arena.

#[test]
fn a_stale_key_reads_nothing() {
    let mut arena = SlabAllocator::new(1);
    let first = arena.insert(42);
    assert_eq!((arena.remove(first), arena.contains(first)), (Some(42), false));
    let second = arena.insert(42);
    assert!(!arena.contains(first) && first != second);
    assert_eq!(arena[second], 42);
}

#[test]
fn a_refused_value_comes_back() {
    let source = slab_testkit::FailingSource::failing_from(allocator_api2::alloc::Global, 3);
    let mut arena: SlabAllocator<_, SlotHandle, _> = SlabAllocator::new_in(1, &source);
    let first = arena.try_insert(42).unwrap();
    let refused = arena.try_insert(43).unwrap_err();
    assert!(matches!(refused.reason(), SlabError::OutOfMemory { .. }));
    assert_eq!((refused.into_value(), arena.len()), (43, 1));
    assert!(arena.try_insert_with(|_| unreachable!("not called without memory")).is_err());
    assert!(arena.try_vacant_entry().is_err());
    let inserted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| arena.insert(44)));
    let message = *inserted.unwrap_err().downcast::<String>().unwrap();
    assert!(message.starts_with("cannot insert: no memory for "), "{message}");
    assert_eq!((arena.len(), arena[first]), (1, 42));
    arena.validate().unwrap();
}

#[test]
fn values_that_know_their_keys() {
    let mut arena = SlabAllocator::new(2);
    let keys: Vec<_> = (40..45).map(|n| arena.insert_with(|key| (n, key))).collect();
    let last = arena.try_insert_with(|key| (45, key)).unwrap();
    for (n, &key) in (40..).zip(keys.iter().chain([&last])) {
        assert_eq!(arena[key], (n, key));
    }
}

#[test]
fn keys_of_another_arena_read_nothing_beyond_the_end() {
    let mut large: SlabAllocator<usize> = SlabAllocator::new(1);
    let mut small: SlabAllocator<usize> = SlabAllocator::new(1);
    large.insert(0);
    let key = large.insert(42);
    let own = small.insert(7);
    assert_eq!(small.get(key), None);
    assert_eq!(small.remove(key), None);
    assert_eq!(small.get_disjoint_mut([own, key]), None);
}

#[test]
fn draining_and_clearing_change_generations_of_used_slots_alone() {
    let mut arena = SlabAllocator::new(4);
    for _ in 0..3 {
        arena.clear();
        assert_eq!(arena.drain().count(), 0);
    }
    let first = arena.insert("hello");
    assert_eq!(first.generation(), 1);
    arena.clear();
    let second = arena.insert("world");
    assert_ne!(first, second);
    assert!(arena.drain().eq([(second, "world")]));
    assert!(!arena.contains(first) && !arena.contains(second));
    assert_eq!((arena.len(), arena.capacity()), (0, 4));
}

#[test]
fn programs_of_insertions_and_removals() {
    let mut state = 9_u64;
    let mut random = move |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % bound
    };
    for _ in 0..if cfg!(miri) { 3 } else { 40 } {
        let mut arena = SlabAllocator::new(1 + random(9));
        let (mut live, mut dead) = (Vec::new(), Vec::new());
        for _ in 0..random(if cfg!(miri) { 40 } else { 400 }) {
            if random(3) == 0 && !live.is_empty() {
                let (key, value) = live.swap_remove(random(live.len()));
                assert_eq!(arena.remove(key), Some(value));
                dead.push(key);
            } else {
                let value = random(1000);
                live.push((arena.insert(value), value));
            }
            assert!(live.iter().all(|&(key, value)| arena.get(key) == Some(&value)));
            assert!(!dead.iter().any(|&key| arena.contains(key)));
        }
        arena.retain(|_, n| *n % 2 == 0);
        live.retain(|(_, n)| n % 2 == 0);
        assert!(live.iter().all(|&(key, _)| arena.contains(key)));
        let expected: BTreeSet<_> = live.into_iter().collect();
        assert_eq!(arena.into_iter().collect::<BTreeSet<_>>(), expected);
    }
}

#[test]
fn collecting_and_taking_apart() {
    let numbers: BTreeSet<_> = [3, 1, 4, 15, 9, 26].into();
    let mut arena: SlabAllocator<_> = numbers.iter().copied().collect();
    assert!(arena.iter().all(|(key, n)| numbers.contains(n) && arena.get(key) == Some(n)));
    for (_, n) in &mut arena {
        *n += 1;
    }
    assert!(arena.values().all(|n| numbers.contains(&(n - 1))));
    let taken: BTreeSet<_> = arena.into_iter().map(|(_, n)| n - 1).collect();
    assert_eq!(taken, numbers);
}
