//! Runs a trace on a real heap: the only part of the lab that touches raw memory. From the bottom up:
//!
//! ```text
//! failure  how a contender can fail
//! region   the memory of a contender
//! idle     an allocator that does nothing: the cost of the harness
//! heap     a contender on a region, and the timed replay
//! threads  a replay on several threads
//! check    the checking pass: every block is filled, inspected and compared with all others
//! ```
#![expect(unsafe_code, reason = "blocks are raw memory, and a free is only sound for a live block")]

mod check;
mod failure;
mod heap;
mod idle;
mod region;
#[cfg(test)]
mod tests;
mod threads;

pub use check::{LiveBlock, LiveBlocks};
pub use failure::Failure;
pub use heap::Heap;
pub use idle::Idle;
pub use region::{PAGE_BYTES, Region};
pub use threads::ThreadPlan;
