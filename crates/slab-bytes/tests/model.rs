//! Random programs against the shadow model, in every mode.
#![cfg(not(miri))]
#![expect(unsafe_code, reason = "implements an unsafe trait of the test kit")]

use proptest::prelude::*;
use slab_core::{Checked, Exhaustive, Hardened, Mode, Unchecked};
use slab_testkit::{Arena, Op, Report, check};

mod subject;

use subject::Heap;

/// Regions of several sizes at odd addresses: programs meet `NoMemory`, growth and touching ends.
fn arenas(seed: usize) -> Vec<Arena> {
    vec![
        Arena::new(96 * 1024 + seed % 2048, seed % 4096),
        Arena::new(5000, (seed * 7) % 4096),
        Arena::new(300, 0),
        Arena::new(2 * 1024 * 1024, 1),
    ]
}

fn run<M: Mode>(ops: &[Op], seed: usize) -> Report {
    let report = check(Heap::<M>::default(), arenas(seed), ops);
    assert_eq!(report.executed + report.skipped, ops.len());
    report
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn checked(ops in Op::strategy(800), seed in 0usize..100_000) {
        prop_assert!(run::<Checked>(&ops, seed).validated > 0);
    }

    #[test]
    fn hardened(ops in Op::strategy(400), seed in 0usize..100_000) {
        prop_assert!(run::<Hardened>(&ops, seed).validated > 0);
    }

    #[test]
    fn exhaustive(ops in Op::strategy(400), seed in 0usize..100_000) {
        prop_assert!(run::<Exhaustive>(&ops, seed).validated > 0);
    }

    #[test]
    fn unchecked(ops in Op::strategy(800), seed in 0usize..100_000) {
        prop_assert!(run::<Unchecked>(&ops, seed).validated > 0);
    }
}
