//! Programs against the model, and all that a region holds.

#[cfg(not(miri))]
use std::time::Duration;

use slab_bytes::{Bounded, Compact, Policy};
use slab_testkit::{Arena, Op, Report, check};

use crate::subject::Heap;

const OP_COUNT: usize = if cfg!(miri) { 120 } else { 40_000 };
const REGION_BYTES: usize = if cfg!(miri) { 10_000 } else { 2_097_152 };

fn run<P: Policy + Default>(seed: u64) -> Report {
    let arenas = vec![
        Arena::new(REGION_BYTES / 2, 17),
        Arena::new(5000, 119),
        Arena::new(300, 0),
        Arena::new(REGION_BYTES, 1),
    ];
    let report = check(Heap::<P>::default(), arenas, &Op::program(OP_COUNT, seed));
    assert_eq!(report.executed + report.skipped, OP_COUNT);
    assert!(report.executed > OP_COUNT / 10 * 8, "{report:?}");
    assert!(report.allocated > OP_COUNT / 4, "{report:?}");
    assert!(report.freed > OP_COUNT / 6, "{report:?}");
    assert!(report.resized > OP_COUNT / 16, "{report:?}");
    assert!(report.refused > OP_COUNT / 100, "{report:?}");
    assert!(report.misuse_found > OP_COUNT / 40, "{report:?}");
    report
}

#[test]
fn compact() {
    assert!(run::<Compact>(0x2545_F491_4F6C_DD1D).validated > 0);
}

#[test]
fn bounded() {
    assert!(run::<Bounded>(0x9E37_79B9_7F4A_7C15).validated > 0);
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
fn compare<P: Policy + Default + 'static>(histories: u64) {
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
    use proptest::prelude::*;

    fn run<P: Policy + Default>(ops: &[Op], seed: usize) -> Report {
        let arenas = vec![
            Arena::new(96 * 1024 + seed % 2048, seed % 4096),
            Arena::new(5000, (seed * 7) % 4096),
            Arena::new(300, 0),
            Arena::new(2 * 1024 * 1024, 1),
        ];
        let report = check(Heap::<P>::default(), arenas, ops);
        assert_eq!(report.executed + report.skipped, ops.len());
        report
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(160))]

        #[test]
        fn compact(ops in Op::strategy(800), seed in 0usize..100_000) {
            prop_assert!(run::<Compact>(&ops, seed).validated > 0);
        }

        #[test]
        fn bounded(ops in Op::strategy(800), seed in 0usize..100_000) {
            prop_assert!(run::<Bounded>(&ops, seed).validated > 0);
        }
    }
}
