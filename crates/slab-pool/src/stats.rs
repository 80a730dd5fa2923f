//! The statistics of a pool.

/// How often buffers were reused; see [`BufferPool::stats`](crate::BufferPool::stats).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BufferPoolStats {
    /// Buffers handed out: `recycles + misses`, always.
    pub allocations: u64,
    /// Buffers handed out that were idle: used before, or prefilled.
    pub recycles: u64,
    /// Buffers handed out that had to be allocated.
    pub misses: u64,
    /// `recycles / allocations`, or 0 without allocations.
    pub recycle_rate: f64,
}

impl BufferPoolStats {
    pub(crate) fn new(recycles: u64, misses: u64) -> Self {
        let allocations = recycles + misses;
        let rate = recycles as f64 / allocations.max(1) as f64;
        Self { allocations, recycles, misses, recycle_rate: rate }
    }
}

/// The statistics of one class; see [`DetailedStats`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassStats {
    /// Bytes of a buffer.
    pub bytes: usize,
    /// Idle buffers that are kept at most.
    pub capacity: usize,
    /// Idle buffers now, those in thread caches included. Exact while no thread acquires, releases or ends; otherwise a buffer
    /// that moves may be counted twice or not at all. A thread may end after `thread::scope` has returned, unless it was joined.
    pub idle: usize,
    /// Buffers that one thread keeps in its cache, or keeps room for, at most.
    pub thread_share: usize,
    /// Buffers handed out that had been used before.
    pub recycles: u64,
    /// Buffers handed out that had to be allocated.
    pub misses: u64,
    /// Buffers freed on release or at the end of a thread, because a limit left no room or all locks were taken.
    pub discards: u64,
}

/// All statistics of a pool; see [`BufferPool::detailed_stats`](crate::BufferPool::detailed_stats).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DetailedStats {
    /// The sums of all classes.
    pub totals: BufferPoolStats,
    /// The classes, in the order of [`BufferPool::class_sizes`](crate::BufferPool::class_sizes).
    pub classes: Vec<ClassStats>,
    /// Requests beyond all classes. They count as misses.
    pub unclassed: u64,
    /// Bytes of idle buffers, as exact as [`ClassStats::idle`].
    pub retained_bytes: usize,
    /// Their limit.
    pub retained_bytes_max: usize,
    /// Bytes handed out, if the pool limits them.
    pub outstanding_bytes: Option<usize>,
    /// Requests that wait.
    pub waiting: usize,
}
