//! Random programs against the model.
#![cfg(not(any(loom, miri)))]

use proptest::collection::vec;
use proptest::prelude::*;

mod model;

use model::{OP_BYTES, Op, check_all, check_owners};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn caches_do_as_the_model(bytes in vec(any::<u8>(), OP_BYTES..120 * OP_BYTES)) {
        let ops = Op::decode_all(&bytes);
        prop_assert_eq!(check_all(&ops).executed, ops.len());
        check_owners(&ops);
    }
}
