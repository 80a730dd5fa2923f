//! Random programs on a `SharedSlab` with guards and pins that are kept, compared with a model.
#![cfg(all(feature = "std", not(loom)))]

use slab_testkit::program;

mod shared_model;

use shared_model::{Op, Report, check};

#[test]
fn each_kind_of_operation_does_something() {
    let (count, seeds) = if cfg!(miri) { (150, 1) } else { (1500, 20) };
    let mut sum = Report::default();
    for seed in 1..=seeds {
        let report = check(&program::random::<Op>(count, seed * 0x9E37_79B9));
        sum.executed += report.executed;
        sum.removed += report.removed;
        sum.outlived += report.outlived;
        sum.released += report.released;
    }
    let all = count * seeds as usize;
    assert!(sum.executed > all / 2 && sum.removed > all, "{sum:?}");
    assert!(cfg!(miri) || sum.outlived > all / 20 && sum.released > 0, "{sum:?}");
}
