//! What a pool can be told, and the builder that checks it.

use std::sync::Arc;
use std::time::Duration;

use crate::buffer::{Buffer, Matters};
use crate::classes::{ClassMap, DEFAULT_CLASSES};
use crate::core::{Config, Core};
use crate::error::PoolError;
use crate::gate::Gate;
use crate::leaks::Leaks;
use crate::magazine::{Depot, Shape};
use crate::pool::BufferPool;

/// The smallest alignment that direct I/O takes everywhere: a page.
const ALIGNMENT: usize = 4096;
/// What one magazine holds about. Two of them per class is what a thread may sit on.
const MAGAZINE_BYTES: usize = 1 << 20;
/// Buffers in a magazine at most: one visit to the depot then costs less than a nanosecond a buffer.
const BATCH_MAX: usize = 32;
/// Racks per class at most: with whole magazines exchanged, more threads than that rarely meet.
const SHARDS_MAX: usize = 8;
/// By default requests up to so many times the largest class are kept as well.
const OVERSIZE_FACTOR: usize = 64;

/// When buffers are made zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Zeroing {
    /// All of a buffer from `acquire` is zero, and the visible bytes of one from `acquire_zeroed`. The bytes behind the length may be
    /// old ones in a buffer from `acquire_for_write` or `acquire_zeroed`, in one that contents moved to because they outgrew
    /// another, and in a detached copy. Old bytes become visible only through a [`Read`](std::io::Read) that reads the slice it
    /// is given, or that reports more bytes than it wrote.
    #[default]
    OnAcquire,
    /// Every buffer is zero when an owner gets it, behind the length as well, also when contents move to a larger buffer or
    /// are copied out of a shared one. Safe code reads only what this owner wrote, and zeroes.
    Always,
    /// A buffer from `acquire` holds what its last user left in it; `acquire_zeroed` is zero all the same.
    Never,
}

impl Zeroing {
    /// Returns the buffer with no byte visible, as an owner that appends gets it.
    #[inline(always)]
    pub(crate) fn emptied(self, buffer: Box<Buffer>) -> Box<Buffer> {
        let clean = self == Self::Always && !buffer.is_fit(Matters::ALL);
        let mut buffer = if clean { buffer.renewed(Matters::ALL) } else { buffer };
        buffer.set_len(0);
        buffer
    }
}

/// What becomes of requests that are larger than the largest class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Oversize {
    /// They get buffers of the largest class doubled, once or more often, which are kept as others are, up
    /// to this size. Beyond it they are as with [`Oversize::Allocate`].
    Keep {
        /// The largest buffer that is kept.
        max_bytes: usize,
    },
    /// They are allocated to measure and freed on release.
    Allocate,
    /// They are refused.
    Refuse,
}

/// Sets up a [`BufferPool`]; see [`BufferPool::builder`].
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
    idle_decay: Option<Duration>,
    leak_tracking: bool,
    copy_out_max: usize,
}

impl Default for BufferPoolBuilder {
    /// Returns what [`BufferPool::builder`] does.
    fn default() -> Self {
        Self {
            classes: DEFAULT_CLASSES.to_vec(),
            capacity_per_class: 64,
            retained_bytes_max: None,
            outstanding_bytes_max: None,
            alignment: ALIGNMENT,
            zeroing: Zeroing::default(),
            wipe: false,
            oversize: None,
            idle_decay: None,
            leak_tracking: false,
            copy_out_max: 0,
        }
    }
}

impl BufferPoolBuilder {
    /// Sets the sizes of buffers, in bytes, rising. Default: powers of two from 4 KiB to 1 MiB. Powers of two
    /// are found fastest.
    pub fn classes(mut self, classes: &[usize]) -> Self {
        self.classes = classes.to_vec();
        self
    }

    /// Sets how many idle buffers of a class are kept at most, those in thread caches included. Default: 64. With
    /// 0 nothing is kept.
    pub fn capacity_per_class(mut self, buffers: usize) -> Self {
        self.capacity_per_class = buffers;
        self
    }

    /// Sets how many bytes of idle buffers are kept at most, over all classes. Default: twice what the capacity
    /// allows for the classes that were set, so that larger buffers find some room. With 0 nothing is kept.
    pub fn retained_bytes_max(mut self, bytes: usize) -> Self {
        self.retained_bytes_max = Some(bytes);
        self
    }

