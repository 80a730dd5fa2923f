//! Misused handles: stale, forged, of another allocator, of a released slab. Without unsafe code, a handle only ever reads
//! the live value that has its bits.

use std::collections::HashMap;

use slab_typed::{Key, SecondaryMap, SlabAllocator, SlabError, SlotHandle};

const VALUES: u32 = if cfg!(miri) { 40 } else { 700 };

/// Half of the slots are live, each in a different generation.
fn filled(slab_capacity: usize) -> (SlabAllocator<u32>, HashMap<u64, u32>) {
    let mut slab = SlabAllocator::new(slab_capacity);
    let mut live = HashMap::new();
    for n in 0..VALUES {
        let mut handle = slab.allocate(n).expect("room");
        for _ in 0..n % 5 {
            slab.free(handle).expect("live");
            handle = slab.allocate(n).expect("room");
        }
        live.insert(handle.to_bits(), n);
    }
    let gone: Vec<_> = live.iter().filter(|(_, n)| **n % 2 == 0).map(|(&bits, _)| bits).collect();
    for bits in gone {
        let handle = SlotHandle::from_bits(bits).expect("it was live");
        assert_eq!(slab.take(handle), live.remove(&bits));
    }
    (slab, live)
}

/// Returns handles with bits near those of real ones, and some far away.
fn forged(live: &HashMap<u64, u32>) -> impl Iterator<Item = SlotHandle> {
    // The real ones, their neighbours, and slots beyond the end of a short chunk.
    let around = |index: u32| [index, index ^ 1, index + 1, index | 0x3FF];
    let indices = live.keys().flat_map(move |&bits| around(bits as u32));
    let near = indices.flat_map(|index| (0..14).map(move |life| life << 32 | u64::from(index)));
    let far = (0..2000_u64).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17));
    let edges = [0, 1, u64::MAX, u64::MAX - 1, 1 << 32, u64::from(u32::MAX), 1 << 63];
    near.chain(far).chain(edges).filter_map(SlotHandle::from_bits)
}

#[test]
fn a_forged_handle_reads_only_what_is_live_under_it() {
    for slab_capacity in [1, 64, 3000] {
        let (mut slab, live) = filled(slab_capacity);
        let (mut read, mut refused) = (0, 0);
        for handle in forged(&live) {
            let expected = live.get(&handle.to_bits());
            assert_eq!(slab.get(handle), expected, "{handle:?}");
            assert_eq!(slab.contains(handle), expected.is_some());
            match expected {
                Some(_) => read += 1,
                None => {
                    slab.free(handle).expect_err("nothing is live under it");
                    assert_eq!(slab.take(handle), None);
                    refused += 1;
                }
            }
        }
        assert!(read > 0 && refused > 5 * read, "{read} read, {refused} refused");
        assert_eq!(slab.live_count(), live.len());
        slab.validate().expect("consistent");
    }
}

#[test]
fn a_double_free_is_refused_and_after_reuse_is_stale() {
    let mut slab = SlabAllocator::new(8);
    let first = slab.allocate("first").expect("room");
    slab.free(first).expect("live");
    assert_eq!(slab.free(first), Err(SlabError::SlotAlreadyFree { slab: 0, slot: 0 }));

    let second = slab.allocate("second").expect("room");
    let stale = SlabError::StaleHandle {
        slab: 0,
        slot: 0,
        generation: first.generation(),
        current: second.generation(),
    };
    assert_eq!(slab.free(first), Err(stale), "the slot is another's");
    assert_eq!(slab[second], "second");
    slab.validate().expect("consistent");
}

