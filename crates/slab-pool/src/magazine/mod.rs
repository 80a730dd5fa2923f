//! Bonwick's magazine layer: small stacks per thread, exchanged as a whole with a shared depot.
//!
//! A thread works on its [`Local`]: per class a *loaded* stack, where puts and takes happen, and the
//! *previous* magazine. Only when both are empty, or both full, does it visit the [`Depot`] and swaps a
//! whole magazine, so that one visit pays for many operations. Two magazines instead of one: a thread
//! that sways around a magazine's edge would otherwise visit at every step.
//!
//! What may be kept is counted in *credits*. An idle item holds one; so does the empty room in a
//! thread's loaded stack, because a push must not ask anybody. A thread leases a magazine's worth at a
//! time. Hence idle items never exceed the capacity, and threads that sit on empty room hold back at
//! most their [`Shape::share`] each.
//!
//! All of this is safe code, knows nothing of buffers, and takes the local part as an argument. The
//! module is public for the models that test it (loom, property tests, fuzzing); it is no stable
//! interface.

mod counts;
mod credits;
mod depot;
mod local;
mod rack;
mod stack;

pub use counts::{Counts, Totals};
pub use credits::Credits;
pub use depot::{Depot, Shape};
pub use local::Local;
pub use stack::{Linked, Magazine, Stack};

/// Classes at most: a thread's shelves are an array, so that finding one takes no pointer.
pub const CLASSES_MAX: usize = 32;
