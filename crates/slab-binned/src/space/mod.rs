//! Space by the page: which runs of pages are free, and which one serves a request. The engine under
//! both faces, in safe code and without pointers.
//!
//! Pages are numbered through all segments of memory, in the order in which those were acquired, so
//! that a lower number is a lower (chunk, offset). One number stays unused before each segment and
//! one behind the last: its line says `Edge`, and nothing merges across it.

mod line;
mod runs;
mod tree;

pub use line::{Kind, Line, Lines};
pub use runs::Runs;
