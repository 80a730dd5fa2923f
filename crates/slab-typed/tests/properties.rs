//! Random programs against the model.
#![cfg(not(miri))]

use proptest::collection::vec;
use proptest::prelude::*;

mod model;

use model::{OP_BYTES, Op, check};

fn ops(most: usize) -> impl Strategy<Value = Vec<Op>> {
    vec(any::<u8>(), OP_BYTES..most * OP_BYTES).prop_map(|bytes| Op::decode_all(&bytes))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn small_slabs(capacity in 1usize..9, ops in ops(150)) {
        prop_assert_eq!(check(capacity, &ops).executed, ops.len());
    }

    #[test]
    fn slabs_of_more_than_one_word(capacity in 60usize..140, ops in ops(80)) {
        prop_assert_eq!(check(capacity, &ops).executed, ops.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn slabs_of_several_chunks(capacity in 1020usize..2100, ops in ops(60)) {
        prop_assert_eq!(check(capacity, &ops).executed, ops.len());
    }
}
