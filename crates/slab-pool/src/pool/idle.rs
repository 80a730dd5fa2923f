//! Idle buffers: made ahead, and let go.

use std::time::Instant;

use super::BufferPool;
use crate::core::Plan;
use crate::error::PoolError;

impl BufferPool {
    /// Allocates idle buffers ahead, so that the first acquires find some; returns how many it could keep. They
    /// count as recycled when they are acquired. `class` as in [`BufferPool::class_sizes`].
    ///
    /// # Errors
    ///
    /// [`PoolError::NoSuchClass`], or [`PoolError::OutOfMemory`], in which case those before it are kept.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = slab_pool::BufferPool::new(16);
    /// let class = pool.class_of(10_000).expect("16 KiB");
    /// assert_eq!(pool.prefill(class, 4)?, 4);
    /// drop(pool.acquire(10_000));
    /// assert_eq!(pool.misses(), 0);
    /// # Ok::<(), slab_pool::PoolError>(())
    /// ```
    pub fn prefill(&self, class: usize, buffers: usize) -> Result<usize, PoolError> {
        let sizes = self.core.classes.sizes();
        let no_class = || PoolError::NoSuchClass { class, count: sizes.len() };
        let bytes = *sizes.get(class).ok_or_else(no_class)?;
        let alignment = self.core.config.alignment;
        for made in 0..buffers {
            // A look before the allocation: most callers ask for as many as there is room for.
            if self.core.depot.credits_left(class) == 0 || self.core.depot.bytes_left() < bytes {
                return Ok(made);
            }
            let plan = Plan { class: Some(class), bytes };
            let buffer = self.core.make(plan);
            let buffer = buffer.ok_or(PoolError::OutOfMemory { bytes, alignment })?;
            if self.core.depot.try_put_one(class, buffer).is_err() {
                return Ok(made);
            }
        }
        Ok(buffers)
    }

    /// Frees all idle buffers, and returns how many bytes that were. Those in caches of other threads follow when
    /// these threads release their next buffer, and are not counted.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = slab_pool::BufferPool::new(16);
    /// drop(pool.acquire(1));
    /// assert_eq!((pool.trim(), pool.trim()), (4096, 0));
    /// ```
    pub fn trim(&self) -> usize {
        let depot = &self.core.depot;
        let own = self.core.with_own_cache(|cache| cache.local.trim(depot)).unwrap_or(0);
        own + depot.trim()
    }

    /// Frees idle buffers that were not needed since the last time this was done, if that was an
    /// [interval](crate::BufferPoolBuilder::idle_decay) ago (without one: at once), and returns how many bytes that were. What a thread
    /// keeps to itself follows later, as it comes by.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use slab_pool::BufferPool;
    ///
    /// let minute = Duration::from_secs(60);
    /// let pool = BufferPool::builder().idle_decay(minute).build()?;
    /// drop(pool.acquire(1));
    /// for minutes in 1..5 {
    ///     // In a program: whenever it has nothing else to do, with the time that it is.
    ///     pool.decay(Instant::now() + minute * minutes);
    /// }
    /// assert_eq!(pool.idle(0), 0);
    /// # Ok::<(), slab_pool::PoolError>(())
    /// ```
    pub fn decay(&self, now: Instant) -> usize {
        let freed_bytes = self.core.decay(now, true);
        let depot = &self.core.depot;
        self.core.with_own_cache(|cache| cache.local.settle(depot));
        freed_bytes
    }
}
