//! The constructors of a pool, and the builder that checks its settings.

use std::sync::Arc;
use std::time::Duration;

#[cfg(all(feature = "arena", unix))]
use crate::arena::{Arena, ArenaSettings};
use crate::classes::{ClassMap, DEFAULT_CLASSES};
use crate::core::Core;
use crate::error::PoolError;
use crate::gate::Gate;
use crate::leaks::Leaks;
use crate::magazine::{Depot, Shape};
use crate::open::OpenPool;
use crate::pool::BufferPool;
use crate::settings::{Oversize, Settings, Zeroing};

/// Idle buffers that a class keeps by default.
const CAPACITY: usize = 64;
/// Bytes of idle buffers that a pool keeps by default: as many as the largest buffer that it keeps by default has.
const RETAINED_BYTES: usize = 64 << 20;
/// The default interval of sweeps. Long enough that a load that varies within seconds finds its buffers again, as with the
/// ten seconds of jemalloc's decay.
const IDLE_DECAY: Duration = Duration::from_secs(10);
/// The default alignment: direct I/O accepts a page everywhere.
const ALIGNMENT: usize = 4096;
/// The approximate bytes of a magazine. A thread keeps two magazines of a class at most.
const MAGAZINE_BYTES: usize = 1 << 20;
/// Buffers in a magazine at most: a visit to the depot then costs less than a nanosecond per buffer.
const BATCH_MAX: usize = 32;
/// An arena has room for so many magazines of a class: other threads cannot use the buffers in a thread's magazines.
const ARENA_BATCHES: usize = 32;
/// Shards per class at most: since whole magazines are exchanged, more threads than that rarely meet.
const SHARDS_MAX: usize = 8;
/// By default, buffers up to so many times the largest class are kept.
const OVERSIZE_FACTOR: usize = 64;

impl BufferPool {
    /// Returns a pool of the nine power-of-two classes from 4 KiB to 1 MiB, each of which keeps up to `capacity_per_class` idle
    /// buffers, and all of which keep up to 64 MiB.
    pub fn with_capacity(capacity_per_class: usize) -> Self {
        let built = Self::builder().capacity_per_class(capacity_per_class).build();
        built.unwrap_or_else(|error| unreachable!("the default settings are valid: {error}"))
    }

    /// Returns the pool of [`BufferPool::with_capacity`] in an [`Arc`], for programs that share it that way. A handle is one
    /// pointer and clones as cheaply without.
    pub fn new(capacity_per_class: usize) -> Arc<Self> {
        Arc::new(Self::with_capacity(capacity_per_class))
    }

    /// Returns a builder with the settings of `BufferPool::default()`.
    pub fn builder() -> BufferPoolBuilder {
        BufferPoolBuilder::default()
    }
}

impl Default for BufferPool {
    /// Returns `BufferPool::with_capacity(64)`.
    fn default() -> Self {
        Self::with_capacity(CAPACITY)
    }
}

/// The settings of a [`BufferPool`]; see [`BufferPool::builder`].
///
/// # Examples
///
/// ```
/// use slab_pool::{BufferPool, PoolError};
///
/// let pool = BufferPool::builder()
///     .classes(&[16 << 10, 256 << 10])
///     .outstanding_bytes_max(8 << 20)
///     .build()?;
/// assert_eq!(pool.acquire(20_000).len(), 256 << 10);
///
/// let error = BufferPool::builder().alignment(48).build().unwrap_err();
/// assert_eq!(error, PoolError::Alignment { alignment: 48 });
/// # Ok::<(), PoolError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder builds nothing until told to"]
pub struct BufferPoolBuilder {
    classes: Vec<usize>,
    capacity_per_class: usize,
    retained_bytes_max: Option<usize>,
    outstanding_bytes_max: Option<usize>,
    alignment: usize,
    zeroing: Zeroing,
    wipe: bool,
    oversize: Option<Oversize>,
    /// `None` for no sweeps by slow paths.
    sweep_interval: Option<Duration>,
    decay_interval: Duration,
    leak_tracking: bool,
    copy_out_max: usize,
    #[cfg(all(feature = "arena", unix))]
    arena: Option<ArenaSettings>,
}

impl Default for BufferPoolBuilder {
    /// Returns [`BufferPool::builder`].
    fn default() -> Self {
        Self {
            classes: DEFAULT_CLASSES.to_vec(),
            capacity_per_class: CAPACITY,
            retained_bytes_max: None,
            outstanding_bytes_max: None,
            alignment: ALIGNMENT,
            zeroing: Zeroing::default(),
            wipe: false,
            oversize: None,
            sweep_interval: Some(IDLE_DECAY),
            decay_interval: Duration::ZERO,
            leak_tracking: false,
            copy_out_max: 0,
            #[cfg(all(feature = "arena", unix))]
            arena: None,
        }
    }
}

