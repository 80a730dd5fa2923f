//! The published slab allocator that this crate replaces: its promises, and its defects, which must not return.

use slab_typed::{SlabAllocator, SlabError};

#[test]
fn stores_reads_and_frees() {
    let mut slab: SlabAllocator<String> = SlabAllocator::new(8);
    let handle = slab.allocate("hello".to_owned()).unwrap();
    slab.get_mut(handle).unwrap().push_str(" world");
    assert_eq!(slab.get(handle).unwrap(), "hello world");
    assert_eq!(slab.live_count(), 1);
    slab.free(handle).unwrap();
    assert_eq!(slab.live_count(), 0);
    assert_eq!(slab.free(handle), Err(SlabError::SlotAlreadyFree { slab: 0, slot: 0 }));
}

#[test]
fn slots_come_by_the_slab() {
    let mut slab: SlabAllocator<u32> = SlabAllocator::new(4);
    assert_eq!((slab.total_slots(), slab.utilisation()), (0, 0.0));
    let handles: Vec<_> = (0..9).map(|n| slab.allocate(n).unwrap()).collect();
    assert_eq!((slab.slab_count(), slab.total_slots(), slab.free_slots()), (3, 12, 3));
    for (n, &handle) in handles.iter().enumerate() {
        assert_eq!(slab.get(handle), Some(&(n as u32)));
        assert_eq!(slab.locate(handle), Ok((n / 4, n % 4)));
    }
    assert!((slab.utilisation() - 0.75).abs() < 1e-9);
    slab.free(handles[3]).unwrap();
    slab.allocate(9).unwrap();
    assert_eq!(slab.slab_count(), 3, "the freed slot was used again");
}

#[test]
fn a_capacity_of_zero_is_one() {
    let mut slab: SlabAllocator<bool> = SlabAllocator::new(0);
    let handles = [slab.allocate(true).unwrap(), slab.allocate(false).unwrap()];
    assert_ne!(handles[0], handles[1]);
    assert_eq!((slab.slab_count(), slab.slab_capacity()), (2, 1));
}

#[test]
fn places_out_of_range_are_named() {
    let mut slab: SlabAllocator<u8> = SlabAllocator::new(4);
    assert_eq!(slab.handle_at(99, 0, 1), Err(SlabError::SlabIndexOutOfRange(99, 0)));
    slab.allocate(0).unwrap();
    assert_eq!(slab.handle_at(0, 99, 1), Err(SlabError::SlotIndexOutOfRange(99, 0, 4)));
    assert_eq!(slab.handle_at(0, 1, 1), Err(SlabError::SlotAlreadyFree { slab: 0, slot: 1 }));
    assert_eq!(slab.handle_at(usize::MAX, usize::MAX, u32::MAX).unwrap_err().to_string(), {
        format!("slab index {} is out of range (allocator has 1 slabs)", usize::MAX)
    });
}

#[test]
fn a_stale_handle_does_not_read_the_next_value() {
    let mut slab = SlabAllocator::new(4);
    let first = slab.allocate("first").unwrap();
    slab.free(first).unwrap();
    let second = slab.allocate("second").unwrap();
    assert_eq!(slab.locate(first), {
        let (generation, current) = (first.generation(), second.generation());
        Err(SlabError::StaleHandle { slab: 0, slot: 0, generation, current })
    });
    assert_eq!((slab.get(first), slab.get(second)), (None, Some(&"second")));
}

#[test]
fn compacting_leaves_each_live_handle_valid() {
    let mut slab = SlabAllocator::new(2);
    let handles: Vec<_> = (0..7).map(|n| slab.allocate(n).unwrap()).collect();
    handles[..4].iter().for_each(|&handle| slab.free(handle).unwrap());
    assert_eq!(slab.compact(), 2);
    assert_eq!((slab.slab_count(), slab.live_count(), slab.free_slots()), (2, 3, 1));
    for (n, &handle) in handles.iter().enumerate() {
        assert_eq!(slab.get(handle), (n >= 4).then_some(&n));
    }
    assert_eq!(slab.locate(handles[0]), Err(SlabError::SlabReleased { slab: 0 }));
    // The released slabs are used again, and their old handles stay stale.
    let again: Vec<_> = (0..5).map(|n| slab.allocate(n).unwrap()).collect();
    assert_eq!(slab.slab_count(), 4);
    assert!(handles[..4].iter().all(|&handle| !slab.contains(handle)));
    assert!(again.iter().all(|handle| !handles.contains(handle)));
}

#[test]
#[cfg_attr(miri, ignore = "many values")]
fn memory_of_one_value_among_many_comes_back() {
    let mut slab = SlabAllocator::new(1024);
    let handles: Vec<_> = (0..65_536_u64).map(|n| slab.allocate(n).unwrap()).collect();
    slab.retain(|handle, _| handle == handles[40_000]);
    slab.compact();
    assert_eq!(slab.slab_count(), 1);
    assert!(slab.memory_bytes() < 16 * 1024);
    assert_eq!(slab[handles[40_000]], 40_000);
}

#[test]
#[cfg_attr(miri, ignore = "many values")]
fn a_freed_slot_costs_no_more_than_a_live_one() {
    let mut slab = SlabAllocator::new(1024);
    let handles: Vec<_> = (0..102_400_u64).map(|n| slab.allocate(n).unwrap()).collect();
    let bytes = slab.memory_bytes();
    assert!(bytes as f64 / 102_400.0 <= 12.5, "{} bytes per slot", bytes as f64 / 102_400.0);
    handles.iter().for_each(|&handle| slab.free(handle).unwrap());
    assert_eq!(slab.memory_bytes(), bytes);
}
