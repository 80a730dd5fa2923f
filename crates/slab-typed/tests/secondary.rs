//! Secondary maps.

use std::collections::BTreeMap;

use slab_typed::{SecondaryMap, SlabAllocator, SlabError, SlotHandle, TypedHandle};

#[test]
fn follows_the_handle_and_not_the_slot() {
    let mut slab = SlabAllocator::new(4);
    let mut map = SecondaryMap::new(4);
    let early = slab.allocate(1).unwrap();
    assert_eq!(map.try_insert(early, "early").unwrap(), None);
    assert_eq!(map.try_insert(early, "early again").unwrap(), Some("early"));
    slab.free(early).unwrap();
    let late = slab.allocate(2).unwrap();
    assert_eq!((map.get(early), map.get(late), map.len()), (Some(&"early again"), None, 1));
    assert_eq!(map.try_insert(late, "late").unwrap(), None);
    assert_eq!((map.get(early), map.get(late), map.len()), (None, Some(&"late"), 1));
    let refused = map.try_insert(early, "too late").unwrap_err();
    assert!(matches!(refused.reason(), SlabError::StaleHandle { .. }));
    assert_eq!(refused.into_value(), "too late");
    assert_eq!(map.remove(late), Some("late"));
    let refused = map.try_insert(early, "too late").unwrap_err();
    assert!(matches!(refused.reason(), SlabError::StaleHandle { .. }));
    assert_eq!(map.try_insert(late, "removed, and not stale").unwrap(), None);
    map.validate().unwrap();
}

