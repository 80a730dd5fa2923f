//! Reserved address space: refused, used up, forged at, given back. Everything else is as over chunks.
#![cfg(all(feature = "alloc", feature = "vm"))]

use std::collections::HashMap;
use std::rc::Rc;

use slab_traits::Global;
use slab_typed::{SlabAllocator, SlabError, SlotHandle};

/// Returns an allocator with a reservation, or `None` if the system refuses it.
fn reserved<T>(slab_capacity: usize, slots: usize) -> Option<SlabAllocator<T>> {
    let slab = SlabAllocator::new_reserved(slab_capacity, slots);
    if slab.reserved_slots() == 0 {
        println!("skipped: the system reserves no address space for {slots} slots");
        return None;
    }
    assert!(slab.reserved_slots() >= slots.next_multiple_of(slab_capacity));
    Some(slab)
}

#[track_caller]
fn assert_works(mut slab: SlabAllocator<u64>) {
    let count = if cfg!(miri) { 30 } else { 3000 };
    let handles: Vec<_> = (0..count).map(|n| slab.insert(n)).collect();
    slab.validate().unwrap();
    assert!((0..count).all(|n| slab[handles[n as usize]] == n));
    assert!(handles.iter().all(|&handle| slab.remove(handle).is_some()));
    slab.compact();
    slab.validate().unwrap();
    assert_eq!((slab.len(), slab.total_slots()), (0, 0));
}

#[test]
fn a_reservation_that_is_refused_falls_back_to_chunks() {
    let none = SlabAllocator::<u64>::new_reserved(1024, 0);
    assert_eq!(none.reserved_slots(), 0);
    assert_works(none);
    let too_large = SlabAllocator::<[u8; isize::MAX as usize >> 7]>::new_reserved(1024, 1);
    assert_eq!(too_large.reserved_slots(), 0);
    if cfg!(miri) {
        println!("skipped: Miri refuses no mapping, it takes the memory");
        return;
    }
    for slots in [usize::MAX, isize::MAX as usize, usize::MAX / 12, usize::MAX / 12 - 1024] {
        // Handles can name 2³² slots of 12 bytes, which a system with 64 bits may grant.
        assert_works(SlabAllocator::new_reserved(1024, slots));
    }
    // More bytes than the address space has.
    let slab = SlabAllocator::<[u8; 1 << 30]>::new_reserved(1024, usize::MAX);
    assert_eq!(slab.reserved_slots(), 0);
}

#[test]
fn short_chunks_and_large_alignments_are_not_reserved() {
    #[repr(align(8192))]
    struct Page(u8);

    for slab_capacity in [0, 1, 64, 1023] {
        let slab = SlabAllocator::<u64>::new_reserved(slab_capacity, 5000);
        assert_eq!(slab.reserved_slots(), 0);
        if slab_capacity == 64 {
            assert_works(slab);
        }
    }
    let mut slab = SlabAllocator::new_reserved(1024, 1024);
    assert_eq!(slab.reserved_slots(), 0);
    let page = slab.insert(Page(7));
    assert_eq!(slab[page].0, 7);
    assert!((&raw const slab[page]).is_aligned());
}

#[test]
fn values_are_aligned_and_hold_nothing_in_common() {
    #[derive(Debug, Clone, Copy, PartialEq)]
    #[repr(align(4096))]
    struct Aligned(u32);

    let Some(mut slab) = reserved(1024, 2048) else { return };
    let count = if cfg!(miri) { 3 } else { 1500 };
    let handles: Vec<_> = (0..count).map(|n| slab.insert(Aligned(n))).collect();
    for (handle, n) in handles.into_iter().zip(0..) {
        assert!((&raw const slab[handle]).is_aligned());
        assert_eq!(slab[handle], Aligned(n));
    }
    let Some(mut units) = reserved(1024, 1024) else { return };
    let unit = units.insert(());
    assert_eq!(units.remove(unit), Some(()));
}

