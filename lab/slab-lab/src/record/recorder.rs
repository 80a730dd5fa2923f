//! The recorders.

/// A program or library that records the allocations of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorder {
    /// The lab's own, a library inside this program, for 64-bit Linux. Fast. Records threads, times,
    /// alignments, reallocs and, if wanted, call stacks.
    SlabRecord,
    /// Records no alignments, and a realloc as a free and an allocation.
    Heaptrack,
    /// Slows the program down 20 to 50 times. Records everything but times and threads.
    Valgrind,
}

impl Recorder {
    /// All recorders, the preferred one first.
    pub const ALL: [Self; 3] = [Self::SlabRecord, Self::Heaptrack, Self::Valgrind];

    /// Returns the name of the program.
    pub fn name(self) -> &'static str {
        match self {
            Self::SlabRecord => "slab-record",
            Self::Heaptrack => "heaptrack",
            Self::Valgrind => "valgrind",
        }
    }
}
