//! Fixed pseudo-random programs against the model, so that how much was executed can be asserted.
//! Miri runs these.

mod model;

use model::{OP_BYTES, Op, Report, check, config};

fn program(seed: u64, len: usize) -> Vec<Op> {
    let mut state = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut byte = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as u8
    };
    Op::decode(&(0..len * OP_BYTES).map(|_| byte()).collect::<Vec<_>>())
}

#[test]
fn each_kind_of_operation_does_something() {
    let (len, seeds) = if cfg!(miri) { (60, 2) } else { (800, 12) };
    let mut sum = Report::default();
    for seed in 0..seeds {
        let report = check(config(seed), &program(seed.into(), len));
        assert_eq!(report.executed + report.skipped, len);
        sum.executed += report.executed;
        sum.allocated += report.allocated;
        sum.freed += report.freed;
        sum.refused += report.refused;
        sum.released += report.released;
        sum.restored += report.restored;
    }
    let all = len * usize::from(seeds);
    assert!(sum.executed > all / 10 * 9, "{sum:?}");
    assert!(sum.allocated > all / 4 && sum.freed > all / 4 && sum.refused > all / 40, "{sum:?}");
    assert!(sum.restored > all / 160 && (cfg!(miri) || sum.released > 1 << 20), "{sum:?}");
}
