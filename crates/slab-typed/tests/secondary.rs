//! Values kept beside those of an allocator.

use slab_typed::{SecondaryMap, SlabAllocator, SlabError, SlotHandle, TypedHandle};

#[test]
fn follows_the_handle_and_not_the_slot() {
    let mut slab = SlabAllocator::new(4);
    let mut map = SecondaryMap::new(4);
    let early = slab.allocate(1).unwrap();
    assert_eq!(map.insert(early, "early").unwrap(), None);
    assert_eq!(map.insert(early, "early again").unwrap(), Some("early"));
    slab.free(early).unwrap();
    let late = slab.allocate(2).unwrap();
    assert_eq!((map.get(early), map.get(late), map.len()), (Some(&"early again"), None, 1));
    assert_eq!(map.insert(late, "late").unwrap(), None);
    assert_eq!((map.get(early), map.get(late), map.len()), (None, Some(&"late"), 1));
    let refused = map.insert(early, "too late").unwrap_err();
    assert!(matches!(refused.reason(), SlabError::StaleHandle { .. }));
    assert_eq!(refused.into_value(), "too late");
    assert_eq!(map.remove(late), Some("late"));
    let refused = map.insert(early, "too late").unwrap_err();
    assert!(matches!(refused.reason(), SlabError::StaleHandle { .. }));
    assert!(
        map.insert(late, "removed, and not stale").is_err(),
        "a removed value is gone for good"
    );
    map.validate().unwrap();
}

#[test]
fn iterates_in_the_order_of_slots() {
    enum Tag {}
    let mut slab: SlabAllocator<u32, TypedHandle<Tag>> = SlabAllocator::with_key(8);
    let mut map = SecondaryMap::new(8);
    let handles: Vec<_> = (0..50).map(|n| slab.allocate(n).unwrap()).collect();
    for (n, &handle) in handles.iter().enumerate().rev().step_by(3) {
        map.insert(handle, n).unwrap();
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
    let refused = map.insert(forged, ()).unwrap_err();
    assert_eq!(refused.reason(), &SlabError::SlotIndexOutOfRange(5, 0, 4));
    let last = SlotHandle::from_bits(1 << 32 | u64::from(u32::MAX)).unwrap();
    assert!(map.insert(last, ()).is_err() && map.get(last).is_none());
}
