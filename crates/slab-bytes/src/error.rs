//! The error of a damaged heap. A refused free is reported as a
//! [`Fault`](slab_traits::Fault).

use thiserror::Error;

/// A broken invariant of the heap's bookkeeping, as
/// [`validate`](crate::SlabByteAllocator::validate) found it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what}: expected {expected}, found {found} (at {address:#x})")]
pub struct Inconsistency {
    /// The invariant.
    pub(crate) what: &'static str,
    /// Where it is broken; 0 for a statistic.
    pub(crate) address: usize,
    /// The value that the invariant requires.
    pub(crate) expected: usize,
    /// The value that was found.
    pub(crate) found: usize,
}

impl Inconsistency {
    /// Returns an error if two numbers differ. `address` is 0 for a statistic.
    pub(crate) fn check(
        what: &'static str,
        address: usize,
        expected: usize,
        found: usize,
    ) -> Result<(), Self> {
        if expected == found { Ok(()) } else { Err(Self { what, address, expected, found }) }
    }
}
