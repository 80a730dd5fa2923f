//! Standard traits: comparison, iteration, indexing, printing.

use std::collections::{BTreeSet, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use allocator_api2::alloc::Global;
use slab_testkit::FailingSource;
use slab_typed::{Key, SecondaryMap, SlabAllocator, SlabError, SlotHandle, TypedHandle};

struct Tag;
type Tagged = TypedHandle<Tag>;

fn message(action: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(action)).expect_err("a panic");
    payload.downcast_ref::<String>().expect("a message").clone()
}

#[test]
fn typed_handles_compare_as_those_within() {
    let mut slab: SlabAllocator<u32, Tagged> = SlabAllocator::with_key(4);
    let keys: Vec<Tagged> = (0..3).map(|n| slab.allocate(n).unwrap()).collect();
    let copies = keys.clone();
    assert!(keys == copies && keys[0] != keys[1]);
    assert_eq!(
        keys.iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>(),
        [&keys[0], &keys[1], &keys[2]]
    );
    assert_eq!(keys.iter().chain(&copies).collect::<HashSet<_>>().len(), 3);
    assert!(
        keys[0] < keys[1] && keys[2].partial_cmp(&keys[1]) == Some(std::cmp::Ordering::Greater)
    );
    assert_eq!(format!("{:?}", keys[2]), format!("{:?}", keys[2].handle()));
}

#[test]
fn loops_and_extend_reach_every_value() {
    let mut slab: SlabAllocator<u32> = SlabAllocator::new(4);
    assert!(slab.is_empty());
    slab.extend([1, 2, 3]);
    assert!(!slab.is_empty());
    for (_, value) in &mut slab {
        *value *= 10;
    }
    let mut sum = 0;
    for (handle, value) in &slab {
        assert_eq!(slab[handle], *value);
        sum += value;
    }
    assert_eq!(sum, 60);

    let mut beside: SecondaryMap<SlotHandle, u32> = SecondaryMap::new(4);
    beside.extend(slab.iter().map(|(handle, value)| (handle, value + 1)));
    for (_, value) in &mut beside {
        *value += 1;
    }
    for (handle, value) in &beside {
        assert_eq!(*value, slab[handle] + 2);
    }
    let (first, _) = slab.iter().next().expect("three");
    *beside.get_mut(first).expect("kept") = 7;
    beside[first] += 1;
    assert_eq!(beside[first], 8);
    assert_eq!(beside.into_iter().map(|(_, value)| value).sum::<u32>(), 8 + 22 + 32);
    assert_eq!(slab.into_iter().map(|(_, value)| value).sum::<u32>(), 60);
}

#[test]
fn a_value_that_is_gone_is_a_panic_that_says_which() {
    let mut slab: SlabAllocator<u32> = SlabAllocator::new(4);
    let mut beside: SecondaryMap<SlotHandle, u32> = SecondaryMap::new(4);
    let gone = slab.allocate(1).unwrap();
    slab[gone] += 1;
    assert_eq!(slab.take(gone), Some(2));
    let refusal = slab.free(gone).unwrap_err();
    let expected = format!("no value: {refusal}");
    assert_eq!(message(|| _ = slab[gone]), expected);
    assert_eq!(message(|| slab[gone] = 2), expected);
    let expected = format!("no value for {gone:?}");
    assert_eq!(message(|| _ = beside[gone]), expected);
    assert_eq!(message(|| beside[gone] = 2), expected);
}

#[test]
fn a_refused_value_is_named_and_comes_back() {
    let source = FailingSource::failing_from(Global, 0);
    let mut slab: SlabAllocator<&str, SlotHandle, _> = SlabAllocator::new_in(4, &source);
    assert_eq!(slab.spare_slabs(), 0);
    assert_eq!(slab.allocator().requests(), 0);
    let refused = slab.allocate("mine").unwrap_err();
    assert!(format!("{refused:?}").starts_with("InsertError { reason: OutOfMemory"));
    assert_eq!(refused.to_string(), refused.reason().to_string());
    let reason = SlabError::from(refused);
    assert!(matches!(reason, SlabError::OutOfMemory { .. }));
    let said = message(|| slab.extend(["mine"]));
    assert_eq!(said, format!("cannot extend: {reason}"));
    let mut beside: SecondaryMap<SlotHandle, u32, _> = SecondaryMap::new_in(4, &source);
    let handle = SlotHandle::from_bits(1 << 32).expect("odd");
    assert!(message(|| beside.extend([(handle, 1)])).starts_with("cannot extend: "));
}

#[test]
fn what_a_debugger_prints() {
    let mut slab: SlabAllocator<u32> = SlabAllocator::new(4);
    let entry = slab.try_vacant_entry().unwrap();
    assert_eq!(format!("{entry:?}"), format!("VacantEntry({:?})", entry.key()));
    let handle = *slab.try_vacant_entry().unwrap().insert(5);
    assert_eq!(handle, 5);
    let mut beside: SecondaryMap<SlotHandle, u32> = SecondaryMap::new(4);
    beside.extend(slab.iter().map(|(handle, &value)| (handle, value)));
    assert_eq!(format!("{beside:?}"), format!("{slab:?}"));
    assert_eq!(format!("{:?}", slab.iter()), "Entries { remaining: 1, .. }");
    assert_eq!(format!("{:?}", slab.iter().clone()), "Entries { remaining: 1, .. }");
    assert_eq!(format!("{:?}", slab.drain()), "Drain { remaining: 1, .. }");
    assert_eq!(format!("{:?}", slab.into_iter()), "IntoIter { remaining: 0, .. }");
}

#[test]
#[cfg(feature = "serde")]
fn typed_handles_are_written_as_numbers() {
    let mut slab: SlabAllocator<u32, Tagged> = SlabAllocator::with_key(4);
    let key = slab.allocate(1).unwrap();
    let text = serde_json::to_string(&key).unwrap();
    assert_eq!(text, key.handle().to_bits().to_string());
    assert_eq!(serde_json::from_str::<Tagged>(&text).unwrap(), key);
    assert!(serde_json::from_str::<Tagged>("8589934592").is_err(), "an even generation");
}
