//! The heap without classes, with both policies: random programs against the shadow model, regions filled and emptied,
//! heaps with a history against fresh ones, misuse, and writes to freed memory.
#![expect(unsafe_code, reason = "allocates, frees and misuses raw memory")]

mod bound;
mod faults;
mod program;
#[path = "../programs/mod.rs"]
mod programs;
mod regions;
mod subject;
