//! Runs programs on `SlabAllocator`s. The first byte chooses the slab capacity.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/slab-typed/tests/model/mod.rs"]
mod model;

use model::{Op, check};

fuzz_target!(|bytes: &[u8]| {
    let Some((&capacity, program)) = bytes.split_first() else { return };
    slab_fuzz::count(check(usize::from(capacity) % 70, &Op::decode_all(program)).executed);
});
