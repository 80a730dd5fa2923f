//! One thin wrapper per rival.
#![expect(unsafe_code, reason = "the traits and the rivals hand out raw memory")]

#[cfg(feature = "axallocator")]
mod ax_slab;
#[cfg(feature = "buddy")]
mod buddy;
#[cfg(feature = "dlmalloc")]
mod dlmalloc;
#[cfg(feature = "linked-list")]
mod linked_list;
#[cfg(any(
    feature = "axallocator",
    feature = "buddy",
    feature = "dlmalloc",
    feature = "linked-list",
    feature = "rlsf",
    feature = "talc"
))]
mod regions;
#[cfg(feature = "rlsf")]
mod rlsf;
mod system;
#[cfg(feature = "talc")]
mod talc;

#[cfg(feature = "axallocator")]
pub use ax_slab::AxSlab;
#[cfg(feature = "buddy")]
pub use buddy::Buddy;
#[cfg(feature = "dlmalloc")]
pub(crate) use dlmalloc::Dlmalloc;
#[cfg(feature = "linked-list")]
pub use linked_list::LinkedList;
#[cfg(feature = "rlsf")]
pub use rlsf::Rlsf;
pub use system::System;
#[cfg(feature = "talc")]
pub use talc::Talc;
