//! Runs programs of the operation language on the heap without classes. The first byte chooses the policy and the
//! addresses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slab_bytes::{Bounded, Compact};
use slab_testkit::{Arena, Op, check};

#[path = "../../crates/slab-bytes/tests/units/subject.rs"]
#[expect(unsafe_code, reason = "implements an unsafe trait of the test kit")]
mod subject;

use subject::Heap;

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, program)) = bytes.split_first() else { return };
    let ops = Op::decode(program);
    let seed = usize::from(first / 2);
    // Small regions fill up fast, and `validate` walks them fast.
    let sizes = [20_000 + seed, 5000, 300, 400_000];
    let arenas = sizes.map(|size| Arena::new(size, size * seed % 4096)).into();
    let report = match first % 2 {
        0 => check(Heap::<Compact>::default(), arenas, &ops),
        _ => check(Heap::<Bounded>::default(), arenas, &ops),
    };
    assert_eq!(report.executed + report.skipped, ops.len());
    slab_fuzz::count(report.executed);
});
