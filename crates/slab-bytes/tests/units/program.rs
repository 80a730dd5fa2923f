//! Programs against the model, and all that a region holds.

#[cfg(not(miri))]
use std::time::Duration;

use slab_bytes::{Bounded, Compact};

use crate::programs::run_fixed_checked;
use crate::subject::Heap;

#[test]
fn compact() {
    let report = run_fixed_checked(Heap::<Compact>::default(), 0x2545_F491_4F6C_DD1D);
    assert!(report.validated > 0);
}

#[test]
fn bounded() {
    let report = run_fixed_checked(Heap::<Bounded>::default(), 0x9E37_79B9_7F4A_7C15);
    assert!(report.validated > 0);
}

#[test]
#[cfg(not(miri))]
fn all_that_a_region_holds_comes_back() {
    let make = |kind| -> Box<dyn slab_testkit::Subject> {
        match kind {
            0 => Box::new(Heap::<Compact>::default()),
            _ => Box::new(Heap::<Bounded>::default()),
        }
    };
    let done = slab_testkit::exhaust(Duration::from_secs(2), 2, make);
    assert!(done.fills > 10 * done.heaps && done.heaps >= 2 && done.blocks > 1000, "{done:?}");
}

/// After everything is freed, a heap serves exactly what a fresh one serves.
#[cfg(not(miri))]
fn compare<P: slab_bytes::Policy + Default + 'static>(histories: u64) {
    let done = slab_testkit::history(histories, |_| 0, || Box::new(Heap::<P>::default()));
    assert_eq!((done.histories as u64, done.fills as u64), (histories, 24 * histories));
    assert!(done.aged_blocks > 50 * done.histories, "{done:?}");
}

#[test]
#[cfg(not(miri))]
fn a_history_costs_a_compact_heap_nothing() {
    compare::<Compact>(200);
}

#[test]
#[cfg(not(miri))]
fn a_history_costs_a_bounded_heap_nothing() {
    compare::<Bounded>(200);
}

#[cfg(not(miri))]
mod random {
    use super::*;
    use crate::programs::run_random;
    use proptest::prelude::*;
    use slab_testkit::Op;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(160))]

        #[test]
        fn compact(ops in Op::strategy(800), seed in 0usize..100_000) {
            prop_assert!(run_random(Heap::<Compact>::default(), &ops, seed).validated > 0);
        }

        #[test]
        fn bounded(ops in Op::strategy(800), seed in 0usize..100_000) {
            prop_assert!(run_random(Heap::<Bounded>::default(), &ops, seed).validated > 0);
        }
    }
}
