//! What the tests, benches and the lab of all Slabworks crates lean on. Development only.
//!
//! * [`Op`] is the one operation language: proptest, fuzz targets and Miri all run it.
//! * [`check`] drives operations into a [`Subject`] and compares every answer with a model.
//! * [`Shadow`] is that model's memory: which blocks are live, where, and what they hold.
//! * [`Arena`] is memory to give away, at an odd address if wanted, with guards on both sides.
//! * [`FailingSource`] refuses the n-th request; [`for_each_failure`] tries every n.
//! * [`race()`] times contenders against one another, interleaved round by round; a [`Table`] says what it found.
//!
//! A check that ran nothing proves nothing: [`Report`] counts, and tests assert the counts.
#![warn(missing_debug_implementations)]

mod arena;
mod check;
mod failing;
mod op;
mod race;
mod report;
mod shadow;
mod subject;
mod table;

pub use arena::Arena;
pub use check::{check, try_check};
pub use failing::{FailingSource, for_each_failure};
pub use op::{OP_BYTES, Op};
pub use race::{Contender, Results, race, race_reporting};
pub use report::{Fault, Report, Violation};
pub use shadow::{Shadow, ShadowError};
pub use subject::Subject;
pub use table::Table;
