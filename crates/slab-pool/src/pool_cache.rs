//! One thread's cache of one pool.

use std::sync::Arc;

use crate::core::{Core, PoolBuffer};
use crate::magazine::Cache;

/// A thread reads the clock for [decay](crate::BufferPoolBuilder::idle_decay) in one of so many slow paths: reading it takes
/// about as long as a slow path.
const SLOW_PATHS_PER_CLOCK: u32 = 16;

/// A thread's cache of a pool. It keeps the pool's core alive, and does not keep the pool open.
#[derive(Debug)]
pub struct PoolCache {
    pub core: Arc<Core>,
    pub magazines: Cache<PoolBuffer>,
    slow_paths: u32,
}

impl PoolCache {
    pub fn new(core: &Arc<Core>) -> Self {
        Self { core: Arc::clone(core), magazines: Cache::new(&core.depot), slow_paths: 0 }
    }

    /// Returns whether the pool is gone, so that this cache is of no use.
    pub fn is_closed(&self) -> bool {
        self.core.depot.is_closed()
    }

    /// Counts a slow path, and returns whether it is the turn of this one to read the clock.
    pub fn reads_clock(&mut self) -> bool {
        self.slow_paths = self.slow_paths.wrapping_add(1);
        self.slow_paths.is_multiple_of(SLOW_PATHS_PER_CLOCK)
    }
}

impl Drop for PoolCache {
    /// The thread ends, or the pool is gone: moves the buffers to where other threads find them.
    fn drop(&mut self) {
        self.magazines.flush(&self.core.depot);
    }
}
