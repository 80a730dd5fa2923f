//! Runs a trace on a real heap: the only place of the lab that touches raw memory.
//!
//! A [`Heap`] is a contender on a [`Region`]. It can be [checked](Heap::check): every block filled,
//! inspected and compared with all others; or [timed](Heap::run): nothing but the requests and one
//! byte written into each new block, because a program that asks for a block also uses it.
#![expect(unsafe_code, reason = "blocks are raw memory, and freeing one is a promise")]

mod check;
mod failure;
mod heap;
mod idle;
mod region;
#[cfg(test)]
mod tests;

pub use failure::Failure;
pub use heap::Heap;
pub use idle::Idle;
pub use region::{PAGE_BYTES, Region};
