//! Programs that proptest thinks of, and shortens when one fails.
#![cfg(not(any(loom, miri)))]

mod model;

use model::Op;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, proptest};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn magazines(setup: u16, bytes in vec(any::<u8>(), 0..2000)) {
        let ops = Op::decode_all(&bytes);
        assert_eq!(model::magazines(setup, &ops).executed, ops.len());
    }

    #[test]
    fn buffers(setup: u16, bytes in vec(any::<u8>(), 0..2000)) {
        let ops = Op::decode_all(&bytes);
        assert_eq!(model::buffers(setup, &ops).executed, ops.len());
    }
}
