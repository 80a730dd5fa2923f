//! What a cache says of itself.

/// The numbers of a cache at one moment. Made by [`SlabCache::stats`](crate::SlabCache::stats).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Slots handed out: to boxes, and to the caches of threads, which keep some.
    pub live: u64,
    /// Slots of all slabs.
    pub slots: u64,
    /// Slabs attached.
    pub slabs: usize,
    /// Slabs with at least one slot in use.
    pub slabs_used: usize,
    /// The most slabs that were in use at once.
    pub slabs_used_peak: usize,
    /// Bytes held from the memory source, the cache's own record included.
    pub bytes_held: usize,
    /// The most bytes that were held at once.
    pub bytes_held_peak: usize,
}
