//! Memory: requested, refused and released.

use allocator_api2::alloc::Global;
use slab_testkit::FailingSource;
use slab_typed::{SlabAllocator, SlabError, SlotHandle};

#[test]
fn memory_bytes_is_what_the_source_gave() {
    let source = FailingSource::new(Global);
    let mut slab: SlabAllocator<u64, SlotHandle, _> = SlabAllocator::new_in(100, &source);
    assert_eq!(source.requests(), 0, "an empty allocator asks for nothing");
    let handles: Vec<_> = (0..1000).map(|n| slab.allocate(n).unwrap()).collect();
    assert_eq!(slab.memory_bytes(), source.live_bytes());
    handles[100..].iter().for_each(|&handle| slab.free(handle).unwrap());
    assert_eq!(slab.compact(), 9);
    assert_eq!(slab.memory_bytes(), source.live_bytes());
    slab.shrink_to(0);
    assert_eq!((slab.slab_count(), slab.memory_bytes()), (1, source.live_bytes()));
    drop(slab);
    assert_eq!(source.live_bytes(), 0);
}

#[test]
fn spare_slabs_are_kept_until_shrink() {
    let mut slab = SlabAllocator::new(4);
    slab.set_spare_slabs(2);
    slab.try_reserve(20).unwrap();
    assert_eq!((slab.slab_count(), slab.compact(), slab.slab_count()), (5, 3, 2));
    slab.allocate(1).unwrap();
    assert_eq!(slab.compact(), 0);
    slab.shrink_to(0);
    assert_eq!(slab.slab_count(), 1);
}

#[test]
#[cfg_attr(miri, ignore = "Miri dies of a request that large")]
fn a_slab_too_large_for_handles_or_addresses_is_refused() {
    let mut slab = SlabAllocator::new(usize::MAX);
    let refused = slab.allocate(1_u64).unwrap_err();
    assert!(matches!(refused.reason(), SlabError::IndexSpaceExhausted { slab: 0, .. }));
    // A chunk of 1024 would have four times the bytes that an address space has.
    const VALUE_BYTES: usize = isize::MAX as usize >> 7;
    let mut slab: SlabAllocator<[u8; VALUE_BYTES]> = SlabAllocator::new(1024);
    assert!(matches!(slab.try_reserve(1), Err(SlabError::OutOfMemory { .. })));
    slab.validate().unwrap();
}

#[test]
fn ids_forgotten_by_shrinking_stay_stale() {
    let mut slab = SlabAllocator::new(4);
    let mut stale = Vec::new();
    for round in 0..3 {
        let handles: Vec<_> = (0..64).map(|n| slab.allocate(n).unwrap()).collect();
        assert!(stale.iter().all(|&handle| !slab.contains(handle)), "round {round}");
        handles.iter().for_each(|&handle| slab.free(handle).unwrap());
        stale.extend(handles);
        slab.shrink_to(0);
        assert_eq!((slab.total_slots(), slab.memory_bytes()), (0, 0));
        assert_eq!(slab.locate(stale[0]), Err(SlabError::SlabIndexOutOfRange(0, 0)));
    }
}

#[test]
fn generations_that_are_used_up_retire_the_slot_and_then_the_id() {
    let mut slab = SlabAllocator::new(2);
    slab.raise_generation_floor(u32::MAX);
    let last = slab.allocate("last").unwrap();
    assert_eq!(last.generation(), u32::MAX - 2);
    slab.free(last).unwrap();
    assert_eq!((slab.retired_slots(), slab.free_slots(), slab.total_slots()), (1, 1, 2));
    let others = [slab.allocate("other").unwrap(), slab.allocate("in a new slab").unwrap()];
    assert_eq!((slab.slab_count(), slab.get(last)), (2, None));
    slab.free(others[0]).unwrap();
    slab.validate().unwrap();
    assert_eq!((slab.compact(), slab.retired_slots()), (1, 0), "they go with their slab");
    // The id whose generations are used up is not used again.
    let next: Vec<_> = (0..3).map(|_| slab.allocate("next").unwrap()).collect();
    assert_eq!(slab.locate(next[2]), Ok((2, 1)));
    assert_eq!(slab.locate(last), Err(SlabError::SlabReleased { slab: 0 }));
    slab.shrink_to(0);
    assert!(!slab.contains(last) && slab.contains(next[0]));
    slab.validate().unwrap();
}

#[test]
fn what_cannot_be_reserved_is_refused_at_once() {
    for slab_capacity in [1, 64, 1024, 5000, usize::MAX] {
        let source = FailingSource::new(Global);
        let mut slab: SlabAllocator<u64, SlotHandle, _> =
            SlabAllocator::new_in(slab_capacity, &source);
        // Handles name 2²² − 1 chunks of up to 1024 slots.
        let most = ((1 << 22) - 1) / slab_capacity.div_ceil(1024) * slab_capacity.min(1 << 22);
        for additional in [usize::MAX, usize::MAX / 2, most + 1] {
            match slab.try_reserve(additional).unwrap_err() {
                SlabError::IndexSpaceExhausted { .. } => assert!(additional > most),
                // On 32 bits handles name more slots than there are addresses.
                SlabError::OutOfMemory { .. } => assert!(additional <= most),
                other => panic!("{other}"),
            }
        }
        assert_eq!((slab.try_reserve(0), source.requests()), (Ok(()), 0));
        if slab_capacity < 5000 {
            slab.allocate(1).unwrap();
            let requests = source.requests();
            assert!(slab.try_reserve(most).is_err(), "one is taken");
            assert_eq!(source.requests(), requests);
        }
    }
    // More bytes than there are addresses, but few slots.
    let mut slab: SlabAllocator<[u8; isize::MAX as usize >> 7]> = SlabAllocator::new(1);
    let refused = slab.try_reserve(200).unwrap_err();
    assert!(matches!(refused, SlabError::OutOfMemory { .. }), "{refused}");
}
