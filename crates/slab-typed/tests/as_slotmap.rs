//! The behaviour that the tests of `slotmap` 1.1.1 ask for: each map against a `HashMap`, values at once, entries.

use std::collections::HashMap;
use std::fmt::Debug;

use slab_typed::{Key, sparse_secondary};
use slab_typed::{SecondaryMap, SlabAllocator, SlotHandle, SparseSecondaryMap, secondary};

/// Pseudo-random operations: a kind and a number.
fn operations(seed: u64) -> impl Iterator<Item = (u64, usize)> {
    let mut state = seed;
    let count = if cfg!(miri) { 60 } else { 3_000 };
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((state >> 56) % 6, (state >> 33) as usize & 0xFFFF)
    })
    .take(count)
}

fn sorted<V: Copy + Ord>(values: impl Iterator<Item = V>) -> Vec<V> {
    let mut values: Vec<_> = values.collect();
    values.sort();
    values
}

#[test]
fn an_allocator_is_a_hash_map_that_makes_the_keys() {
    for seed in 0..if cfg!(miri) { 2 } else { 20 } {
        let (mut slab, mut model) = (SlabAllocator::new(5), HashMap::new());
        let mut keys: Vec<SlotHandle> = Vec::new();
        for (kind, n) in operations(seed) {
            let key = keys.get(n % keys.len().max(1)).copied();
            match (kind, key) {
                (1, Some(key)) => assert_eq!(slab.remove(key), model.remove(&key)),
                (2, Some(key)) => {
                    assert_eq!(slab.contains(key), model.contains_key(&key));
                    assert_eq!(slab.get(key), model.get(&key));
                }
                (3, _) if n % 50 == 0 => {
                    let drained = sorted(slab.drain().map(|(_, n)| n));
                    assert_eq!(drained, sorted(model.drain().map(|(_, n)| n)));
                }
                (4, _) if n % 10 == 0 => slab = slab.clone(),
                _ => {
                    keys.push(slab.insert(n));
                    model.insert(keys[keys.len() - 1], n);
                }
            }
        }
        assert_eq!(sorted(slab.values().copied()), sorted(model.values().copied()));
        slab.validate().unwrap();
    }
}

/// The interface that both secondary maps share.
trait Secondary<V>: Clone + PartialEq + Debug + Default + FromIterator<(SlotHandle, V)> {
    fn insert(&mut self, key: SlotHandle, value: V) -> Option<V>;
    fn remove(&mut self, key: SlotHandle) -> Option<V>;
    fn get(&self, key: SlotHandle) -> Option<&V>;
    fn disjoint<const N: usize>(&mut self, keys: [SlotHandle; N]) -> Option<[&mut V; N]>;
    fn values(&self) -> Vec<V>;
    fn len(&self) -> usize;
    fn add(&mut self, key: SlotHandle, value: V) -> Option<&mut V>;
}

macro_rules! secondary {
    ($map:ident) => {
        impl<V: Copy + PartialEq + Debug + Default + std::ops::AddAssign> Secondary<V>
            for $map<SlotHandle, V>
        {
            fn insert(&mut self, key: SlotHandle, value: V) -> Option<V> {
                $map::insert(self, key, value)
            }

            fn remove(&mut self, key: SlotHandle) -> Option<V> {
                $map::remove(self, key)
            }

            fn get(&self, key: SlotHandle) -> Option<&V> {
                assert_eq!($map::get(self, key).is_some(), self.contains(key));
                $map::get(self, key)
            }

            fn disjoint<const N: usize>(&mut self, keys: [SlotHandle; N]) -> Option<[&mut V; N]> {
                self.get_disjoint_mut(keys)
            }

            fn values(&self) -> Vec<V> {
                assert!(self.iter().map(|(_, value)| value).eq($map::values(self)));
                assert!(self.keys().all(|key| self.contains(key)) && self.keys().is_sorted());
                $map::values(self).copied().collect()
            }

            fn len(&self) -> usize {
                assert_eq!(self.is_empty(), $map::len(self) == 0);
                $map::len(self)
            }

            fn add(&mut self, key: SlotHandle, value: V) -> Option<&mut V> {
                let entry = self.entry(key)?;
                assert_eq!(entry.key().handle(), key);
                Some(entry.and_modify(|stored| *stored += value).or_insert(value))
            }
        }
    };
}

secondary!(SecondaryMap);
secondary!(SparseSecondaryMap);

