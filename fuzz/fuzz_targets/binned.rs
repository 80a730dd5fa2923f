//! Runs programs on the deterministic allocator. The first byte chooses the configuration.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/slab-binned/tests/model/mod.rs"]
mod model;

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, program)) = bytes.split_first() else { return };
    let ops = model::Op::decode(program);
    let report = model::check(model::config(first / 2), &ops);
    assert_eq!(report.executed + report.skipped, ops.len());
    slab_fuzz::count(report.executed);
});
