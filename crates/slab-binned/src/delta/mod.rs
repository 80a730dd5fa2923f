//! Deltas: what changed since a checkpoint, to be sent to a peer that is where the checkpoint was taken.
//!
//! The sender looks at what its tapes kept. A page that changed is sent as the stretches of its bytes that differ from
//! what the tape has. The receiver patches a copy of its bookkeeping, checks the whole of it as it checks a snapshot, and
//! only then changes anything.

mod apply;
mod error;
mod format;
mod take;

pub use error::DeltaError;
pub use format::{DELTA_VERSION, Delta};