    /// Sets how many bytes of buffers are handed out at most; who asks for more waits, or is told. Default:
    /// no limit. Each acquire and each release then takes an atomic read-modify-write.
    pub fn outstanding_bytes_max(mut self, bytes: usize) -> Self {
        self.outstanding_bytes_max = Some(bytes);
        self
    }

    /// Sets the alignment of buffers, a power of two. Default: 4096, which direct I/O takes.
    pub fn alignment(mut self, bytes: usize) -> Self {
        self.alignment = bytes;
        self
    }

    /// Sets when buffers are made zero. Default: [`Zeroing::OnAcquire`].
    pub fn zeroing(mut self, zeroing: Zeroing) -> Self {
        self.zeroing = zeroing;
        self
    }

    /// Sets whether what was written is made zero as soon as a buffer is released, kept or not: for
    /// secrets. Default: no.
    pub fn wipe_on_release(mut self, wipe: bool) -> Self {
        self.wipe = wipe;
        self
    }

    /// Sets what becomes of requests beyond the largest class. Default: [`Oversize::Keep`] up to 64 times the
    /// largest class.
    pub fn oversize(mut self, oversize: Oversize) -> Self {
        self.oversize = Some(oversize);
        self
    }

    /// Sets after which time idle buffers are let go that nobody needed: between one and two intervals, and one more for
    /// what a thread kept to itself. There is no thread for it: slow paths look at the clock, and so does
    /// [`BufferPool::decay`]. Default: never.
    pub fn idle_decay(mut self, interval: Duration) -> Self {
        self.idle_decay = Some(interval);
        self
    }

    /// Sets whether the pool notes where each buffer was acquired; see [`BufferPool::outstanding`]. Each acquire and each
    /// release then waits for one lock, and a note takes memory from the global allocator. Default: no.
    pub fn leak_tracking(mut self, track: bool) -> Self {
        self.leak_tracking = track;
        self
    }

    /// Sets up to which length a slice of a shared buffer is copied into a buffer of a smaller class, so that it
    /// does not keep the large one from returning. An empty slice is not copied. Default: 0, never.
    pub fn copy_out_max(mut self, bytes: usize) -> Self {
        self.copy_out_max = bytes;
        self
    }

    /// Returns the pool.
    ///
    /// # Errors
    ///
    /// [`PoolError::NoClasses`], [`PoolError::TooManyClasses`], [`PoolError::EmptyClass`],
    /// [`PoolError::ClassOrder`], [`PoolError::Alignment`], [`PoolError::TooLarge`] or
    /// [`PoolError::LimitBelowClass`], for settings that cannot work.
    pub fn build(self) -> Result<Arc<BufferPool>, PoolError> {
        let alignment = self.alignment;
        if !alignment.is_power_of_two() {
            return Err(PoolError::Alignment { alignment });
        }
        let largest = self.classes.last().copied().unwrap_or(0);
        let keep = Oversize::Keep { max_bytes: largest.saturating_mul(OVERSIZE_FACTOR) };
        let oversize = self.oversize.unwrap_or(keep);
        let oversize_max = if let Oversize::Keep { max_bytes } = oversize { max_bytes } else { 0 };
        // Requests take the slow path if each has something to be noted.
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
        // Under a limit what one thread hoards is what another waits for: all but the last two are published.
        let batch_max = if self.outstanding_bytes_max.is_some() { 1 } else { BATCH_MAX };
        let shapes: Vec<_> = classes
            .sizes()
            .iter()
            .map(|&bytes| Shape::new(bytes, capacity, MAGAZINE_BYTES, batch_max))
            .collect();
        let of_all =
            classes.configured().iter().fold(0_usize, |sum, &size| sum.saturating_add(size));
        let retained_bytes_max = self
            .retained_bytes_max
            .unwrap_or_else(|| of_all.saturating_mul(capacity).saturating_mul(2));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let depot = Depot::new(&shapes, retained_bytes_max, threads.min(SHARDS_MAX));
        let config = Config {
            alignment,
            zeroing: self.zeroing,
            wipe: self.wipe,
            oversize,
            copy_out_max: self.copy_out_max,
            retained_bytes_max,
            idle_decay: self.idle_decay,
        };
        let gate = self.outstanding_bytes_max.map(Gate::new);
        let leaks = self.leak_tracking.then(Leaks::default);
        let core = Core::new(config, classes, depot, gate, leaks);
        Ok(Arc::new(BufferPool::over(core)))
    }
}
