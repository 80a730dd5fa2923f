//! Snapshots: the whole state of an allocator as plain values, taken and put back.

#[cfg(feature = "serde")]
mod content;
mod error;
mod image;
mod restore;
mod take;

pub use error::SnapshotError;
pub use image::{SNAPSHOT_VERSION, Snapshot};
