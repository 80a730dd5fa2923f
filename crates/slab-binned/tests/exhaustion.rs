//! Regions of any size, filled to the last block and emptied: for two seconds, or for as many as
//! `SLABWORKS_SECONDS` says.
#![cfg(not(miri))]

use std::time::Duration;

use slab_binned::{BinnedByteAllocator, SizeClasses};
use slab_testkit::{Subject, exhaust};

#[expect(unsafe_code, reason = "guarantees that the heap under test is a subject")]
mod subject;

use subject::Heap;

#[test]
fn all_that_a_region_holds_comes_back() {
    let make = |kind| -> Box<dyn Subject> {
        let classes = if kind == 0 { SizeClasses::Standard } else { SizeClasses::Fine };
        Box::new(Heap(BinnedByteAllocator::with_classes(classes)))
    };
    let done = exhaust(Duration::from_secs(2), 2, make);
    assert!(done.fills > 10 * done.heaps && done.heaps >= 2 && done.blocks > 1000, "{done:?}");
}
