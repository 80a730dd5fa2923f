//! Runs programs of the operation language on the byte heap. The first byte chooses the mode and the addresses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slab_core::{Checked, Hardened, Unchecked};
use slab_testkit::{Arena, Op, check};

#[path = "../../crates/slab-bytes/tests/subject/mod.rs"]
#[expect(unsafe_code, reason = "implements an unsafe trait of the test kit")]
mod subject;

use subject::Heap;

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, program)) = bytes.split_first() else { return };
    let ops = Op::decode(program);
    let seed = usize::from(first / 3);
    // Small regions fill up fast, and `validate` walks them fast.
    let sizes = [20_000 + seed, 5000, 300, 400_000];
    let arenas = sizes.map(|size| Arena::new(size, size * seed % 4096)).into();
    let report = match first % 3 {
        0 => check(Heap::<Checked>::default(), arenas, &ops),
        1 => check(Heap::<Hardened>::default(), arenas, &ops),
        _ => check(Heap::<Unchecked>::default(), arenas, &ops),
    };
    assert_eq!(report.executed + report.skipped, ops.len());
    slab_fuzz::count(report.executed);
});
