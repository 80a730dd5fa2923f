//! The behaviour that the test suite of `slab` 0.4.12 asks for. `docs/migration-typed.md` lists what differs.

use std::panic::{AssertUnwindSafe, catch_unwind};

use slab_typed::{SlabAllocator, SlabError, SlotHandle};

fn filled(count: usize) -> (SlabAllocator<usize>, Vec<SlotHandle>) {
    let mut slab = SlabAllocator::new(10);
    let keys = (0..count).map(|n| slab.insert(n)).collect();
    (slab, keys)
}

fn panics(action: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(action)).is_err()
}

#[test]
fn one_value() {
    let mut slab = SlabAllocator::new(10);
    assert!(slab.is_empty());
    let key = slab.insert(10);
    assert_eq!((slab[key], slab.get(key), slab.len()), (10, Some(&10), 1));
    assert!(!slab.is_empty() && slab.contains(key));
    assert_eq!((slab.remove(key), slab.contains(key), slab.get(key)), (Some(10), false, None));
    assert_eq!((slab.remove(key), slab.len()), (None, 0));
}

#[test]
fn many_values() {
    let mut slab = SlabAllocator::new(10);
    slab.reserve(10);
    for n in 0..10 {
        let key = slab.insert(n + 10);
        assert_eq!(slab[key], n + 10);
    }
    assert_eq!(slab.capacity(), 10);
    let key = slab.insert(20);
    assert_eq!((slab[key], slab.capacity()), (20, 20));
}

#[test]
fn values_come_and_go() {
    let mut slab = SlabAllocator::new(10);
    let mut keys = Vec::new();
    for round in 0..10 {
        for n in 0..10 {
            let value = round * 10 + n;
            keys.push((slab.insert(value), value));
            assert_eq!(slab[keys[keys.len() - 1].0], value);
        }
        for (key, value) in keys.drain(..) {
            assert_eq!(slab.remove(key), Some(value));
        }
    }
    assert_eq!(slab.capacity(), 10);
}

#[test]
fn a_vacant_entry_knows_its_key() {
    let mut slab = SlabAllocator::new(1);
    let key = slab.vacant_entry().key();
    let entry = slab.vacant_entry();
    assert_eq!(entry.key(), key, "an entry that is dropped changes nothing");
    *entry.insert(122) += 1;
    assert_eq!(slab[key], 123);
    let with_key = slab.insert_with(|key| key.generation() as i32);
    assert_eq!(slab[with_key], 1);
}

#[test]
fn indexing_without_a_value_panics() {
    let (mut slab, keys) = filled(1);
    slab.remove(keys[0]);
    assert!(panics(|| _ = slab[keys[0]]));
    assert!(panics(|| slab[keys[0]] = 1));
    assert!(panics(|| _ = slab[SlotHandle::from_bits(1 << 32 | 77).unwrap()]));
}

#[test]
fn values_change_in_place() {
    let (mut slab, keys) = filled(3);
    slab[keys[1]] = 7;
    *slab.get_mut(keys[2]).unwrap() += 1;
    assert!(slab.values().eq(&[0, 7, 3]));
}

#[test]
fn a_value_has_its_key() {
    let (slab, keys) = filled(25);
    assert!(keys.iter().all(|&key| slab.key_of(&slab[key]) == Some(key)));
    let elsewhere = 3;
    assert_eq!(slab.key_of(&elsewhere), None);
    let other = slab.clone();
    assert_eq!(slab.key_of(&other[keys[4]]), None);

    let mut boxes = SlabAllocator::new(4);
    let keys: Vec<_> = (0..9).map(|n| boxes.insert(Box::new(n))).collect();
    assert_eq!(boxes.key_of(&boxes[keys[6]]), Some(keys[6]));

    let mut units = SlabAllocator::new(4);
    let keys: Vec<_> = (0..9).map(|_| units.insert(())).collect();
    assert_eq!(units.key_of(&units[keys[5]]), Some(keys[5]));
    units.remove(keys[5]);
    assert_eq!(units.keys().count(), 8);
}

