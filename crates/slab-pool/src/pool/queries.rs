//! What a pool can be asked.

use std::sync::atomic::Ordering;

use super::BufferPool;
use crate::leaks::Outstanding;
use crate::magazine::Totals;
use crate::stats::{BufferPoolStats, ClassStats, DetailedStats};

impl BufferPool {
    /// Returns the sizes of buffers: those that were set, and after them those that larger requests
    /// get.
    pub fn class_sizes(&self) -> &[usize] {
        self.core.classes.sizes()
    }

    /// Returns the class that a request of so many bytes gets; `None` if none is large enough.
    pub fn class_of(&self, bytes: usize) -> Option<usize> {
        self.core.classes.class_of(bytes)
    }

    /// Returns how many buffers of a class are idle, those in thread caches included; 0 if there is no such
    /// class. Exact while no thread acquires, releases or ends. *O*(threads × classes).
    pub fn idle(&self, class: usize) -> usize {
        if class < self.class_sizes().len() { self.core.depot.idle(class) } else { 0 }
    }

    /// Returns how many buffers were handed out. *O*(threads × classes), as all of these.
    pub fn allocations(&self) -> u64 {
        self.stats().allocations
    }

    /// Returns how many of those were reused.
    pub fn recycles(&self) -> u64 {
        self.stats().recycles
    }

    /// Returns how many of those had to be allocated.
    pub fn misses(&self) -> u64 {
        self.stats().misses
    }

    /// Returns all three, and never such that they contradict one another. No number ever falls, and all are exact as soon
    /// as the threads that did the work were joined.
    pub fn stats(&self) -> BufferPoolStats {
        let totals = self.core.depot.totals();
        let recycles = totals.iter().map(|class| class.recycles).sum();
        let misses: u64 = totals.iter().map(|class| class.misses).sum();
        BufferPoolStats::new(recycles, misses + self.core.unclassed.load(Ordering::Relaxed))
    }

    /// Returns what the pool knows of itself, class by class.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = slab_pool::BufferPool::new(16);
    /// drop(pool.acquire(5000));
    /// let stats = pool.detailed_stats();
    /// assert_eq!((stats.classes[1].idle, stats.retained_bytes), (1, 8192));
    /// ```
    pub fn detailed_stats(&self) -> DetailedStats {
        let depot = &self.core.depot;
        let totals = depot.totals();
        let unclassed = self.core.unclassed.load(Ordering::Relaxed);
        let class = |(index, total): (usize, &Totals)| {
            let shape = depot.shape(index)?;
            Some(ClassStats {
                bytes: shape.item_bytes,
                capacity: shape.capacity,
                idle: depot.idle(index),
                thread_share: shape.share.min(shape.capacity),
                recycles: total.recycles,
                misses: total.misses,
                discards: total.discards,
            })
        };
        let classes: Vec<_> = totals.iter().enumerate().filter_map(class).collect();
        let recycles = totals.iter().map(|class| class.recycles).sum();
        let misses: u64 = totals.iter().map(|class| class.misses).sum();
        DetailedStats {
            totals: BufferPoolStats::new(recycles, misses + unclassed),
            unclassed,
            retained_bytes: classes.iter().map(|class| class.idle * class.bytes).sum(),
            retained_bytes_max: self.core.config.retained_bytes_max,
            outstanding_bytes: self.core.gate.as_ref().map(|gate| gate.used_bytes()),
            waiting: self.core.gate.as_ref().map_or(0, |gate| gate.waiting()),
            classes,
        }
    }

    /// Returns the buffers that are out, oldest first, if the pool [tracks](crate::BufferPoolBuilder::leak_tracking) them;
    /// `None` if not.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_pool::BufferPool;
    ///
    /// let pool = BufferPool::builder().leak_tracking(true).build()?;
    /// let forgotten = pool.acquire(1);
    /// for leak in pool.outstanding().expect("tracked") {
    ///     println!("{} bytes from {}, {:?} ago", leak.bytes(), leak.location(), leak.age());
    /// }
    /// # Ok::<(), slab_pool::PoolError>(())
    /// ```
    pub fn outstanding(&self) -> Option<Vec<Outstanding>> {
        self.core.leaks.as_ref().map(|leaks| leaks.list())
    }
}
