//! What a pool says about itself.

/// How often buffers were reused; see [`BufferPool::stats`](crate::BufferPool::stats).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BufferPoolStats {
    /// Buffers handed out: `recycles + misses`, always.
    pub allocations: u64,
    /// Buffers handed out that had been used before, or prefilled.
    pub recycles: u64,
    /// Buffers handed out that had to be allocated.
    pub misses: u64,
    /// `recycles / allocations`, or 0 if there were none.
    pub recycle_rate: f64,
}

impl BufferPoolStats {
    pub(crate) fn new(recycles: u64, misses: u64) -> Self {
        let allocations = recycles + misses;
        let rate = recycles as f64 / allocations.max(1) as f64;
        Self { allocations, recycles, misses, recycle_rate: rate }
    }
}

/// What one class does; see [`DetailedStats`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassStats {
    /// Bytes of a buffer.
    pub bytes: usize,
    /// Idle buffers that are kept at most.
    pub capacity: usize,
    /// Idle buffers now, those in thread caches included. Exact while no thread acquires, releases or ends; else one that
    /// moves may be counted twice or not at all. A thread ends after `thread::scope` has returned, unless it was joined.
    pub idle: usize,
    /// Buffers that one thread may keep to itself, or keep room for, at most.
    pub thread_share: usize,
    /// Buffers handed out that had been used before.
    pub recycles: u64,
    /// Buffers handed out that had to be allocated.
    pub misses: u64,
    /// Buffers freed on release or at the end of a thread, because a limit left no room to keep them or all racks were
    /// busy.
    pub discards: u64,
}

/// All that a pool knows of itself; see [`BufferPool::detailed_stats`](crate::BufferPool::detailed_stats).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DetailedStats {
    /// The sums.
    pub totals: BufferPoolStats,
    /// By class: first those that were set, then those that larger requests get.
    pub classes: Vec<ClassStats>,
    /// Requests beyond all classes; they are among the misses.
    pub unclassed: u64,
    /// Bytes of idle buffers, as exact as [`ClassStats::idle`].
    pub retained_bytes: usize,
    /// The limit of those.
    pub retained_bytes_max: usize,
    /// Bytes handed out, if there is a limit to them.
    pub outstanding_bytes: Option<usize>,
    /// Requests that wait.
    pub waiting: usize,
}
