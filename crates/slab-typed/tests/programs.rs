//! Fixed programs compared with the model, long enough that each operation has an effect. Miri runs them.

mod model;

use model::{OP_BYTES, Op, Report, check};

/// A program of pseudo-random operations.
fn program(seed: u64, len: usize) -> Vec<Op> {
    let mut state = seed;
    let mut byte = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as u8
    };
    Op::decode_all(&(0..len * OP_BYTES).map(|_| byte()).collect::<Vec<_>>())
}

#[test]
fn each_kind_of_operation_does_something() {
    let (len, seeds) = if cfg!(miri) { (60, 1) } else { (600, 12) };
    for capacity in [1, 3, 8, 67] {
        let mut sum = Report::default();
        for seed in 0..seeds {
            let report = check(capacity, &program(seed, len));
            assert_eq!(report.executed, len);
            sum.stored += report.stored;
            sum.removed += report.removed;
            sum.released += report.released;
            sum.moved += report.moved;
            sum.retired += report.retired;
        }
        assert!(
            sum.stored > len * seeds as usize && sum.removed > len * seeds as usize / 3,
            "{sum:?}"
        );
        let rare = [sum.released, sum.moved, sum.retired];
        assert!(cfg!(miri) || capacity == 1 || rare.iter().all(|&count| count > 0), "{sum:?}");
    }
}
