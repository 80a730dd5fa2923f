//! Programs over object caches.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/slab-cache/tests/model/mod.rs"]
mod model;

use model::{Op, check_all};

fuzz_target!(|bytes: &[u8]| {
    let ops = Op::decode_all(bytes);
    assert_eq!(check_all(&ops).executed, ops.len());
});
