//! Tools for the tests, the benches and the lab of all Slabworks crates. Not published.
//!
//! Its modules, from the bottom up:
//!
//! * `random`: random numbers that are the same in every run.
//! * `arena`: [`Arena`] is memory to give to an allocator, at any address, with guard bytes on both sides.
//! * `shadow`: [`Shadow`] is a model of the live blocks: where they lie, and what they contain.
//! * [`program`]: reads, generates and runs programs of any operation language, for proptest, fuzz targets and
//!   Miri.
//! * `op`: [`Op`] is the operation language of byte allocators.
//! * `report`: [`Report`] counts what a check did; a [`Violation`] is what it found.
//! * `subject`: [`Subject`] is an allocator under test.
//! * `check`: [`check`] runs operations on a [`Subject`] and compares every result with the model.
//! * `exhaustion`: [`exhaust`] fills regions to the last block, and expects all of it back.
//! * `history`: [`history()`] compares a heap that was used before with a fresh one.
//! * `failing`: [`FailingSource`] refuses the n-th request; [`for_each_failure`] tries every n.
//! * [`child`]: runs a mistake in a child process, and reports how the process ended.
//! * `misuse`: [`Misuse`] is a list of wrong frees.
//! * `table`: a [`Table`] prints results in columns.
//! * `race`: [`race()`] measures contenders against one another, interleaved round by round.
//!
//! Tests assert the counts of a [`Report`], because a check that ran nothing proves nothing.
#![warn(missing_debug_implementations)]

mod arena;
mod check;
pub mod child;
mod exhaustion;
mod failing;
mod history;
mod misuse;
mod op;
pub mod program;
mod race;
mod random;
mod report;
mod shadow;
mod subject;
mod table;

pub use arena::Arena;
pub use check::{check, try_check};
pub use exhaustion::{Exhaustion, exhaust};
pub use failing::{FailingSource, for_each_failure};
pub use history::{HistoryReport, history};
pub use misuse::Misuse;
pub use op::{OP_BYTES, Op};
pub use program::{Machine, Operation};
pub use race::{Contender, Results, race, race_reporting};
pub use report::{Fault, Report, Violation};
pub use shadow::{Shadow, ShadowError};
pub use subject::Subject;
pub use table::Table;

/// Returns whether a type implements a trait: an inherent constant takes precedence over that of a trait.
///
/// # Examples
///
/// ```
/// use slab_testkit::implements;
///
/// assert!(implements!(u8: Send));
/// assert!(!implements!(*const u8: Send));
/// ```
#[macro_export]
macro_rules! implements {
    ($type:ty: $trait:ident) => {{
        trait Otherwise {
            const IT_DOES: bool = false;
        }
        impl<T: ?Sized> Otherwise for T {}
        struct Probe<T: ?Sized>(core::marker::PhantomData<T>);
        #[allow(dead_code, reason = "found for some types only")]
        impl<T: ?Sized + $trait> Probe<T> {
            const IT_DOES: bool = true;
        }
        <Probe<$type>>::IT_DOES
    }};
}
