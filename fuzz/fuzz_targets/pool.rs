//! Runs programs on a pool's magazines or on its buffers. The first byte chooses which; the next two configure the pool.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/slab-pool/tests/model/mod.rs"]
mod model;

use model::Op;

fuzz_target!(|bytes: &[u8]| {
    let [which, low, high, program @ ..] = bytes else { return };
    let setup = u16::from_le_bytes([*low, *high]);
    let run = if which % 2 == 0 { model::magazines } else { model::buffers };
    slab_fuzz::count(run(setup, &Op::decode_all(program)).executed);
});