#[test]
fn reserving_acquires_what_is_missing() {
    let (mut slab, _) = filled(2);
    assert_eq!(slab.capacity() - slab.len(), 8);
    slab.reserve(8);
    assert_eq!(slab.capacity(), 10);
    slab.reserve(9);
    assert_eq!(slab.capacity(), 20);
    assert!(panics(|| slab.reserve(usize::MAX)));
    assert!(panics(|| SlabAllocator::<[u8; 1 << 20]>::new(1 << 20).reserve(usize::MAX >> 20)));
    assert_eq!((slab.capacity(), slab.len()), (20, 2));
    let large = SlabAllocator::<u8>::with_capacity(1025);
    assert_eq!((large.capacity(), large.len()), (2048, 0));
}

#[test]
fn retain_keeps_what_it_is_told() {
    let (mut slab, keys) = filled(2);
    slab.retain(|key, n| {
        assert_eq!(keys[*n], key);
        n.is_multiple_of(2)
    });
    assert_eq!((slab.len(), slab[keys[0]], slab.contains(keys[1])), (1, 0, false));
    let key = slab.insert(0);
    assert_eq!(slab.locate(key).unwrap(), (0, 1), "the slot that was vacated is filled first");
}

#[test]
fn iterators_go_both_ways_and_skip_the_dead() {
    let (mut slab, keys) = filled(4);
    assert!(slab.keys().eq(keys.iter().copied()) && slab.values().eq(&[0, 1, 2, 3]));
    slab.remove(keys[1]);
    assert!(slab.iter().map(|(_, n)| n).eq(&[0, 2, 3]));
    assert!(slab.iter().rev().map(|(_, n)| n).eq(&[3, 2, 0]));
    for (key, n) in &mut slab {
        assert_eq!(key, keys[*n]);
        *n += 1;
    }
    let mut values = slab.iter_mut();
    assert_eq!(values.next(), Some((keys[0], &mut 1)));
    assert_eq!(values.len(), 2);
    assert!(values.rev().map(|(_, n)| *n).eq([4, 3]));
    let mut owned = slab.into_iter();
    assert_eq!(owned.next_back(), Some((keys[3], 4)));
    assert_eq!(owned.next(), Some((keys[0], 1)));
    assert_eq!(owned.next_back(), Some((keys[2], 3)));
    assert_eq!((owned.next_back(), owned.next()), (None, None));
}

#[test]
fn collecting_stores_in_order() {
    let slab: SlabAllocator<_> = (0..5).map(|n| n * n).collect();
    assert_eq!(slab.len(), 5);
    assert!(slab.values().eq(&[0, 1, 4, 9, 16]));
    let mut slab = slab;
    slab.extend(&[25, 36]);
    assert!(slab.values().rev().take(2).eq(&[36, 25]));
}

#[test]
fn clearing_keeps_memory() {
    let (mut slab, keys) = filled(4);
    slab.clear();
    assert_eq!((slab.len(), slab.capacity(), slab.is_empty()), (0, 10, true));
    let again: Vec<_> = (0..2).map(|n| slab.insert(n)).collect();
    assert!(slab.iter().map(|(_, n)| n).eq(&[0, 1]));
    assert_eq!(slab.locate(again[0]), Ok((0, 0)));
    assert!(keys.iter().all(|&key| !slab.contains(key)));
}

#[test]
fn shrinking_moves_nothing() {
    let mut slab: SlabAllocator<&str> = SlabAllocator::default();
    slab.shrink_to_fit();
    assert_eq!(slab.capacity(), 0);

    let mut slab = SlabAllocator::new(1);
    let [foo, bar, baz] = ["foo", "bar", "baz"].map(|name| slab.insert(name));
    slab.remove(bar);
    slab.shrink_to_fit();
    assert_eq!((slab.len(), slab.capacity()), (2, 2));
    assert_eq!((slab.get(foo), slab.get(baz)), (Some(&"foo"), Some(&"baz")));
    let again = slab.insert("bar");
    assert_eq!(slab.locate(again), Ok((1, 0)));
}

