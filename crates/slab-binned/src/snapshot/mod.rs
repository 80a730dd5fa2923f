//! Snapshots: the whole state of an allocator as plain values, taken and put back.

#[cfg(feature = "serde")]
pub(crate) mod content;
mod error;
mod image;
mod plan;
mod restore;
mod take;

pub use error::SnapshotError;
pub use image::{SNAPSHOT_VERSION, Snapshot};

// The check, which deltas use too.
pub(crate) use plan::{Plan, PlanError, PlannedChunk};
