//! Iteration from both ends.

use slab_typed::{SlabAllocator, SlotHandle};

/// An allocator, and its values in order.
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

/// Which end comes next, in several patterns.
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
        let mut lent: Vec<&mut u32> = Vec::new();
        let mut iterator = slab.iter_mut();
        while let Some((_, value)) = iterator.next_back() {
            lent.push(value);
            lent.extend(iterator.next().map(|(_, value)| value));
        }
        lent.into_iter().for_each(|value| *value += 1);
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
