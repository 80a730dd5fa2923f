//! Runs programs on a `SharedSlab` whose guards and pins are kept.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slab_testkit::program;

#[path = "../../crates/slab-typed/tests/shared_model/mod.rs"]
mod shared_model;

use shared_model::{Op, check};

fuzz_target!(|bytes: &[u8]| {
    slab_fuzz::count(check(&program::decode::<Op>(bytes)).executed);
});
