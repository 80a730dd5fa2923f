//! Fixed programs against the model, long enough that each kind of operation does something. Miri runs
//! these.
#![cfg(not(loom))]

mod model;

use model::{OP_BYTES, Op, Report, check, check_all, check_owners};
use slab_cache::{Checked, Global, NoLock};
use slab_testkit::FailingSource;

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
    let (len, seeds) = if cfg!(miri) { (10, 1) } else { (300, 6) };
    let mut sum = Report::default();
    for seed in 0..seeds {
        let report = check_all(&program(seed, len));
        assert_eq!(report.executed, len);
        sum.made += report.made;
        sum.dropped += report.dropped;
        sum.reclaimed += report.reclaimed;
        sum.panicked += report.panicked;
    }
    let (made, dropped) = (len * seeds as usize / 2, sum.made / 3);
    assert!(sum.made > made && (cfg!(miri) || sum.dropped > dropped), "{sum:?}");
    assert!(cfg!(miri) || (sum.reclaimed > 0 && sum.panicked > 0), "{sum:?}");
}

#[test]
fn owners_do_as_the_model() {
    let (len, seeds) = if cfg!(miri) { (25, 1) } else { (300, 6) };
    let (mut made, mut dropped) = (0, 0);
    for seed in 0..seeds {
        let report = check_owners(&program(seed, len));
        made += report.made;
        dropped += report.dropped;
    }
    assert!(made > 0 && dropped > made / 2, "{made} made, {dropped} dropped");
}

#[test]
fn programs_survive_a_source_that_refuses() {
    let (len, most) = if cfg!(miri) { (12, 4) } else { (300, 10) };
    let mut refused = 0;
    for nth in 2..most {
        for source in
            [FailingSource::failing_at(Global, nth), FailingSource::failing_from(Global, nth)]
        {
            let ops = program(nth as u64, len);
            refused += check::<NoLock, Checked, model::Here, 20>(&source, &ops).refused;
            assert_eq!(source.live_blocks(), 0);
        }
    }
    assert!(cfg!(miri) || refused > 0);
}
