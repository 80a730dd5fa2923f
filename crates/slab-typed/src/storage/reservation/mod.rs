//! Reserved address space for the first chunks of a storage. Without the feature `vm`, and where the system has no
//! `mmap`, nothing is ever reserved.
//!
//! The chunk with a given number lies at a known address, so lookups need no directory. A reservation takes memory only
//! for pages that were written.

#[cfg(all(feature = "vm", unix))]
mod mapped;
#[cfg(not(all(feature = "vm", unix)))]
mod nothing;

#[cfg(all(feature = "vm", unix))]
pub(super) use mapped::Reservation;
#[cfg(not(all(feature = "vm", unix)))]
pub(super) use nothing::Reservation;
