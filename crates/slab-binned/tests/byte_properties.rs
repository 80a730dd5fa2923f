//! Random programs over the byte heap, against the shadow model.
#![cfg(not(miri))]
#![expect(unsafe_code, reason = "implements an unsafe trait of the test kit")]

use proptest::prelude::*;
use slab_binned::{BinnedByteAllocator, SizeClasses};
use slab_testkit::{Arena, Op, check};

mod subject;

use subject::Heap;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn programs(ops in Op::strategy(500), seed in 0usize..100_000) {
        // Regions of several sizes at odd addresses: programs meet `NoMemory`, growth and touching ends.
        let arenas = vec![
            Arena::new(96 * 1024 + seed % 2048, seed % 4096),
            Arena::new(9000, (seed * 7) % 4096),
            Arena::new(300, 0),
            Arena::new(1024 * 1024, 1),
        ];
        let classes = if seed.is_multiple_of(2) { SizeClasses::Standard } else { SizeClasses::Fine };
        let report = check(Heap(BinnedByteAllocator::with_classes(classes)), arenas, &ops);
        prop_assert_eq!(report.executed + report.skipped, ops.len());
        prop_assert!(report.validated > 0);
    }
}
