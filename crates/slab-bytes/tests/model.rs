//! Random programs against the shadow model, in every mode.
#![cfg(not(miri))]
#![expect(unsafe_code, reason = "implements an unsafe trait of the test kit")]

use proptest::prelude::*;
use slab_core::{Checked, Exhaustive, Hardened, Unchecked};
use slab_testkit::Op;

mod programs;
mod subject;

use programs::run_random;
use subject::Heap;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn checked(ops in Op::strategy(800), seed in 0usize..100_000) {
        prop_assert!(run_random(Heap::<Checked>::default(), &ops, seed).validated > 0);
    }

    #[test]
    fn hardened(ops in Op::strategy(400), seed in 0usize..100_000) {
        prop_assert!(run_random(Heap::<Hardened>::default(), &ops, seed).validated > 0);
    }

    #[test]
    fn exhaustive(ops in Op::strategy(400), seed in 0usize..100_000) {
        prop_assert!(run_random(Heap::<Exhaustive>::default(), &ops, seed).validated > 0);
    }

    #[test]
    fn unchecked(ops in Op::strategy(800), seed in 0usize..100_000) {
        prop_assert!(run_random(Heap::<Unchecked>::default(), &ops, seed).validated > 0);
    }
}
