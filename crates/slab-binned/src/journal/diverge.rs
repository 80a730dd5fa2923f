//! Where two logs start to differ.

use core::fmt;

use super::{OpLog, Operation};
use crate::Config;

/// The first difference between two logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Divergence<'a, 'b> {
    /// The allocators have different configurations: their operations cannot be compared.
    Config {
        /// Configuration of the first log.
        left: Config,
        /// Configuration of the second log.
        right: Config,
    },
    /// The logs start at different fingerprints: they were cleared at different times, or the
    /// allocators had done different things before.
    Start {
        /// Fingerprint before the first operation of the first log.
        left: u64,
        /// Fingerprint before the first operation of the second log.
        right: u64,
    },
    /// The operations with this number differ, in their arguments or in their outcome.
    Operation {
        /// Number of the operation, counted from 0: the logs share as many.
        at: usize,
        /// The operation of the first log; `None` if it has ended.
        left: Option<Operation<'a>>,
        /// The operation of the second log; `None` if it has ended.
        right: Option<Operation<'b>>,
    },
    /// All operations are equal, but not the fingerprints behind them: a block lies in another place.
    End {
        /// Fingerprint after the last operation of the first log.
        left: u64,
        /// Fingerprint after the last operation of the second log.
        right: u64,
    },
}

/// Returns the first difference between two logs, or `None` if they are equal. *O*(operations).
///
/// # Examples
///
/// ```
/// use slab_binned::{Divergence, LoggedAllocator, diverges_at};
///
/// let (mut ours, mut theirs) = (LoggedAllocator::new(), LoggedAllocator::new());
/// for peer in [&mut ours, &mut theirs] {
///     peer.alloc(100)?;
/// }
/// theirs.alloc(200)?;
/// ours.alloc(201)?;
/// let divergence = diverges_at(ours.log(), theirs.log()).expect("they differ");
/// assert!(matches!(divergence, Divergence::Operation { at: 1, .. }));
/// assert_eq!(
///     divergence.to_string(),
///     "operation 1: alloc 201 align 1 -> 1:1, against alloc 200 align 1 -> 1:1",
/// );
/// ours.clear_log();
/// let divergence = diverges_at(ours.log(), theirs.log()).expect("one was cleared");
/// assert!(matches!(divergence, Divergence::Start { .. }));
/// # Ok::<(), slab_binned::BinnedError>(())
/// ```
pub fn diverges_at<'a, 'b>(left: &'a OpLog, right: &'b OpLog) -> Option<Divergence<'a, 'b>> {
    if left.config != right.config {
        return Some(Divergence::Config { left: left.config, right: right.config });
    }
    if left.start != right.start {
        return Some(Divergence::Start { left: left.start, right: right.start });
    }
    let ends = (left.end_fingerprint(), right.end_fingerprint());
    let (mut lefts, mut rights) = (left.operations(), right.operations());
    let mut at = 0;
    loop {
        match (lefts.next(), rights.next()) {
            (None, None) if ends.0 == ends.1 => return None,
            (None, None) => return Some(Divergence::End { left: ends.0, right: ends.1 }),
            (Some(one), Some(other)) if one == other => at += 1,
            (left, right) => return Some(Divergence::Operation { at, left, right }),
        }
    }
}

impl fmt::Display for Divergence<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |f: &mut fmt::Formatter<'_>, side: &Option<Operation<'_>>| match side {
            Some(operation) => write!(f, "{operation}"),
            None => write!(f, "the end"),
        };
        match self {
            Self::Config { left, right } => {
                write!(f, "the configurations differ: {left:?}, against {right:?}")
            }
            Self::Start { left, right } => {
                write!(f, "the logs start at fingerprint {left:016x}, against {right:016x}")
            }
            Self::Operation { at, left, right } => {
                write!(f, "operation {at}: ")?;
                side(f, left)?;
                write!(f, ", against ")?;
                side(f, right)
            }
            Self::End { left, right } => write!(
                f,
                "the operations are equal; the logs end at fingerprint {left:016x}, against {right:016x}"
            ),
        }
    }
}
