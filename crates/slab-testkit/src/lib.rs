//! What the tests, benches and the lab of all Slabworks crates lean on. Development only.
//!
//! * [`Op`] is the one operation language: proptest, fuzz targets and Miri all run it.
//! * [`check`] drives operations into a [`Subject`] and compares every answer with a model.
//! * [`Shadow`] is that model's memory: which blocks are live, where, and what they hold.
//! * [`Arena`] is memory to give away, at an odd address if wanted, with guards on both sides.
//! * [`FailingSource`] refuses the n-th request; [`for_each_failure`] tries every n.
//! * [`exhaust`] fills regions to the last block, again and again, and demands all of it back.
//! * [`history()`] compares a heap that has a history with a fresh one.
//! * [`Misuse`] is what a program can do wrong with a block, [`child`] acts mistakes out in a process of their own, and tells how that ended.
//! * [`race()`] times contenders against one another, interleaved round by round; a [`Table`] says what it found.
//!
//! A check that ran nothing proves nothing: [`Report`] counts, and tests assert the counts.
#![warn(missing_debug_implementations)]

mod arena;
mod check;
pub mod child;
mod exhaustion;
mod failing;
mod history;
mod misuse;
mod op;
mod race;
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
pub use race::{Contender, Results, race, race_reporting};
pub use report::{Fault, Report, Violation};
pub use shadow::{Shadow, ShadowError};
pub use subject::Subject;
pub use table::Table;

/// Answers whether a type implements a trait, by preferring an inherent constant.
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
