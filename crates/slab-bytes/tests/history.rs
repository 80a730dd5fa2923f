//! After everything is freed, a heap serves what a fresh one serves: runs exactly, and small blocks up to
//! the bytes of one segment, because the segment that a class allocates from stays where it is.
#![cfg(not(miri))]

use slab_bytes::SlabByteAllocator;
use slab_core::{Checked, Hardened, Mode, Unchecked};
use slab_testkit::history;

#[expect(unsafe_code, reason = "guarantees the regions of the heap under test")]
mod subject;

use subject::Heap;

/// Bytes of the longest segment.
const SEGMENT_BYTES: usize = 16 * 1024;

fn compare<M: Mode>(histories: u64) {
    let short_bytes = |size| if size > 4096 { 0 } else { SEGMENT_BYTES };
    let done = history(histories, short_bytes, || Box::new(Heap(SlabByteAllocator::<M>::new())));
    assert_eq!((done.histories as u64, done.fills as u64), (histories, 24 * histories));
    assert!(done.aged_blocks > 50 * done.histories, "{done:?}");
}

#[test]
fn checked() {
    compare::<Checked>(300);
}

#[test]
fn unchecked() {
    compare::<Unchecked>(100);
}

#[test]
fn hardened() {
    compare::<Hardened>(100);
}
