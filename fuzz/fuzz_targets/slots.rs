//! Runs programs of pops, pushes and misuse on segments of every mode and slot layout.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/slab-core/tests/program/mod.rs"]
#[expect(unsafe_code, reason = "hands over a buffer and misuses raw slots")]
mod program;

fuzz_target!(|bytes: &[u8]| {
    slab_fuzz::count(program::run_all(bytes).executed_anywhere);
});