fn is_a_hash_map<M: Secondary<usize>>() {
    for seed in 0..if cfg!(miri) { 2 } else { 20 } {
        let (mut slab, mut map, mut model) = (SlabAllocator::new(5), M::default(), HashMap::new());
        let mut keys: Vec<SlotHandle> = Vec::new();
        for (kind, n) in operations(seed) {
            let key = keys.get(n % keys.len().max(1)).copied();
            match (kind, key) {
                (1, Some(key)) => {
                    slab.remove(key);
                    assert_eq!(map.remove(key), model.remove(&key));
                }
                (2, Some(key)) => assert_eq!(map.get(key), model.get(&key)),
                (3, Some(key)) if slab.contains(key) => {
                    let value = *model.entry(key).and_modify(|stored| *stored += n).or_insert(n);
                    assert_eq!(map.add(key, n), Some(&mut { value }));
                }
                (4, _) if n % 10 == 0 => {
                    let copy = map.clone();
                    assert_eq!(copy, map);
                    map = copy;
                }
                _ => {
                    let key = slab.insert(n);
                    // The value of an earlier key to this slot goes.
                    model.retain(|&earlier: &SlotHandle, _| {
                        earlier.to_bits() as u32 != key.to_bits() as u32
                    });
                    keys.push(key);
                    assert_eq!(map.insert(key, n), model.insert(key, n));
                }
            }
            assert_eq!(map.len(), model.len());
        }
        let mut values = map.values();
        values.sort();
        assert_eq!(values, sorted(model.into_values()));
    }
}

#[test]
fn a_secondary_map_is_a_hash_map() {
    is_a_hash_map::<SecondaryMap<SlotHandle, usize>>();
}

#[test]
fn a_sparse_secondary_map_is_a_hash_map() {
    is_a_hash_map::<SparseSecondaryMap<SlotHandle, usize>>();
}

fn gives_several_values<M: Secondary<usize>>() {
    let mut slab: SlabAllocator<usize> = (0..20).collect();
    slab.retain(|_, n| *n % 2 == 0);
    let keys: Vec<_> = slab.keys().collect();
    let mut map: M = keys.iter().enumerate().map(|(n, &key)| (key, n)).collect();
    assert_eq!(map.disjoint([]), Some([]));
    for &one in &keys {
        for &two in &keys {
            for &three in &keys {
                let distinct = one != two && two != three && one != three;
                match map.disjoint([one, two, three]) {
                    Some([a, b, c]) => {
                        assert!(distinct);
                        *a ^= *b;
                        *b = b.wrapping_add(*c);
                        *c ^= *a;
                    }
                    None => assert!(!distinct),
                }
            }
        }
    }
    map.remove(keys[0]);
    assert_eq!(map.disjoint([keys[1], keys[0]]), None);
}

#[test]
fn both_maps_give_several_values_at_once() {
    gives_several_values::<SecondaryMap<SlotHandle, usize>>();
    gives_several_values::<SparseSecondaryMap<SlotHandle, usize>>();
}

fn refuses_stale_keys<M: Secondary<i32>>() {
    let mut slab = SlabAllocator::new(4);
    let early = slab.insert(());
    slab.remove(early);
    let late = slab.insert(());
    let mut map = M::default();
    assert_eq!((map.insert(early, 1), map.insert(late, 2)), (None, None));
    assert_eq!((map.get(early), map.get(late), map.len()), (None, Some(&2), 1));
    assert_eq!((map.insert(early, 3), map.add(early, 3)), (None, None), "the key is stale");
    assert_eq!(map.remove(early), None);
    assert_eq!((map.get(early), map.get(late)), (None, Some(&2)));
    assert_eq!(
        (map.insert(late, 4), map.remove(late), map.insert(late, 5)),
        (Some(2), Some(4), None)
    );
    let mut other = M::default();
    assert_ne!(map, other);
    other.insert(late, 5);
    assert_eq!(map, other);
}

#[test]
fn both_maps_refuse_stale_keys() {
    refuses_stale_keys::<SecondaryMap<SlotHandle, i32>>();
    refuses_stale_keys::<SparseSecondaryMap<SlotHandle, i32>>();
}