impl BufferPoolBuilder {
    /// Sets the sizes of buffers in bytes, rising. Powers of two are found fastest. Default: powers of two from 4 KiB to 1 MiB.
    pub fn classes(mut self, classes: &[usize]) -> Self {
        self.classes = classes.to_vec();
        self
    }

    /// Sets how many idle buffers of a class are kept at most, those in thread caches included. Default: 64.
    pub fn capacity_per_class(mut self, buffers: usize) -> Self {
        self.capacity_per_class = buffers;
        self
    }

    /// Sets how many bytes of idle buffers are kept at most, in all classes together. Default: 64 MiB, or less if the
    /// capacity of the classes is below half of that.
    pub fn retained_bytes_max(mut self, bytes: usize) -> Self {
        self.retained_bytes_max = Some(bytes);
        self
    }

    /// Sets how many bytes of buffers may be handed out at the same time; a request beyond it waits, or is an error.
    /// Each acquire and each release then costs an atomic read-modify-write. Default: no limit.
    pub fn outstanding_bytes_max(mut self, bytes: usize) -> Self {
        self.outstanding_bytes_max = Some(bytes);
        self
    }

    /// Sets the alignment of buffers, a power of two. Default: 4096, which direct I/O accepts.
    pub fn alignment(mut self, bytes: usize) -> Self {
        self.alignment = bytes;
        self
    }

    /// Sets when buffers are zeroed. Default: [`Zeroing::OnAcquire`].
    pub fn zeroing(mut self, zeroing: Zeroing) -> Self {
        self.zeroing = zeroing;
        self
    }

    /// Sets whether a release zeroes what was written, also if the buffer is then freed: for secrets. Default: no.
    pub fn wipe_on_release(mut self, wipe: bool) -> Self {
        self.wipe = wipe;
        self
    }

    /// Sets how requests beyond the largest class are served. Default: [`Oversize::Keep`] up to 64 times the
    /// largest class.
    pub fn oversize(mut self, oversize: Oversize) -> Self {
        self.oversize = Some(oversize);
        self
    }

    /// Sets the interval of *sweeps*, which free the idle buffers that were not needed since the sweep before. Default: ten
    /// seconds, so that a buffer that stays idle is freed after ten to twenty.
    ///
    /// No thread runs in the background. A thread that uses the pool sweeps when it is time, which it checks in every sixteenth
    /// of its slow paths: the acquires and releases for which its own cache does not suffice. If no thread comes by, nothing is
    /// swept until one calls [`BufferPool::decay`] or [`BufferPool::trim`]; idle memory then stays below
    /// [`retained_bytes_max`](Self::retained_bytes_max).
    ///
    /// [`BufferPool::decay`] respects an interval that was set here; by default it sweeps whenever it is called.
    pub fn idle_decay(mut self, interval: Duration) -> Self {
        self.sweep_interval = Some(interval);
        self.decay_interval = interval;
        self
    }

    /// Turns sweeps off: idle buffers stay until [`BufferPool::trim`] or [`BufferPool::decay`].
    pub fn no_idle_decay(mut self) -> Self {
        self.sweep_interval = None;
        self.decay_interval = Duration::ZERO;
        self
    }

    /// Sets whether the pool records which buffers are handed out, and where they were acquired; see
    /// [`BufferPool::outstanding`]. Each acquire and each release then takes a lock, and a record takes memory from the
    /// global allocator. Default: no.
    pub fn leak_tracking(mut self, track: bool) -> Self {
        self.leak_tracking = track;
        self
    }

    /// Sets up to which length a slice of a shared buffer is copied into a buffer of a smaller class, so that it
    /// does not keep the large one from returning. An empty slice is never copied. Default: 0, no slice is copied.
    pub fn copy_out_max(mut self, bytes: usize) -> Self {
        self.copy_out_max = bytes;
        self
    }

    /// Sets that the buffers of the classes lie in one mapping, which a program registers with the kernel once: an [`Arena`].
    /// Default: they come from the global allocator.
    ///
    /// If the system refuses a part of it the pool works without, and [`BufferPool::arena_refusals`] says so.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_pool::{ArenaSettings, BufferPool};
    ///
    /// let settings = ArenaSettings::new(64).huge_pages(true).lock(true);
    /// let pool = BufferPool::builder().classes(&[16 << 10]).arena(settings).build()?;
    /// for refusal in pool.arena_refusals() {
    ///     println!("{refusal}");
    /// }
    /// if let Some(arena) = pool.arena() {
    ///     let iovecs = arena.iovecs(); // To be registered once.
    ///     let buffer = pool.acquire(1);
    ///     let index = buffer.arena_index().expect("64 are not in use");
    ///     assert_eq!(iovecs[usize::from(index)].iov_len, buffer.len());
    /// }
    /// # Ok::<(), slab_pool::PoolError>(())
    /// ```
    #[cfg(all(feature = "arena", unix))]
    pub fn arena(mut self, settings: ArenaSettings) -> Self {
        self.arena = Some(settings);
        self
    }

