//! Runs programs on the deterministic allocators. The first byte chooses between ids and raw blocks, and the
//! configuration.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slab_binned::{BinnedByteAllocator, SizeClasses};
use slab_testkit::Arena;

#[path = "../../crates/slab-binned/tests/model/mod.rs"]
mod model;
#[path = "../../crates/slab-binned/tests/subject/mod.rs"]
#[expect(unsafe_code, reason = "implements an unsafe trait of the test kit")]
mod subject;

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, program)) = bytes.split_first() else { return };
    if first % 2 == 0 {
        let ops = model::Op::decode(program);
        let report = model::check(model::config(first / 2), &ops);
        assert_eq!(report.executed + report.skipped, ops.len());
        slab_fuzz::count(report.executed);
        return;
    }
    let ops = slab_testkit::Op::decode(program);
    let seed = usize::from(first / 4);
    // Small regions fill up fast, and `validate` walks them fast.
    let sizes = [20_000 + seed, 9000, 300, 400_000];
    let arenas = sizes.map(|size| Arena::new(size, size * seed % 4096)).into();
    let classes = if first & 2 == 0 { SizeClasses::Standard } else { SizeClasses::Fine };
    let heap = subject::Heap(BinnedByteAllocator::with_classes(classes));
    let report = slab_testkit::check(heap, arenas, &ops);
    assert_eq!(report.executed + report.skipped, ops.len());
    slab_fuzz::count(report.executed);
});