/// Handles of each class: every kind of chunk, slots of chunks and padding, generations of every kind.
fn forged(slab_capacity: usize) -> Vec<SlotHandle> {
    let chunks = [0, 1, 2, 3, 4, 5, 6, 7, 8, 1 << 12, (1 << 22) - 2, (1 << 22) - 1];
    let slots = [0, 1, 475, 476, slab_capacity as u64 % 1024, 1022, 1023];
    let generations = [1, 3, 5, (1 << 31) - 1, (1 << 31) + 1, u64::from(u32::MAX) - 2];
    let mut handles = Vec::new();
    for chunk in chunks {
        for slot in slots {
            for generation in generations {
                let bits = generation << 32 | chunk << 10 | slot;
                handles.push(SlotHandle::from_bits(bits).unwrap());
            }
        }
    }
    handles
}

#[test]
fn a_forged_handle_leads_to_a_live_value_or_nowhere() {
    // Miri takes a minute for a thousand values: there, one slab is reserved and one is beyond.
    let miri = cfg!(miri);
    let cases = [(1024, 1), (1024, 5000), (1500, 1), (1500, 9000)];
    for &(slab_capacity, slots) in if miri { &cases[..1] } else { &cases[..] } {
        let Some(mut slab) = reserved(slab_capacity, slots) else { continue };
        let mut live = HashMap::new();
        // Slabs beyond the reservation, some of them released, and ids that were forgotten.
        for round in u8::from(miri)..2 {
            let count = if miri { slab_capacity + 6 } else { slab_capacity * 4 };
            let handles: Vec<_> = (0..count).map(|n| slab.insert(n)).collect();
            for (n, &handle) in handles.iter().enumerate() {
                if round == 0 || n / slab_capacity != 1 && n % 3 == 0 {
                    slab.remove(handle).unwrap();
                } else {
                    live.insert(handle, n);
                }
            }
            slab.compact();
            if round == 0 {
                slab.shrink_to_fit();
                assert_eq!(slab.total_slots(), 0);
            }
        }
        for handle in forged(slab_capacity).into_iter().step_by(if miri { 17 } else { 1 }) {
            let expected = live.get(&handle).copied();
            assert_eq!(slab.get(handle).copied(), expected, "{handle:?}");
            assert_eq!(slab.locate(handle).is_ok(), expected.is_some(), "{handle:?}");
            assert_eq!(slab.get_mut(handle).copied(), expected);
            assert_eq!(slab.get_disjoint_mut([handle]).is_some(), expected.is_some());
            if expected.is_none() {
                assert_eq!(slab.remove(handle), None);
                assert!(slab.free(handle).is_err());
            }
        }
        slab.validate().unwrap();
        assert_eq!(slab.len(), live.len());
        assert!(live.iter().all(|(&handle, n)| slab[handle] == *n));
    }
}

#[test]
fn behaves_as_over_chunks() {
    let steps = if cfg!(miri) { 100 } else { 30_000 };
    let cases = [(1024, 3000), (1500, 1), (2500, 10_000)];
    for &(slab_capacity, slots) in if cfg!(miri) { &cases[..1] } else { &cases[..] } {
        let Some(mut slab) = reserved(slab_capacity, slots) else { continue };
        let mut chunks = SlabAllocator::new(slab_capacity);
        let mut handles = Vec::new();
        let mut state = 7_u64;
        for step in 0..steps {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (random, kind) = ((state >> 40) as usize, state >> 33 & 0x7F);
            // Grows and shrinks in turn.
            let removes = if step / 8000 % 2 == 0 { 40 } else { 90 };
            match kind {
                125 if step % 5 == 0 => assert_eq!(slab.compact(), chunks.compact()),
                126 if step % 7 == 0 => {
                    slab.shrink_to(random % 5000);
                    chunks.shrink_to(random % 5000);
                }
                127 if step % 3 == 0 => {
                    let moves = slab.defragment(50, |_, _, _| true);
                    assert_eq!(moves, chunks.defragment(50, |_, _, _| true));
                    handles = chunks.keys().collect();
                }
                _ if !handles.is_empty() && kind < removes => {
                    let handle = handles.swap_remove(random % handles.len());
                    let removed = slab.remove(handle);
                    assert!(removed.is_some());
                    assert_eq!(removed, chunks.remove(handle));
                    assert_eq!(slab.get(handle), None);
                }
                _ => {
                    let value = Rc::new(step);
                    let handle = slab.insert(Rc::clone(&value));
                    assert_eq!(handle, chunks.insert(value));
                    handles.push(handle);
                }
            }
            if step % 2000 == 0 {
                slab.validate().unwrap();
                assert!(slab == chunks, "step {step}");
                assert!(slab.iter().rev().eq(chunks.iter().rev()));
            }
        }
        let copy = slab.clone();
        assert_eq!(copy.reserved_slots(), slab.reserved_slots());
        copy.validate().unwrap();
        drop(slab);
        assert!(copy == chunks, "a copy has a separate reservation");
        assert!(chunks.into_iter().eq(copy));
    }
}

