//! Runs programs on object caches.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/slab-cache/tests/model/mod.rs"]
mod model;

use model::{Op, check_all, check_owners};

fuzz_target!(|bytes: &[u8]| {
    let ops = Op::decode_all(bytes);
    let report = check_all(&ops);
    assert_eq!(report.executed, ops.len());
    let owners = check_owners(&ops);
    slab_fuzz::count(report.executed + owners.executed);
});
