//! Rollback: an allocator that goes back to an earlier state at the cost of what changed since.
//!
//! A checkpoint copies the numbers of the allocator and starts an *epoch*: from then on the tapes of the memory
//! (`memory::tape`) keep each record, line and page before it changes for the first time. A rollback puts back
//! what the tapes have, the last change first, and then the numbers. Neither looks at anything that did not
//! change.
//!
//! An allocator of this kind has [`Rewindable`] around its journal. One without it has no code for all this.

mod checkpoint;
mod journal;
mod operations;
mod ring;

pub use checkpoint::{Checkpoint, RollbackError};
pub use journal::Rewindable;

/// A [`FingerprintedAllocator`](crate::FingerprintedAllocator) with [checkpoints](crate::BlockAllocator::checkpoint).
///
/// # Examples
///
/// ```
/// use slab_binned::RollbackAllocator;
///
/// let mut world = RollbackAllocator::new();
/// let player = world.alloc(16)?;
/// let confirmed = world.checkpoint()?;
/// let before = world.fingerprint();
/// world.write(player, b"predicted")?;
/// world.alloc(1000)?;
///
/// world.rollback(confirmed).expect("one of the last eight");
/// assert_eq!(world.fingerprint(), before);
/// assert_eq!(world.get(player), Some(&[0; 16][..]));
/// # Ok::<(), slab_binned::BinnedError>(())
/// ```
pub type RollbackAllocator<A = crate::Global> =
    crate::BlockAllocator<A, Rewindable<crate::Fingerprinted>>;