#[test]
fn compacting_after_moves_releases_memory() {
    let mut slab = SlabAllocator::new(2);
    let mut keys: Vec<_> = (0..10).map(|n| slab.insert(n)).collect();
    [0, 2, 4, 6, 8].iter().for_each(|&n| _ = slab.remove(keys[n]));
    assert_eq!(slab.compact(), 0, "each slab has a value");
    let mut moves = 0;
    let moved = slab.defragment(usize::MAX, |&mut n, old, new| {
        assert_eq!(keys[n], old);
        keys[n] = new;
        moves += 1;
        true
    });
    assert_eq!((moved, moves, slab.compact(), slab.capacity()), (2, 2, 2, 6));
    assert!([1, 3, 5, 7, 9].iter().all(|&n| slab[keys[n]] == n));
}

#[test]
fn moves_stop_when_they_are_refused() {
    let mut slab = SlabAllocator::new(2);
    let keys: Vec<_> = (0..10).map(|n| slab.insert(n)).collect();
    [0, 2, 4, 6, 8].iter().for_each(|&n| _ = slab.remove(keys[n]));
    assert_eq!(slab.defragment(usize::MAX, |_, _, _| false), 0);
    let first = catch_unwind(AssertUnwindSafe(|| slab.defragment(9, |_, _, _| panic!("refused"))));
    assert!(first.is_err());
    assert!([1, 3, 5, 7, 9].iter().all(|&n| slab[keys[n]] == n));
    assert_eq!((slab.len(), slab.capacity()), (5, 10));
    slab.validate().unwrap();
}

#[test]
fn draining_empties() {
    let (mut slab, _) = filled(3);
    let mut drain = slab.drain();
    assert_eq!(drain.by_ref().map(|(_, n)| n).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(drain.next().is_none());
    drop(drain);
    assert!(slab.is_empty());
    let (mut slab, keys) = filled(3);
    assert_eq!(slab.drain().next(), Some((keys[0], 0)));
    assert!(slab.is_empty());
    let (mut slab, _) = filled(9);
    assert!(slab.drain().rev().map(|(_, n)| n).eq((0..9).rev()));
}

#[test]
fn a_constant_needs_no_memory() {
    static EMPTY: SlabAllocator<()> = SlabAllocator::new(1024);
    assert_eq!((EMPTY.len(), EMPTY.capacity(), EMPTY.held_bytes()), (0, 0, 0));
}

#[test]
fn a_clone_has_the_same_keys() {
    let (mut slab, keys) = filled(5);
    slab.remove(keys[1]);
    slab.remove(keys[3]);
    let mut copy = SlabAllocator::new(10);
    copy.reserve(30);
    copy.clone_from(&slab);
    assert!(copy.iter().eq([(keys[0], &0), (keys[2], &2), (keys[4], &4)]));
    assert_eq!(copy, slab);
    copy[keys[0]] = 1;
    assert_ne!(copy, slab);
    slab.remove(keys[0]);
    copy.remove(keys[0]);
    assert_eq!(copy, slab);
    slab.insert(7);
    assert_ne!(copy, slab);
}

#[test]
fn equality_compares_keys_too() {
    let mut one: SlabAllocator<i32> = SlabAllocator::new(4);
    let mut other: SlabAllocator<i32> = SlabAllocator::new(64);
    let key = one.insert(1);
    other.insert(1);
    assert_eq!(one, other, "slabs do not matter");
    one.remove(key);
    one.insert(1);
    assert_ne!(one, other, "the same value under another key");
}

#[test]
fn several_values_at_once() {
    let (mut slab, keys) = filled(5);
    assert_eq!(slab.get_disjoint_mut([]), Some([]));
    if let Some([first, last]) = slab.get_disjoint_mut([keys[0], keys[4]]) {
        std::mem::swap(first, last);
    }
    assert_eq!((slab[keys[0]], slab[keys[4]]), (4, 0));
    assert_eq!(slab.get_disjoint_mut([keys[1], keys[2], keys[1]]), None);
    let duplicate = SlabError::DuplicateHandle { slab: 0, slot: 1 };
    assert_eq!(slab.try_get_disjoint_mut([keys[1], keys[1]]), Err(duplicate));
    slab.remove(keys[1]);
    let gone = SlabError::SlotAlreadyFree { slab: 0, slot: 1 };
    assert_eq!(slab.try_get_disjoint_mut([keys[0], keys[1]]), Err(gone));
    let forged = SlotHandle::from_bits(1 << 32 | 5 << 10).unwrap();
    assert_eq!(slab.get_disjoint_mut([keys[0], forged]), None);
}
