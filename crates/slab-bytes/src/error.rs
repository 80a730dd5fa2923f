//! What can be wrong with the heap itself. What can be wrong with a free is a
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
    /// What it says.
    pub(crate) expected: usize,
    /// What is the case.
    pub(crate) found: usize,
}
