//! Bonwick's magazine layer: small stacks of free items per thread, exchanged as a whole with a shared depot.
//!
//! A thread works on its [`Cache`]. It has two magazines per class: the *loaded* one, from which it takes and to which it adds
//! items, and the *previous* one. When both are empty, or both are full, the thread visits the [`Depot`] and
//! exchanges a whole magazine, so that one visit pays for many operations. With a single magazine, a thread whose number of
//! items varies around a multiple of the magazine's size would visit the depot at each step.
//!
//! A *reservation* is the right to keep one idle item. An idle item holds one, and so does the empty room in a
//! thread's loaded magazine, because a push must not touch shared memory. A thread reserves a magazine's worth at a
//! time. Hence the idle items never exceed the capacity, and each thread withholds at most [`Shape::share`] of it.
//!
//! The *epoch* counts sweeps and trims. A thread's cache compares it with the last one it knows in each slow path, and
//! then gives up what the sweep or trim asks for: it *syncs*.
//!
//! This layer is safe code and knows nothing of buffers. The thread's cache is an argument, so that tests and models
//! play several threads. The module is public for these tests (loom, property tests, fuzzing) and is no stable
//! interface.
//!
//! From the bottom up:
//!
//! * `stack`: [`Stack`], an intrusive stack, and [`Magazine`], a stack that knows its length;
//! * `counts`: counters that one thread writes and all read;
//! * `reservations`: a shared counter of rights to keep items;
//! * `registry`: the counters of all threads, and the epoch;
//! * `shard`: magazines behind one lock;
//! * `depot`: all shards, reservations and the registry;
//! * `class_cache`: a thread's items of one class, with the hot path;
//! * `cache`: a thread's items of all classes, with its slow paths.

mod cache;
mod class_cache;
mod counts;
mod depot;
mod registry;
mod reservations;
mod shard;
mod stack;

pub use cache::Cache;
pub use counts::Totals;
pub use depot::{Depot, Shape};
pub use stack::{Linked, Magazine, Stack};

/// Classes at most: a thread's cache is an array of them, so that the hot path follows no pointer.
pub const CLASSES_MAX: usize = 32;
