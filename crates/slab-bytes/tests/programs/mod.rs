//! The programs that both heaps run against the shadow model, and the regions in which they run.
#![allow(dead_code, reason = "each test uses some of it")]

use slab_testkit::{Arena, Op, Report, Subject, check};

pub const OP_COUNT: usize = if cfg!(miri) { 120 } else { 40_000 };

/// Bytes of the largest region; Miri takes its time over every byte of a large block.
const REGION_BYTES: usize = if cfg!(miri) { 10_000 } else { 2_097_152 };

/// Runs a fixed pseudo-random program, so that how much was executed can be asserted.
pub fn run_fixed(subject: impl Subject, seed: u64) -> Report {
    let arenas = vec![
        Arena::new(REGION_BYTES / 2, 17),
        Arena::new(5000, 119),
        Arena::new(300, 0),
        Arena::new(REGION_BYTES, 1),
    ];
    let report = check(subject, arenas, &Op::program(OP_COUNT, seed));
    assert_eq!(report.executed + report.skipped, OP_COUNT);
    assert!(report.executed > OP_COUNT / 10 * 8, "{report:?}");
    assert!(report.allocated > OP_COUNT / 4, "{report:?}");
    assert!(report.freed > OP_COUNT / 6, "{report:?}");
    assert!(report.resized > OP_COUNT / 16, "{report:?}");
    assert!(report.refused > OP_COUNT / 100, "{report:?}");
    report
}

/// As [`run_fixed`], for a heap that finds misuse.
pub fn run_fixed_checked(subject: impl Subject, seed: u64) -> Report {
    let report = run_fixed(subject, seed);
    assert!(report.misuse_found > OP_COUNT / 40, "{report:?}");
    report
}

/// Runs any program in regions of several sizes at odd addresses: it meets `NoMemory`, growth and touching ends.
pub fn run_random(subject: impl Subject, ops: &[Op], seed: usize) -> Report {
    let arenas = vec![
        Arena::new(96 * 1024 + seed % 2048, seed % 4096),
        Arena::new(5000, (seed * 7) % 4096),
        Arena::new(300, 0),
        Arena::new(2 * 1024 * 1024, 1),
    ];
    let report = check(subject, arenas, ops);
    assert_eq!(report.executed + report.skipped, ops.len());
    report
}
