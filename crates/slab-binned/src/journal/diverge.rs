//! Where two logs part.

use core::fmt;

use super::{OpLog, Operation};

/// The first operation in which two logs differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Divergence<'a, 'b> {
    /// How many operations the logs share: the number of the first that they do not, counted from 0.
    pub at: usize,
    /// What the first log has there; `None` if it has ended.
    pub left: Option<Operation<'a>>,
    /// What the second log has there; `None` if it has ended.
    pub right: Option<Operation<'b>>,
}

/// Returns the first operation in which two logs differ, in what was asked or in what came of it, or
/// `None` if they are the same. *O*(operations).
///
/// Logs of allocators that were made differently, or whose logs were cleared at different times, part
/// before their first operation: then `at` is 0, whatever the operations are.
///
/// # Examples
///
/// ```
/// use slab_binned::{LoggedAllocator, diverges_at};
///
/// let (mut ours, mut theirs) = (LoggedAllocator::default(), LoggedAllocator::default());
/// for peer in [&mut ours, &mut theirs] {
///     peer.alloc(100)?;
/// }
/// theirs.alloc(200)?;
/// ours.alloc(201)?;
/// let parting = diverges_at(ours.log(), theirs.log()).expect("they differ");
/// assert_eq!(parting.at, 1);
/// assert_eq!(
///     parting.to_string(),
///     "operation 1: alloc 201 align 1 -> 1:1, against alloc 200 align 1 -> 1:1",
/// );
/// # Ok::<(), slab_binned::BinnedError>(())
/// ```
pub fn diverges_at<'a, 'b>(left: &'a OpLog, right: &'b OpLog) -> Option<Divergence<'a, 'b>> {
    let (mut lefts, mut rights) = (left.operations(), right.operations());
    let mut at = 0;
    let started_alike = (left.config, left.start) == (right.config, right.start);
    loop {
        match (lefts.next(), rights.next()) {
            (None, None) if started_alike => return None,
            (Some(one), Some(other)) if one == other && started_alike => at += 1,
            (left, right) => return Some(Divergence { at, left, right }),
        }
    }
}

impl fmt::Display for Divergence<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, left, right } = self;
        write!(f, "operation {at}: ")?;
        let one = |f: &mut fmt::Formatter<'_>, side: &Option<Operation<'_>>| match side {
            Some(operation) => write!(f, "{operation}"),
            None => write!(f, "the end"),
        };
        one(f, left)?;
        if left == right {
            return write!(f, " on both sides, which started differently");
        }
        write!(f, ", against ")?;
        one(f, right)
    }
}
