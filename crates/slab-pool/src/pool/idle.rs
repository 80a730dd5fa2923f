//! Idle buffers: allocated ahead, and freed.

use std::time::Instant;

use super::BufferPool;
use crate::core::Plan;
use crate::error::PoolError;
use crate::thread_caches::with_cache;

impl BufferPool {
    /// Allocates idle buffers ahead, so that the first acquires recycle them. Returns how many it could keep. `class` is an
    /// index of [`BufferPool::class_sizes`].
    ///
    /// # Errors
    ///
    /// [`PoolError::NoSuchClass`], or [`PoolError::OutOfMemory`]; the buffers allocated before that are kept.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = slab_pool::BufferPool::default();
    /// let class = pool.class_of(10_000).expect("16 KiB");
    /// assert_eq!(pool.prefill(class, 4)?, 4);
    /// drop(pool.acquire(10_000));
    /// assert_eq!(pool.misses(), 0);
    /// # Ok::<(), slab_pool::PoolError>(())
    /// ```
    pub fn prefill(&self, class: usize, buffers: usize) -> Result<usize, PoolError> {
        let core = &self.open.core;
        let sizes = core.classes.sizes();
        let no_class = || PoolError::NoSuchClass { class, count: sizes.len() };
        let bytes = *sizes.get(class).ok_or_else(no_class)?;
        let alignment = core.settings.alignment;
        for made in 0..buffers {
            // Checked before the allocation: callers often request as many as there is room for.
            if core.depot.available_items(class) == 0 || core.depot.available_bytes() < bytes {
                return Ok(made);
            }
            let buffer = core.allocate(Plan { class: Some(class), bytes });
            let buffer = buffer.ok_or(PoolError::OutOfMemory { bytes, alignment })?;
            if core.depot.try_put_one(class, buffer).is_err() {
                return Ok(made);
            }
        }
        Ok(buffers)
    }

    /// Frees all idle buffers, and returns their bytes. Those in caches of other threads are freed when
    /// these threads release their next buffer, and are not counted.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = slab_pool::BufferPool::default();
    /// drop(pool.acquire(1));
    /// assert_eq!((pool.trim(), pool.trim()), (4096, 0));
    /// ```
    pub fn trim(&self) -> usize {
        let core = &self.open.core;
        let own = with_cache(core, |cache| cache.magazines.trim(&core.depot)).unwrap_or(0);
        own + core.depot.trim()
    }

    /// Frees the idle buffers that were not needed since the last sweep, and returns their bytes. If an interval was
    /// [set](crate::BufferPoolBuilder::idle_decay), does nothing until it has passed since that sweep. Caches of other
    /// threads follow on their next slow paths.
    ///
    /// A pool that threads use sweeps by itself. Call this in a program whose threads may stop using the pool.
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
    ///     // In a program: whenever it is idle, with the present time.
    ///     pool.decay(Instant::now() + minute * minutes);
    /// }
    /// assert_eq!(pool.idle(0), 0);
    /// # Ok::<(), slab_pool::PoolError>(())
    /// ```
    pub fn decay(&self, now: Instant) -> usize {
        let core = &self.open.core;
        let freed_bytes = core.decay(now, core.settings.decay_interval, true);
        with_cache(core, |cache| cache.magazines.sync(&core.depot));
        freed_bytes
    }
}