#[test]
fn slabs_beyond_the_reservation_come_from_the_source() {
    let slab: SlabAllocator<u64, SlotHandle, Global> =
        SlabAllocator::new_reserved_in(1024, 2048, Global);
    if slab.reserved_slots() == 0 {
        println!("skipped: the system reserves no address space");
        return;
    }
    assert_eq!(slab.reserved_slots(), 2048);
    assert_works(slab);
}

#[test]
#[cfg_attr(miri, ignore = "Miri takes minutes for thousands of slots")]
fn only_the_directory_is_requested_of_the_source() {
    use slab_testkit::FailingSource;

    let source = FailingSource::new(Global);
    let mut slab: SlabAllocator<u64, SlotHandle, _> =
        SlabAllocator::new_reserved_in(1024, 4096, &source);
    if slab.reserved_slots() == 0 {
        println!("skipped: the system reserves no address space");
        return;
    }
    slab.reserve(4096);
    assert_eq!(source.requests(), 1, "the directory");
    let beyond = slab.try_reserve(usize::MAX);
    assert!(matches!(beyond, Err(SlabError::IndexSpaceExhausted { .. })));
    slab.reserve(4097);
    assert!(source.requests() > 1);
    slab.shrink_to_fit();
    drop(slab);
    assert_eq!(source.live_bytes(), 0);
}

/// Pages of address space and resident pages of this process.
#[cfg(all(target_os = "linux", not(miri)))]
fn pages() -> [usize; 2] {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let mut numbers = statm.split(' ').map(|number| number.parse().unwrap());
    [numbers.next().unwrap(), numbers.next().unwrap()]
}

/// The other tests of this file take and return less than this at the same time.
#[cfg(all(target_os = "linux", not(miri)))]
const NOISE: usize = 8 << 20 >> 12;

#[test]
#[cfg(all(target_os = "linux", not(miri)))]
fn compaction_and_drop_return_memory_and_addresses() {
    const BYTES: usize = 128 << 20;
    const PAGES: usize = BYTES >> 12;
    let [space_before, _] = pages();
    let Some(mut slab) = reserved::<[u64; 512]>(1024, 8 * PAGES) else { return };
    let [space, empty] = pages();
    assert!(space >= space_before + 8 * PAGES - NOISE);
    let handles: Vec<_> = (0..PAGES as u64).map(|n| slab.insert([n; 512])).collect();
    let [_, full] = pages();
    assert!(full >= empty + PAGES - NOISE, "{full} of {empty}");
    slab.retain(|_, value| value[0] == 5);
    assert_eq!(slab.compact(), PAGES / 1024 - 1);
    let [_, compacted] = pages();
    assert!(compacted <= empty + 1024 + NOISE, "{compacted} of {full}");
    assert_eq!(slab[handles[5]], [5; 512]);
    assert_eq!(slab.get(handles[6]), None);
    // Slabs acquired again start above the generations that were given back.
    let again: Vec<_> = (0..PAGES as u64 / 2).map(|n| slab.insert([n; 512])).collect();
    assert!(handles.iter().filter(|&&handle| slab.contains(handle)).count() == 1);
    assert!(again.iter().zip(0..).all(|(&handle, n)| slab[handle] == [n; 512]));
    drop(slab);
    let [space, resident] = pages();
    assert!(space <= space_before + NOISE && resident <= empty + NOISE);
}