#[test]
fn a_handle_into_memory_that_was_given_back_is_refused_for_ever() {
    let mut slab = SlabAllocator::new(4);
    let stale: Vec<_> = (0..40).map(|n| slab.allocate(n).expect("room")).collect();
    slab.clear();
    slab.compact();
    assert_eq!(slab.slab_count(), 0);
    assert!(stale.iter().all(|&handle| !slab.contains(handle)));
    let fresh: Vec<_> = (0..40).map(|n| slab.allocate(n).expect("room")).collect();
    assert!(stale.iter().all(|&handle| slab.get(handle).is_none()));
    assert!(fresh.iter().zip(0..).all(|(&handle, n)| slab[handle] == n));
}

/// A limit: all allocators start at the same generation, so a handle of one may match a value of another. It then reads a
/// live value of the right type; `TypedHandle` makes it a compile error.
#[test]
fn a_handle_of_another_allocator_reads_nothing_or_a_live_value() {
    let (mut ours, mut theirs) = (SlabAllocator::new(8), SlabAllocator::new(8));
    let our = ours.allocate("ours").expect("room");
    let their = theirs.allocate("theirs").expect("room");
    assert_eq!(our, their);
    assert_eq!(ours.get(their), Some(&"ours"));
    ours.free(our).expect("live");
    assert_eq!(ours.get(their), None);
}

/// A slot is retired before the last generation.
#[test]
fn a_handle_of_a_generation_that_never_lives_is_refused() {
    for index in [0, 1, 1024, u64::from(u32::MAX)] {
        let bits = u64::from(u32::MAX) << 32 | index;
        let Some(handle) = SlotHandle::from_bits(bits) else { continue };
        let mut map = SecondaryMap::new(8);
        map.set_slots_max(1 << 20);
        map.try_insert(handle, "value").expect_err("nothing lives there");
        map.try_get_or_insert_with(handle, || "value").expect_err("nothing lives there");
    }
}

/// A key whose `handle` returns another handle each time.
#[derive(Clone, Copy)]
struct Liar;

thread_local! {
    static TOLD: std::cell::RefCell<Vec<SlotHandle>> = const { std::cell::RefCell::new(Vec::new()) };
}

impl Key for Liar {
    fn from_handle(handle: SlotHandle) -> Self {
        TOLD.with_borrow_mut(|told| told.push(handle));
        Self
    }

    fn handle(self) -> SlotHandle {
        TOLD.with_borrow_mut(|told| {
            told.rotate_left(1);
            told[0]
        })
    }
}

#[test]
fn a_key_is_asked_once() {
    let mut slab: SlabAllocator<u32, Liar> = SlabAllocator::with_key(4);
    let mut map: SecondaryMap<Liar, u32> = SecondaryMap::new(4);
    let key = slab.allocate(1).unwrap();
    let stale = SlotHandle::from_bits(5 << 32).unwrap();
    let live = TOLD.with_borrow(|told| told[0]);
    let answers = |first, second| TOLD.set(vec![second, first]);
    let panics = |action: &mut dyn FnMut()| {
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(action)).unwrap_err();
        panic.downcast_ref::<String>().cloned().unwrap_or_default()
    };
    // A second call would return a live handle after the first one led to no value.
    answers(stale, live);
    assert!(matches!(slab.free(key), Err(SlabError::StaleHandle { .. })));
    answers(stale, live);
    assert!(panics(&mut || _ = slab[key]).contains("no value: handle of generation 5 is stale"));
    answers(stale, live);
    assert!(panics(&mut || slab[key] = 2).contains("no value: handle of generation 5 is stale"));
    TOLD.set(vec![live, stale]);
    assert!(matches!(slab.try_get_disjoint_mut([key]), Err(SlabError::StaleHandle { .. })));
    // A second call would return a stale handle after the first one led to a value.
    answers(live, stale);
    slab[key] = 3;
    answers(live, stale);
    assert_eq!(map.try_insert(key, 1), Ok(None));
    answers(live, stale);
    assert_eq!(map.try_get_or_insert_with(key, || 2), Ok(&mut 1));
    answers(stale, live);
    assert_eq!(map.try_get_or_insert_with(key, || 2), Ok(&mut 2));
    slab.validate().unwrap();
    map.validate().unwrap();
}
