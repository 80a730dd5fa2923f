//! Programs from a fixed source of numbers, which Miri runs as well.

mod model;

use model::Op;

fn program(seed: u64, ops: usize) -> Vec<Op> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut byte = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let bytes: Vec<u8> = (0..ops * model::OP_BYTES).map(|_| byte()).collect();
    Op::decode_all(&bytes)
}

const OPS: usize = if cfg!(miri) { 60 } else { 2000 };
const PROGRAMS: u16 = if cfg!(miri) { 4 } else { 100 };

#[test]
fn magazines() {
    let mut total = model::Report::default();
    for seed in 0..PROGRAMS {
        let report = model::magazines(seed.wrapping_mul(2657), &program(u64::from(seed), OPS));
        assert_eq!(report.executed, OPS);
        total.recycled += report.recycled;
        total.discarded += report.discarded;
    }
    assert!(total.recycled > OPS / 4 && total.discarded > 0, "{total:?}");
}

#[test]
fn buffers() {
    let mut total = model::Report::default();
    for seed in 0..PROGRAMS {
        let report = model::buffers(seed.wrapping_mul(2657), &program(u64::from(seed) + 1000, OPS));
        assert_eq!(report.executed, OPS);
        total.recycled += report.recycled;
        total.refused += report.refused;
    }
    assert!(total.recycled > OPS / 4 && total.refused > 0, "{total:?}");
}

/// The committed inputs of the fuzz target.
#[test]
#[cfg(not(miri))]
fn corpus() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/pool");
    // Not part of a published crate.
    let Ok(files) = std::fs::read_dir(folder) else { return };
    for file in files {
        let bytes = std::fs::read(file.expect("a file").path()).expect("readable");
        let [which, low, high, program @ ..] = &bytes[..] else { continue };
        let run = if which % 2 == 0 { model::magazines } else { model::buffers };
        let ops = Op::decode_all(program);
        assert_eq!(run(u16::from_le_bytes([*low, *high]), &ops).executed, ops.len());
    }
}
