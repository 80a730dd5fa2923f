//! Round trips, and input that is out to do harm.
#![cfg(feature = "serde")]

use slab_typed::{SlabAllocator, SlotHandle};

fn read(text: &str) -> Result<SlabAllocator<u64>, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

#[test]
fn handles_mean_the_same_in_the_copy() {
    let mut slab = SlabAllocator::new(8);
    let handles: Vec<_> = (0..100_u64).map(|n| slab.allocate(n).unwrap()).collect();
    slab.retain(|_, n| *n % 3 == 0);
    slab.compact();
    let mut copy = read(&serde_json::to_string(&slab).unwrap()).unwrap();
    copy.validate().unwrap();
    assert!(copy.iter().eq(slab.iter()));
    // Stale handles stay stale, whatever is stored afterwards.
    let stale: Vec<_> = handles.iter().filter(|&&handle| !slab.contains(handle)).collect();
    for n in 0..500 {
        copy.allocate(n).unwrap();
        assert!(stale.iter().all(|&&handle| !copy.contains(handle)));
    }
}

#[test]
fn input_cannot_make_it_acquire_more_than_it_is_worth() {
    let entry = |index: u64| format!("[{}, 7]", 1_u64 << 32 | index);
    let text = |capacity: u64, entries: &str| {
        format!(r#"{{"slab_capacity": {capacity}, "generation_floor": 0, "entries": [{entries}]}}"#)
    };
    assert_eq!(read(&text(1, "")).unwrap().total_slots(), 0);
    assert_eq!(read(&text(1024, &entry(5 << 10))).unwrap().slab_count(), 1);
    for (capacity, index) in [(u64::MAX, 0), (1 << 40, 0), (1 << 20, 0), (1, u64::from(u32::MAX))] {
        let refused = read(&text(capacity, &entry(index))).unwrap_err();
        assert!(refused.contains("memory") || refused.contains("beyond"), "{refused}");
    }
    assert!(read(&text(4, &entry(4))).unwrap_err().contains("beyond its slab"));
    let twice = format!("{}, {}", entry(1), entry(1));
    assert!(read(&text(4, &twice)).unwrap_err().contains("one slot"));
    assert!(
        read(&text(4, "[4294967297, 1], [8589934592, 1]")).unwrap_err().contains("never lives")
    );
    assert!(serde_json::from_str::<SlotHandle>("0").is_err());
    // As many slabs as are paid for, and no more.
    let far_apart: Vec<_> = (0..4000_u64).map(|n| entry(n << 10)).collect();
    assert!(read(&text(1024, &far_apart.join(","))).unwrap_err().contains("memory"));
    // Each value earns the slab of 64 that it lies in.
    let far_apart = read(&text(64, &far_apart.join(","))).expect("paid for");
    assert_eq!((far_apart.slab_count(), far_apart.live_count()), (4000, 4000));
    let mut reader = serde_json::Deserializer::from_str(
        r#"{"slab_capacity": 1024, "generation_floor": 4294967295, "entries": []}"#,
    );
    let empty: SlabAllocator<u8> = SlabAllocator::deserialize_within(&mut reader, 0).unwrap();
    assert_eq!(empty.memory_bytes(), 0);
}

#[test]
fn what_is_acquired_stays_within_the_bound() {
    for (capacity, indices) in
        [(4, &[0][..]), (4, &[3 << 10]), (1024, &[0, 5 << 10]), (3000, &[0, 1 << 10, 9 << 10])]
    {
        let entries: Vec<_> =
            indices.iter().map(|index| format!("[{}, 7]", 1_u64 << 32 | index)).collect();
        let text = format!(
            r#"{{"slab_capacity": {capacity}, "generation_floor": 0, "entries": [{}]}}"#,
            entries.join(",")
        );
        let within = |bound: usize| -> Result<SlabAllocator<u64>, _> {
            let mut reader = serde_json::Deserializer::from_str(&text);
            SlabAllocator::deserialize_within(&mut reader, bound)
        };
        let bounds: Vec<_> = (0..20).map(|log2| 1 << log2).collect();
        let enough = bounds.partition_point(|&bound| within(bound).is_err());
        let bounds: Vec<_> = (bounds[enough] / 2..=bounds[enough]).collect();
        let least = bounds[bounds.partition_point(|&bound| within(bound).is_err())];
        let held = within(least).expect("this much is enough").memory_bytes();
        assert!(held <= least, "{held} bytes within {least} for {text}");
        // One chunk fits into the shortest directory.
        assert!(indices.len() > 1 || indices[0] > 0 || least == held, "{least} for {held}");
        // A directory may have twice the length that it needs, and no slab is counted twice.
        assert!(least <= held + 1000, "{held} bytes need {least} for {text}");
    }
}

#[test]
fn used_up_generations_are_not_written() {
    let mut slab = SlabAllocator::new(2);
    slab.raise_generation_floor(u32::MAX);
    let last = slab.allocate(1_u64).unwrap();
    assert!(serde_json::to_string(&slab).is_ok());
    slab.free(last).unwrap();
    assert!(serde_json::to_string(&slab).is_err());
}
