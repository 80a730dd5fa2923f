//! Random programs against the model.
#![cfg(not(miri))]

use proptest::collection::vec;
use proptest::prelude::*;

mod model;

use model::{OP_BYTES, Op, check, config};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn programs(seed in any::<u8>(), bytes in vec(any::<u8>(), OP_BYTES..300 * OP_BYTES)) {
        let ops = Op::decode(&bytes);
        let report = check(config(seed), &ops);
        prop_assert_eq!(report.executed + report.skipped, ops.len());
    }

    #[test]
    fn programs_of_few_sizes(bytes in vec((any::<u8>(), any::<u16>()), 1..150)) {
        // All sizes near the edges of pages and classes, so that runs merge and split much.
        let sizes = [1, 16, 2048, 2049, 4096, 65_536, 65_537, 69_632, 140_000, 262_144];
        let ops: Vec<Op> = bytes.iter().map(|&(tag, nth)| match tag % 8 {
            0..=3 => Op::Alloc { size: sizes[usize::from(nth) % 10], align: 1, zeroed: tag < 99 },
            4..=6 => Op::Free { nth: nth.into() },
            _ if tag > 200 => Op::Trim,
            _ => Op::Snapshot,
        }).collect();
        let report = check(config(8), &ops);
        prop_assert_eq!(report.executed + report.skipped, ops.len());
    }
}