#[test]
fn entries_of_a_secondary_map() {
    use secondary::Entry::{Occupied, Vacant};
    let mut slab = SlabAllocator::new(4);
    let early = slab.insert(());
    slab.remove(early);
    let key = slab.insert(());
    let mut map: SecondaryMap<_, String> = SecondaryMap::new(4);
    map.insert(early, "early".into());
    match map.entry(key) {
        Some(Vacant(entry)) => assert_eq!(format!("{entry:?}"), "VacantEntry(0v3)"),
        other => panic!("{other:?}"),
    }
    assert_eq!(map[early], "early", "an entry that is dropped changes nothing");
    map.entry(key).unwrap().or_default().push('a');
    assert_eq!(map.get(early), None);
    assert!(map.entry(early).is_none());
    match map.entry(key) {
        Some(Occupied(mut entry)) => {
            assert_eq!((entry.key(), entry.get().as_str()), (key, "a"));
            entry.get_mut().push('b');
            assert_eq!(entry.insert("c".into()), "ab");
            assert_eq!(format!("{entry:?}"), r#"OccupiedEntry(0v3, "c")"#);
            assert_eq!(entry.remove_entry(), (key, "c".into()));
        }
        other => panic!("{other:?}"),
    }
    assert!(map.is_empty());
    map.validate().unwrap();
}

#[test]
fn entries_of_a_sparse_secondary_map() {
    use sparse_secondary::Entry::{Occupied, Vacant};
    let mut slab = SlabAllocator::new(4);
    let early = slab.insert(());
    slab.remove(early);
    let key = slab.insert(());
    let mut map: SparseSecondaryMap<_, String> = SparseSecondaryMap::new();
    map.insert(early, "early".into());
    match map.entry(key) {
        Some(Vacant(entry)) => assert_eq!(format!("{entry:?}"), "VacantEntry(0v3)"),
        other => panic!("{other:?}"),
    }
    assert_eq!(map[early], "early", "an entry that is dropped changes nothing");
    map.entry(key).unwrap().or_default().push('a');
    assert_eq!(map.get(early), None);
    assert!(map.entry(early).is_none());
    match map.entry(key) {
        Some(Occupied(mut entry)) => {
            assert_eq!((entry.key(), entry.get().as_str()), (key, "a"));
            entry.get_mut().push('b');
            assert_eq!(entry.insert("c".into()), "ab");
            assert_eq!(format!("{entry:?}"), r#"OccupiedEntry(0v3, "c")"#);
            assert_eq!(entry.remove_entry(), (key, "c".into()));
        }
        other => panic!("{other:?}"),
    }
    assert!(map.is_empty());
    map.extend([(key, &1), (early, &2)].map(|(key, n)| (key, n.to_string())));
    map[key].push('!');
    map.retain(|_, value| value.ends_with('!'));
    map.values_mut().for_each(|value| value.push('?'));
    map.iter_mut().for_each(|(_, value)| value.push('.'));
    assert_eq!(format!("{map:?}"), r#"{0v3: "1!?."}"#);
    assert_eq!(map.clone().into_iter().next_back(), Some((key, "1!?.".into())));
    assert!(map.drain().eq([(key, "1!?.".to_owned())]));
    map.clear();
    assert_eq!(map, SparseSecondaryMap::default());
}

#[test]
fn a_panicking_value_leaves_the_map_as_it_was() {
    let mut slab = SlabAllocator::new(4);
    let early = slab.insert(());
    slab.remove(early);
    let key = slab.insert(());
    let mut map = SecondaryMap::new(4);
    map.insert(early, 1);
    let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        map.entry(key).unwrap().or_insert_with(|| panic!("no value"));
    }));
    assert!(made.is_err());
    assert_eq!((map.get(early), map.get(key)), (Some(&1), None));
}

#[test]
fn capacity_is_acquired_in_advance() {
    let mut map: SecondaryMap<SlotHandle, u64> = SecondaryMap::with_capacity(1500);
    let bytes = map.held_bytes();
    assert_eq!((map.capacity(), map.len()), (2048, 0));
    let mut slab = SlabAllocator::new(1024);
    for n in 0..if cfg!(miri) { 50 } else { 2000 } {
        map.insert(slab.insert(()), n);
    }
    assert_eq!(map.held_bytes(), bytes);
    map.set_slots_max(4096);
    assert!(map.try_set_capacity(4096).is_ok() && map.try_set_capacity(4097).is_err());
    map.set_slots_max(usize::MAX);
    assert!(map.try_set_capacity(usize::MAX).is_err());
    assert_eq!(map.capacity(), 4096);
    map.validate().unwrap();
}

#[test]
fn the_default_map_takes_keys_of_every_slab_capacity() {
    for slab_capacity in [1, 7, 1024, 3000] {
        let mut slab = SlabAllocator::new(slab_capacity);
        let keys: Vec<_> = (0..30).map(|n| slab.insert(n)).collect();
        let map: SecondaryMap<_, _> = keys.iter().map(|&key| (key, slab[key])).collect();
        let sparse: SparseSecondaryMap<_, _> = keys.iter().map(|&key| (key, slab[key])).collect();
        assert!(map.iter().eq(sparse.iter()) && map.len() == 30);
    }
}
