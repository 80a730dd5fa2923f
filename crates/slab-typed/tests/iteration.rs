//! Iteration from both ends.

use slab_typed::{SlabAllocator, SlotHandle};

/// An allocator and its values in order.
type Shape = (SlabAllocator<u32>, Vec<(SlotHandle, u32)>);

/// Allocators of several shapes, some with vacant slots and released slabs.
fn shapes() -> Vec<Shape> {
    let mut shapes = Vec::new();
    // Miri takes minutes for more.
    let (capacities, divisors, count): (&[usize], &[u32], u32) = if cfg!(miri) {
        (&[70], &[1, 9], 75)
    } else {
        (&[1, 3, 64, 70, 1500], &[1, 2, 7, 200], 2000)
    };
    for &capacity in capacities {
        for &divisor in divisors {
            let mut slab = SlabAllocator::new(capacity);
            slab.extend(0..count);
            slab.retain(|_, n: &mut u32| n.is_multiple_of(divisor));
            slab.compact();
            let values = slab.iter().map(|(handle, &n)| (handle, n)).collect();
            shapes.push((slab, values));
        }
    }
    shapes
}

/// Patterns of ends: which one is asked next.
fn patterns() -> [fn(usize) -> bool; 5] {
    [|_| true, |n| n.is_multiple_of(2), |n| n.is_multiple_of(3), |n| n > 40, |n| n / 17 % 2 == 0]
}

/// Compares an iterator with the same one of a vector, from both ends.
fn same_from_both_ends<I: Eq + std::fmt::Debug>(
    mut found: impl ExactSizeIterator<Item = I> + DoubleEndedIterator,
    mut expected: impl ExactSizeIterator<Item = I> + DoubleEndedIterator,
    from_back: fn(usize) -> bool,
) {
    for step in 0..expected.len() + 3 {
        assert_eq!(found.len(), expected.len());
        if from_back(step) {
            assert_eq!(found.next_back(), expected.next_back());
        } else {
            assert_eq!(found.next(), expected.next());
        }
    }
}

#[test]
fn each_value_is_visited_once_from_either_end() {
    for (mut slab, values) in shapes() {
        for pattern in patterns().into_iter().skip(if cfg!(miri) { 3 } else { 0 }) {
            let pairs = || values.iter().copied();
            same_from_both_ends(slab.iter().map(|(handle, &n)| (handle, n)), pairs(), pattern);
            same_from_both_ends(slab.keys(), pairs().map(|(handle, _)| handle), pattern);
            same_from_both_ends(slab.values().copied(), pairs().map(|(_, n)| n), pattern);
            same_from_both_ends(slab.values_mut().map(|n| *n), pairs().map(|(_, n)| n), pattern);
            same_from_both_ends(slab.clone().into_iter(), pairs(), pattern);
            same_from_both_ends(slab.clone().drain(), pairs(), pattern);
        }
        let mut items: Vec<&mut u32> = Vec::new();
        let mut iterator = slab.iter_mut();
        while let Some((_, value)) = iterator.next_back() {
            items.push(value);
            items.extend(iterator.next().map(|(_, value)| value));
        }
        items.into_iter().for_each(|value| *value += 1);
        assert!(slab.values().copied().eq(values.iter().map(|(_, n)| n + 1)));
    }
}

#[test]
fn folding_visits_what_is_left() {
    for (slab, values) in shapes() {
        for (front, back) in [(0, 0), (70, 3), (3, 70), (5000, 1), (1, 0), (0, 1), (1, 5000)]
            .into_iter()
            .take(if cfg!(miri) { 3 } else { 7 })
        {
            let (mut found, mut expected) =
                (slab.values().copied(), values.iter().map(|&(_, n)| n));
            for _ in 0..front {
                assert_eq!(found.next(), expected.next());
            }
            for _ in 0..back {
                assert_eq!(found.next_back(), expected.next_back());
            }
            let fold = |mut folded: Vec<u32>, n| {
                folded.push(n);
                folded
            };
            assert_eq!(found.clone().fold(Vec::new(), fold), expected.clone().collect::<Vec<_>>());
            assert!(found.rev().eq(expected.rev()));
        }
    }
}

#[test]
fn slots_are_handed_out_in_order_after_all_values_went() {
    for slab_capacity in [1, 7, 64, 1030] {
        let count = if cfg!(miri) { 40 } else { 3000 };
        let mut slab: SlabAllocator<usize> = SlabAllocator::new(slab_capacity);
        let in_order = |slab: &mut SlabAllocator<usize>, after: &str| {
            let handles: Vec<_> = (0..count).map(|n| slab.allocate(n).unwrap()).collect();
            assert!(slab.keys().eq(handles.iter().copied()), "{slab_capacity} after {after}");
            assert!(slab.values().copied().eq(0..count));
            slab.validate().unwrap();
            // Generations of the slots differ from now on.
            for &handle in handles.iter().step_by(3) {
                slab.free(handle).unwrap();
            }
        };
        in_order(&mut slab, "nothing");
        slab.clear();
        in_order(&mut slab, "clear");
        slab.drain().take(5).for_each(drop);
        in_order(&mut slab, "a drain");
        slab.drain().rev().for_each(drop);
        in_order(&mut slab, "a drain from the back");
        slab.clear();
        slab.compact();
        slab.try_reserve(count).unwrap();
        in_order(&mut slab, "try_reserve");
        slab.clear();
        slab.raise_generation_floor(u32::MAX);
        slab.compact();
        in_order(&mut slab, "a floor that leaves one life");
        slab.clear();
        assert!(slab.retired_slots() >= count);
        slab.validate().unwrap();
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri takes minutes for that many slabs")]
fn passes_look_at_slabs_that_are_held() {
    let mut slab = SlabAllocator::new(4);
    let handles: Vec<_> = (0..1_200_000).map(|n| slab.allocate(n).unwrap()).collect();
    let last = handles[handles.len() - 1];
    slab.retain(|handle, _| handle == last);
    slab.compact();
    assert_eq!((slab.slab_count(), slab.locate(last)), (1, Ok((299_999, 3))));
    // A pass over all ids took a millisecond or more.
    let started = std::time::Instant::now();
    for _ in 0..20_000 {
        assert_eq!((slab.iter().count(), slab.values().rev().count()), (1, 1));
        assert_eq!(slab.values().max(), Some(&1_199_999));
        slab.retain(|_, _| true);
        assert_eq!(slab.compact(), 0);
        slab.shrink_to(0);
        assert_eq!(slab.defragment(1, |_, _, _| false), 0);
    }
    let took = started.elapsed();
    assert!(took.as_secs() < 20, "20,000 passes took {took:?}");
    slab.validate().unwrap();
}