/// A program that stores values for live entities and empties the map each frame.
#[test]
fn stores_values_again_under_live_handles() {
    type Map = SecondaryMap<SlotHandle, u32>;
    type Way = fn(&mut Map, &[SlotHandle]);
    let ways: [(&str, Way); 7] = [
        ("remove", |map, keys| keys.iter().for_each(|&key| assert!(map.remove(key).is_some()))),
        ("clear", |map, _| map.clear()),
        ("drain", |map, keys| assert_eq!(map.drain().count(), keys.len())),
        ("half a drain", |map, _| _ = map.drain().nth(3)),
        ("drain from the back", |map, _| assert!(map.drain().rev().is_sorted_by(|a, b| a > b))),
        ("retain none", |map, _| map.retain(|_, _| false)),
        ("retain some", |map, _| map.retain(|_, n| *n % 3 == 0)),
    ];
    let mut slab = SlabAllocator::new(4);
    let stale: Vec<_> = (0..10).map(|n| slab.allocate(n).unwrap()).collect();
    slab.clear();
    let keys: Vec<_> = (0..10).map(|n| slab.allocate(n).unwrap()).collect();
    let mut map = Map::new(4);
    map.extend(keys.iter().map(|&key| (key, 0)));
    for (frame, (way, empty)) in (1..).zip(ways.into_iter().cycle().take(20)) {
        empty(&mut map, &keys);
        map.validate().unwrap();
        map.extend(keys.iter().map(|&key| (key, frame)));
        assert!(keys.iter().all(|&key| map[key] == frame), "{way}");
        empty(&mut map, &keys);
        for &key in &keys {
            *map.try_get_or_insert_with(key, || frame).unwrap() += 1;
        }
        // Stale handles stay refused, and `extend` skips them.
        for &key in &stale {
            assert!(matches!(
                map.try_insert(key, 9).unwrap_err().reason(),
                SlabError::StaleHandle { .. }
            ));
        }
        map.extend(stale.iter().map(|&key| (key, 9)));
        assert_eq!((map.len(), map.clone().len()), (keys.len(), keys.len()), "{way}");
        map.validate().unwrap();
        map = map.clone();
        map.extend(keys.iter().map(|&key| (key, 0)));
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri takes minutes for a directory of that length")]
fn passes_after_a_forged_handle_look_at_what_is_held() {
    let mut map = SecondaryMap::new(1024);
    let forged = SlotHandle::from_bits(1 << 32 | 0xFFFF_F000).unwrap();
    let near = SlotHandle::from_bits(1 << 32 | 5).unwrap();
    assert_eq!(
        (map.try_insert(near, 1).unwrap(), map.try_insert(forged, 2).unwrap()),
        (None, None)
    );
    // A pass over all blocks up to that handle would take a quarter of a second.
    let started = std::time::Instant::now();
    for pass in 0..400 {
        assert_eq!(map.values().sum::<u64>(), 3);
        assert!(map.iter().rev().map(|(key, _)| key).eq([forged, near]));
        map.retain(|_, _| true);
        if pass % 100 == 0 {
            assert!(map.drain().eq([(near, 1), (forged, 2)]));
            map.extend([(near, 1), (forged, 2)]);
        }
    }
    let took = started.elapsed();
    assert!(took.as_secs() < 20, "400 passes took {took:?}");
}

#[test]
fn iterates_in_the_order_of_slots() {
    enum Tag {}
    let mut slab: SlabAllocator<u32, TypedHandle<Tag>> = SlabAllocator::with_key(8);
    let mut map = SecondaryMap::new(8);
    let handles: Vec<_> = (0..50).map(|n| slab.allocate(n).unwrap()).collect();
    for (n, &handle) in handles.iter().enumerate().rev().step_by(3) {
        map.try_insert(handle, n).unwrap();
    }
    assert_eq!(map.iter().count(), map.len(), "dead slots between live ones are passed over");
    map.iter_mut().for_each(|(_, n)| *n += 1);
    assert!(map.iter().all(|(handle, &n)| slab[handle] as usize + 1 == n));
    assert!(map.iter().is_sorted() && map.iter().len() == map.len());
    map.retain(|_, n| *n % 2 == 0);
    assert_eq!(map.len(), map.iter().count());
    map.clear();
    assert!(map.is_empty());
    map.validate().unwrap();
}

#[test]
fn a_handle_of_another_geometry_is_refused() {
    let mut map = SecondaryMap::new(4);
    let forged = SlotHandle::from_bits(1 << 32 | 5).unwrap();
    let refused = map.try_insert(forged, ()).unwrap_err();
    assert_eq!(refused.reason(), &SlabError::SlotIndexOutOfRange(5, 0, 4));
    let last = SlotHandle::from_bits(1 << 32 | u64::from(u32::MAX)).unwrap();
    assert!(map.try_insert(last, ()).is_err() && map.get(last).is_none());
}

#[test]
fn a_bound_keeps_forged_handles_from_growing_the_directory() {
    let handle = |index: u64| SlotHandle::from_bits(1 << 32 | index).unwrap();
    let source = slab_testkit::FailingSource::new(allocator_api2::alloc::Global);
    let mut map = SecondaryMap::new_in(1024, &source);
    map.set_slots_max(2049);
    assert_eq!(
        map.try_insert(handle(2 << 10), 7),
        Ok(None),
        "the block of slot 2048 is accepted whole"
    );
    let bytes = source.live_bytes();
    for index in [3 << 10, 1 << 31, u64::from(u32::MAX) - 1024] {
        let refused = map.try_insert(handle(index), 7).unwrap_err();
        assert!(matches!(refused.reason(), SlabError::SlabIndexOutOfRange(_, 3)), "{refused}");
        assert!(map.try_get_or_insert_with(handle(index), || unreachable!()).is_err());
    }
    assert_eq!(source.live_bytes(), bytes);
    map.set_slots_max(usize::MAX);
    assert_eq!(map.try_insert(handle(3 << 10), 7), Ok(None));
}

#[test]
fn agrees_with_a_map_after_each_step() {
    let mut slab = SlabAllocator::new(5);
    let handles: Vec<SlotHandle> = (0..40)
        .flat_map(|n| {
            let early = slab.allocate(n).unwrap();
            slab.free(early).unwrap();
            [early, slab.allocate(n).unwrap()]
        })
        .collect();
    let (mut map, mut model) = (SecondaryMap::new(5), BTreeMap::new());
    let mut state = 1_u64;
    for step in 0..if cfg!(miri) { 60 } else { 20_000 } {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let handle = handles[(state >> 33) as usize % handles.len()];
        match (state >> 50) % 32 {
            0..12 => {
                if let Ok(before) = map.try_insert(handle, step) {
                    // The slot's other value is dropped.
                    let twin = handles.iter().position(|&other| other == handle).unwrap() ^ 1;
                    model.remove(&handles[twin]);
                    assert_eq!(model.insert(handle, step), before);
                }
            }
            12..24 => assert_eq!(map.remove(handle), model.remove(&handle)),
            24..28 => {
                if let Ok(value) = map.try_get_or_insert_with(handle, || step) {
                    let twin = handles.iter().position(|&other| other == handle).unwrap() ^ 1;
                    model.remove(&handles[twin]);
                    assert_eq!(*value, *model.entry(handle).or_insert(step));
                }
            }
            28 => {
                map.retain(|_, n| *n % 3 > 0);
                model.retain(|_, n| *n % 3 > 0);
            }
            29 => map = map.clone(),
            30 if step % 8 == 0 => {
                assert!(
                    map.drain()
                        .rev()
                        .take(3)
                        .eq(std::mem::take(&mut model).into_iter().rev().take(3))
                );
            }
            _ => {
                let taken: Vec<_> = map.clone().into_iter().collect();
                assert!(taken.into_iter().eq(model.clone()));
                map.values_mut().for_each(|n| *n += 1);
                model.values_mut().for_each(|n| *n += 1);
            }
        }
        map.validate().unwrap();
        assert_eq!((map.len(), map.iter().len()), (model.len(), model.len()));
        assert!(map.keys().eq(model.keys().copied()) && map.values().eq(model.values()));
    }
}