    /// Returns how many buffers of each class an arena has, if there is one.
    fn arena_buffers(&self) -> Option<usize> {
        #[cfg(all(feature = "arena", unix))]
        return self.arena.map(|settings| settings.buffers_per_class());
        #[cfg(not(all(feature = "arena", unix)))]
        None
    }

    /// Returns the pool.
    ///
    /// # Errors
    ///
    /// [`PoolError::NoClasses`], [`PoolError::TooManyClasses`], [`PoolError::EmptyClass`],
    /// [`PoolError::ClassOrder`], [`PoolError::Alignment`], [`PoolError::TooLarge`], [`PoolError::ArenaBuffers`] or
    /// [`PoolError::LimitBelowClass`], for settings that contradict each other or the machine.
    pub fn build(self) -> Result<BufferPool, PoolError> {
        let alignment = self.alignment;
        if !alignment.is_power_of_two() {
            return Err(PoolError::Alignment { alignment });
        }
        let largest = self.classes.last().copied().unwrap_or(0);
        let keep = Oversize::Keep { max_bytes: largest.saturating_mul(OVERSIZE_FACTOR) };
        let oversize = self.oversize.unwrap_or(keep);
        let oversize_max = if let Oversize::Keep { max_bytes } = oversize { max_bytes } else { 0 };
        // All requests take the slow path if each must be counted or recorded.
        let direct = self.outstanding_bytes_max.is_none() && !self.leak_tracking;
        let classes = ClassMap::new(&self.classes, oversize_max, direct)?;
        if std::alloc::Layout::from_size_align(largest, alignment).is_err() {
            return Err(PoolError::TooLarge { bytes: largest, alignment });
        }
        let class_bytes = classes.sizes()[0];
        if let Some(limit_bytes) = self.outstanding_bytes_max.filter(|&limit| limit < class_bytes) {
            return Err(PoolError::LimitBelowClass { limit_bytes, class_bytes });
        }

        let capacity = self.capacity_per_class;
        // Under a limit, another thread may wait for the buffers in a thread's cache: all but two go to the depot.
        let batch_max = if self.outstanding_bytes_max.is_some() { 1 } else { BATCH_MAX };
        let arena_buffers = self.arena_buffers();
        let shape = |(class, &bytes): (usize, &usize)| {
            let in_arena = arena_buffers.filter(|_| class < classes.configured().len());
            let batch_max =
                in_arena.map_or(batch_max, |buffers| batch_max.min(buffers / ARENA_BATCHES));
            Shape::new(bytes, capacity, MAGAZINE_BYTES, batch_max)
        };
        let shapes: Vec<_> = classes.sizes().iter().enumerate().map(shape).collect();
        let classes_bytes =
            classes.configured().iter().fold(0_usize, |sum, &size| sum.saturating_add(size));
        // Twice the capacity of the classes leaves room for larger buffers.
        let retained_bytes_max = self.retained_bytes_max.unwrap_or_else(|| {
            classes_bytes.saturating_mul(capacity).saturating_mul(2).min(RETAINED_BYTES)
        });
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let depot = Depot::new(&shapes, retained_bytes_max, threads.min(SHARDS_MAX));
        let settings = Settings {
            alignment,
            zeroing: self.zeroing,
            wipe: self.wipe,
            oversize,
            copy_out_max: self.copy_out_max,
            retained_bytes_max,
            sweep_interval: self.sweep_interval,
            decay_interval: self.decay_interval,
        };
        let gate = self.outstanding_bytes_max.map(Gate::new);
        let leaks = self.leak_tracking.then(Leaks::default);
        #[cfg(all(feature = "arena", unix))]
        let (arena, refusals) = match self.arena {
            Some(settings) => Arena::map(settings, classes.configured(), alignment)?,
            None => (None, Vec::new()),
        };
        #[cfg(not(all(feature = "arena", unix)))]
        let arena = None;
        let core = Core::new(settings, classes, depot, gate, leaks, arena);
        let open = OpenPool::new(
            core,
            #[cfg(all(feature = "arena", unix))]
            refusals,
        );
        Ok(BufferPool::over(open))
    }
}
