//! Regions of any size, filled to the last block and emptied, in every mode: for two seconds, or for as
//! many as `SLABWORKS_SECONDS` says.
#![cfg(not(miri))]

use std::time::Duration;

use slab_bytes::SlabByteAllocator;
use slab_core::{Checked, Hardened, Unchecked};
use slab_testkit::{Subject, exhaust};

#[expect(unsafe_code, reason = "guarantees the regions of the heap under test")]
mod subject;

use subject::Heap;

#[test]
fn all_that_a_region_holds_comes_back() {
    let make = |kind| -> Box<dyn Subject> {
        match kind {
            0 => Box::new(Heap(SlabByteAllocator::<Unchecked>::new())),
            1 => Box::new(Heap(SlabByteAllocator::<Checked>::new())),
            _ => Box::new(Heap(SlabByteAllocator::<Hardened>::new())),
        }
    };
    let done = exhaust(Duration::from_secs(2), 3, make);
    assert!(done.fills > 10 * done.heaps && done.heaps >= 3 && done.blocks > 1000, "{done:?}");
}
