//! Queries and statistics.

use std::sync::atomic::Ordering;

use super::BufferPool;
#[cfg(all(feature = "arena", unix))]
use crate::arena::{Arena, ArenaRefusal};
use crate::core::Core;
use crate::leaks::Outstanding;
use crate::magazine::Totals;
use crate::stats::{BufferPoolStats, ClassStats, DetailedStats};

impl BufferPool {
    fn core(&self) -> &Core {
        &self.open.core
    }

    /// Returns the sizes of buffers: those that were set, followed by those for larger requests.
    pub fn class_sizes(&self) -> &[usize] {
        self.core().classes.sizes()
    }

    /// Returns the class that serves a request of this size; `None` if all are smaller.
    pub fn class_of(&self, bytes: usize) -> Option<usize> {
        self.core().classes.class_of(bytes)
    }

    /// Returns the number of idle buffers of a class, those in thread caches included; 0 if there is no such
    /// class. Exact while no thread acquires, releases or ends. *O*(threads × classes).
    pub fn idle(&self, class: usize) -> usize {
        if class < self.class_sizes().len() { self.core().depot.idle(class) } else { 0 }
    }

    /// Returns the bytes that the pool holds from the allocator: those of all buffers, idle or handed out, and their
    /// headers; and all bytes of its arena, if it has one.
    pub fn held_bytes(&self) -> usize {
        self.core().held_bytes()
    }

    /// Returns the bytes of the buffers that are handed out. As exact as [`BufferPool::idle`], and as expensive.
    pub fn used_bytes(&self) -> usize {
        let core = self.core();
        core.held_capacity().saturating_sub(core.idle_bytes())
    }

    /// Returns the mapping that the buffers lie in, if the pool was built with [one](crate::BufferPoolBuilder::arena) and the
    /// system had memory for it.
    #[cfg(all(feature = "arena", unix))]
    pub fn arena(&self) -> Option<&Arena> {
        self.core().arena.as_ref()
    }

    /// Returns the requests of the arena that the system refused, with the reasons. The pool works without them.
    #[cfg(all(feature = "arena", unix))]
    pub fn arena_refusals(&self) -> &[ArenaRefusal] {
        &self.open.refusals
    }

    /// Returns the number of buffers handed out so far. *O*(threads × classes), as are the next three.
    pub fn allocations(&self) -> u64 {
        self.stats().allocations
    }

    /// Returns how many of them were idle buffers.
    pub fn recycles(&self) -> u64 {
        self.stats().recycles
    }

    /// Returns how many of them had to be allocated.
    pub fn misses(&self) -> u64 {
        self.stats().misses
    }

    /// Returns all three. They never contradict one another, never fall, and are exact once the threads that used the pool
    /// were joined.
    pub fn stats(&self) -> BufferPoolStats {
        self.sums(&self.core().depot.totals())
    }

    fn sums(&self, totals: &[Totals]) -> BufferPoolStats {
        let recycles = totals.iter().map(|class| class.recycles).sum();
        let misses: u64 = totals.iter().map(|class| class.misses).sum();
        BufferPoolStats::new(recycles, misses + self.core().unclassed.load(Ordering::Relaxed))
    }

    /// Returns all statistics, class by class.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = slab_pool::BufferPool::default();
    /// drop(pool.acquire(5000));
    /// let stats = pool.detailed_stats();
    /// assert_eq!((stats.classes[1].idle, stats.retained_bytes), (1, 8192));
    /// ```
    pub fn detailed_stats(&self) -> DetailedStats {
        let core = self.core();
        let class_stats = |(class, total): (usize, &Totals)| {
            let shape = core.depot.shape(class);
            ClassStats {
                bytes: shape.item_bytes,
                capacity: shape.capacity,
                idle: core.depot.idle(class),
                thread_share: shape.share.min(shape.capacity),
                recycles: total.recycles,
                misses: total.misses,
                discards: total.discards,
            }
        };
        let totals = core.depot.totals();
        let sums = self.sums(&totals);
        let classes: Vec<_> = totals.iter().enumerate().map(class_stats).collect();
        let class_misses: u64 = totals.iter().map(|class| class.misses).sum();
        DetailedStats {
            unclassed: sums.misses - class_misses,
            totals: sums,
            retained_bytes: classes.iter().map(|class| class.idle * class.bytes).sum(),
            retained_bytes_max: core.settings.retained_bytes_max,
            outstanding_bytes: core.gate.as_ref().map(|gate| gate.used_bytes()),
            waiting: core.gate.as_ref().map_or(0, |gate| gate.waiting()),
            classes,
        }
    }

    /// Returns the buffers that are handed out, oldest first, if the pool [tracks](crate::BufferPoolBuilder::leak_tracking)
    /// them; `None` if it does not.
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
        self.core().leaks.as_ref().map(|leaks| leaks.list())
    }
}
