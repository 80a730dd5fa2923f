//! The same engine over raw memory regions: pointers instead of ids.

mod code;
mod free;
mod heap;
mod place;
mod reclaim;
mod region;
mod resize;
mod validate;

pub use heap::BinnedByteAllocator;
