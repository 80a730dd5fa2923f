//! A fixed pseudo-random program against the shadow model, so that how much was executed can be
//! asserted; short enough for Miri.
#![expect(unsafe_code, reason = "implements an unsafe trait of the test kit")]

use slab_core::{Checked, Hardened, Mode, Unchecked};
use slab_testkit::{Arena, Op, Report, check};

mod subject;

use subject::Heap;

const OP_COUNT: usize = if cfg!(miri) { 120 } else { 40_000 };

/// Bytes of the largest region; Miri takes its time over every byte of a large block.
const REGION_BYTES: usize = if cfg!(miri) { 10_000 } else { 2_097_152 };

fn run<M: Mode>(seed: u64) -> Report {
    let arenas = vec![
        Arena::new(REGION_BYTES / 2, 17),
        Arena::new(5000, 119),
        Arena::new(300, 0),
        Arena::new(REGION_BYTES, 1),
    ];
    let report = check(Heap::<M>::default(), arenas, &Op::program(OP_COUNT, seed));
    assert_eq!(report.executed + report.skipped, OP_COUNT);
    assert!(report.executed > OP_COUNT / 10 * 8, "{report:?}");
    assert!(report.allocated > OP_COUNT / 4, "{report:?}");
    assert!(report.freed > OP_COUNT / 6, "{report:?}");
    assert!(report.resized > OP_COUNT / 16, "{report:?}");
    assert!(report.refused > OP_COUNT / 100, "{report:?}");
    report
}

fn run_checked<M: Mode>(seed: u64) {
    let report = run::<M>(seed);
    assert!(report.misuse_found > OP_COUNT / 40, "{report:?}");
}

#[test]
fn checked() {
    run_checked::<Checked>(0x2545_F491_4F6C_DD1D);
}

#[test]
fn hardened() {
    run_checked::<Hardened>(0x9E37_79B9_7F4A_7C15);
}

#[test]
fn unchecked() {
    let report = run::<Unchecked>(0xD1B5_4A32_D192_ED03);
    assert_eq!(report.misuse_found, 0, "an unchecked heap is not misused");
}
