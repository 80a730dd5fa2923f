//! The recorders.

/// A program that records the allocations of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorder {
    /// Fast. Records no alignments, and a realloc as a free and an allocation.
    Heaptrack,
    /// Slows the program down 20 to 50 times. Records everything but times.
    Valgrind,
}

impl Recorder {
    /// Returns the name of the program.
    pub fn name(self) -> &'static str {
        match self {
            Self::Heaptrack => "heaptrack",
            Self::Valgrind => "valgrind",
        }
    }
}
