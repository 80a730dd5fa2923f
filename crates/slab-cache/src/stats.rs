//! The statistics of a cache.

/// Numbers of a cache at one moment, from [`SlabCache::stats`](crate::SlabCache::stats).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Slots of boxes, and slots that threads cache.
    pub live: u64,
    /// Slots of all slabs.
    pub slots: u64,
    /// Slabs attached.
    pub slabs: usize,
    /// Slabs with at least one slot in use.
    pub slabs_used: usize,
    /// The most slabs in use at one time.
    pub slabs_used_peak: usize,
    /// Bytes requested from the memory source, metadata included.
    pub held_bytes: usize,
    /// The most bytes held at one time.
    pub held_bytes_peak: usize,
}
