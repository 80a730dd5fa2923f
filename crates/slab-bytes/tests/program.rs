//! A fixed pseudo-random program against the shadow model, so that how much was executed can be
//! asserted; short enough for Miri.
#![expect(unsafe_code, reason = "implements an unsafe trait of the test kit")]

use slab_core::{Checked, Hardened, Unchecked};

mod programs;
mod subject;

use programs::{run_fixed, run_fixed_checked};
use subject::Heap;

#[test]
fn checked() {
    let report = run_fixed_checked(Heap::<Checked>::default(), 0x2545_F491_4F6C_DD1D);
    assert!(report.validated > 0);
}

#[test]
fn hardened() {
    let report = run_fixed_checked(Heap::<Hardened>::default(), 0x9E37_79B9_7F4A_7C15);
    assert!(report.validated > 0);
}

#[test]
fn unchecked() {
    let report = run_fixed(Heap::<Unchecked>::default(), 0xD1B5_4A32_D192_ED03);
    assert_eq!(report.misuse_found, 0, "an unchecked heap is not misused");
}
