//! The pool as its users see it: what it is, and how buffers are acquired.

mod idle;
mod queries;

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use crate::buffer::{Buffer, Matters};
use crate::classes::KeyMap;
use crate::config::{BufferPoolBuilder, Zeroing};
use crate::core::Core;
use crate::error::PoolError;
use crate::pooled::PooledBuffer;
use crate::raw::hot_pop;
use crate::wait::{AcquireFuture, Patience, enter};

/// A pool of byte buffers of a few sizes, shared between threads.
///
/// Acquiring and releasing take a few nanoseconds and no atomic read-modify-write as long as the thread's
/// own cache has a buffer, or room for one. The pool is open for as long as somebody has an [`Arc`] of it;
/// buffers outlive it, and are then freed when they are dropped.
///
/// # Limits
///
/// Idle buffers never exceed the capacity of their class nor the limit of retained bytes. A thread that used
/// a class may keep room for a few buffers of it ([`ClassStats::thread_share`](crate::ClassStats::thread_share)), which others then cannot use. A thread
/// that stops using the pool keeps what is in its cache, at most that share, until it ends or releases another
/// buffer; [`BufferPool::trim`] reaches it then.
///
/// # After a fork
///
/// In the child of a fork of a program with threads, [`acquire`](Self::acquire) without a limit of outstanding bytes, `try_acquire`,
/// and releases work: no lock that another thread may have held is ever waited for. Everything that waits,
/// and statistics, `trim`, `decay` and leak tracking, may hang there. The same holds for a global allocator that uses the pool
/// inside its own calls: the pool may have called it with one of these locks held.
///
/// # Examples
///
/// ```
/// use slab_pool::BufferPool;
///
/// let pool = BufferPool::new(16);
/// let mut buffer = pool.acquire(1000);
/// assert_eq!(buffer.len(), 4096);
/// buffer.write_at(0, b"header")?;
/// drop(buffer);
///
/// let again = pool.acquire(1000);
/// assert!(again.iter().all(|&byte| byte == 0));
/// assert_eq!(pool.stats().recycles, 1);
/// # Ok::<(), slab_pool::PoolError>(())
/// ```
pub struct BufferPool {
    keys: KeyMap,
    /// What an acquire has to see to.
    matters: Matters,
    zeroing: Zeroing,
    core: Arc<Core>,
}

impl BufferPool {
    /// Returns a pool of the nine power-of-two classes from 4 KiB to 1 MiB, which keeps up to so many idle
    /// buffers in each.
    pub fn new(capacity_per_class: usize) -> Arc<Self> {
        let built = Self::builder().capacity_per_class(capacity_per_class).build();
        built.unwrap_or_else(|error| unreachable!("the defaults are sound: {error}"))
    }

    /// Returns a builder with the settings of [`BufferPool::new`], but for a capacity of 64.
    pub fn builder() -> BufferPoolBuilder {
        BufferPoolBuilder::default()
    }

    pub(crate) fn over(core: Arc<Core>) -> Self {
        let zeroing = core.config.zeroing;
        let matters = if zeroing == Zeroing::Never { Matters::LENGTH } else { Matters::ALL };
        Self { keys: core.classes.keys(core.id), matters, zeroing, core }
    }

    /// Returns a buffer of the smallest class that holds `min_size` bytes: visible are all of the class, and all are
    /// zero unless the pool was told otherwise. What is not dirty is not written to. *O*(1), and
    /// *O*(dirty bytes) for the zeroing.
    ///
    /// With a limit of outstanding bytes it waits for its turn.
    ///
    /// # Panics
    ///
    /// If no waiting could help: the size is beyond the address space, beyond the limit of outstanding bytes or
    /// refused, or there is no memory. [`BufferPool::try_acquire`] and [`BufferPool::acquire_timeout`] say so
    /// instead.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = slab_pool::BufferPool::new(16);
    /// let mut page = pool.acquire(5000);
    /// assert_eq!((page.len(), page[8191]), (8192, 0));
    /// ```
    #[inline]
    #[track_caller]
    pub fn acquire(&self, min_size: usize) -> PooledBuffer {
        match hot_pop(self.keys.key(min_size)) {
            Some(buffer) => self.prepared(buffer),
            None => self.acquire_slow(min_size),
        }
    }

    /// Returns the buffer as [`BufferPool::acquire`] hands it out: all of it visible, and zero if the pool is to see to
    /// that.
    #[inline(always)]
    pub(crate) fn prepared(&self, buffer: Box<Buffer>) -> PooledBuffer {
        let fit = buffer.is_fit(self.matters);
        PooledBuffer::new(if fit { buffer } else { buffer.renewed(self.matters) })
    }

    #[cold]
    #[inline(never)]
    #[track_caller]
    fn acquire_slow(&self, min_size: usize) -> PooledBuffer {
        self.prepared(expect(self.request(min_size, Patience::Endless)))
    }

    /// Returns a buffer of `len` visible bytes, all zero under every [`Zeroing`]. *O*(1), and *O*(dirty bytes) for the
    /// zeroing.
    ///
    /// # Panics
    ///
    /// As [`BufferPool::acquire`].
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = slab_pool::BufferPool::new(16);
    /// assert_eq!(*pool.acquire_zeroed(5), [0; 5]);
    /// ```
    #[inline]
    #[track_caller]
    pub fn acquire_zeroed(&self, len: usize) -> PooledBuffer {
        let mut buffer = self.any(len);
        if buffer.dirty() > 0 {
            let all = self.zeroing == Zeroing::Always;
            buffer.clean(if all { buffer.capacity() } else { len });
        }
        buffer.set_len(len);
        PooledBuffer::new(buffer)
    }

    /// Returns a buffer with room for `capacity` bytes and nothing in it yet, to be appended to. Nothing is made zero,
    /// unless the pool was told [`Zeroing::Always`].
    ///
    /// # Panics
    ///
    /// As [`BufferPool::acquire`].
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = slab_pool::BufferPool::new(16);
    /// let mut message = pool.acquire_for_write(1000);
    /// message.extend_from_slice(b"hello")?;
    /// assert_eq!((&*message, message.capacity()), (&b"hello"[..], 4096));
    /// # Ok::<(), slab_pool::PoolError>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn acquire_for_write(&self, capacity: usize) -> PooledBuffer {
        self.emptied(self.any(capacity))
    }

    /// As [`BufferPool::acquire`], but never waits and never panics.
    ///
    /// # Errors
    ///
    /// [`PoolError::WouldWait`] if the limit of outstanding bytes is reached or others wait; [`PoolError::TooLarge`],
    /// [`PoolError::Oversize`], [`PoolError::ExceedsLimit`] or [`PoolError::OutOfMemory`] if waiting would not help.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_pool::{BufferPool, PoolError};
    ///
    /// let pool = BufferPool::builder().outstanding_bytes_max(4096).build()?;
    /// let page = pool.try_acquire(1)?;
    /// assert!(matches!(pool.try_acquire(1), Err(PoolError::WouldWait { .. })));
    /// drop(page);
    /// assert!(pool.try_acquire(1).is_ok());
    /// # Ok::<(), PoolError>(())
    /// ```
    #[track_caller]
    pub fn try_acquire(&self, min_size: usize) -> Result<PooledBuffer, PoolError> {
        self.request(min_size, Patience::None).map(|buffer| self.prepared(buffer))
    }

    /// As [`BufferPool::acquire_for_write`], but never waits and never panics.
    ///
    /// # Errors
    ///
    /// As [`BufferPool::try_acquire`].
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = slab_pool::BufferPool::new(16);
    /// assert!(pool.try_acquire_for_write(usize::MAX).is_err());
    /// assert!(pool.try_acquire_for_write(100)?.is_empty());
    /// # Ok::<(), slab_pool::PoolError>(())
    /// ```
    #[track_caller]
    pub fn try_acquire_for_write(&self, capacity: usize) -> Result<PooledBuffer, PoolError> {
        self.request(capacity, Patience::None).map(|buffer| self.emptied(buffer))
    }

    /// As [`BufferPool::acquire`], but waits for so long at most. Turns go in order of arrival.
    ///
    /// # Errors
    ///
    /// [`PoolError::TimedOut`]; or as [`BufferPool::try_acquire`], but for `WouldWait`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use slab_pool::{BufferPool, PoolError};
    ///
    /// let pool = BufferPool::builder().outstanding_bytes_max(4096).build()?;
    /// let page = pool.acquire(1);
    /// let outcome = pool.acquire_timeout(1, Duration::from_millis(5));
    /// assert!(matches!(outcome, Err(PoolError::TimedOut { buffer_bytes: 4096, .. })));
    /// # Ok::<(), PoolError>(())
    /// ```
    #[track_caller]
    pub fn acquire_timeout(
        &self,
        min_size: usize,
        timeout: Duration,
    ) -> Result<PooledBuffer, PoolError> {
        self.request(min_size, Patience::Timeout(timeout)).map(|buffer| self.prepared(buffer))
    }

    /// Returns a future of what [`BufferPool::acquire`] returns. It needs no runtime, queues up when it is first polled,
    /// is served in order with everybody else who waits, and loses nothing when it is dropped. What wakers may do is said at
    /// [`AcquireFuture`].
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_pool::{BufferPool, PoolError};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let pool = BufferPool::builder().outstanding_bytes_max(4096).build()?;
    /// let page = pool.acquire(1);
    /// let next = pool.acquire_async(1);
    /// let later = tokio::spawn(next);
    /// drop(page);
    /// assert_eq!(later.await.expect("no panic")?.len(), 4096);
    /// # Ok::<(), PoolError>(())
    /// # })?;
    /// # Ok::<(), PoolError>(())
    /// ```
    #[track_caller]
    pub fn acquire_async(self: &Arc<Self>, min_size: usize) -> AcquireFuture {
        AcquireFuture::new(Arc::clone(self), self.core.plan(min_size), Location::caller())
    }

    /// Gives a buffer back, as dropping it does. It returns to the pool that it came from.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = slab_pool::BufferPool::new(16);
    /// pool.release(pool.acquire(1));
    /// assert_eq!(pool.idle(0), 1);
    /// ```
    #[inline]
    pub fn release(&self, buffer: PooledBuffer) {
        drop(buffer);
    }

    /// Returns a buffer as it is.
    #[inline]
    #[track_caller]
    fn any(&self, bytes: usize) -> Box<Buffer> {
        match hot_pop(self.keys.key(bytes)) {
            Some(buffer) => buffer,
            None => expect(self.request(bytes, Patience::Endless)),
        }
    }

    #[cold]
    #[inline(never)]
    #[track_caller]
    fn request(&self, bytes: usize, patience: Patience) -> Result<Box<Buffer>, PoolError> {
        let plan = self.core.plan(bytes)?;
        enter(&self.core, plan, patience)?;
        self.core.obtain(plan, Location::caller())
    }

    /// Returns the buffer as [`BufferPool::acquire_for_write`] hands it out.
    #[inline(always)]
    fn emptied(&self, buffer: Box<Buffer>) -> PooledBuffer {
        PooledBuffer::new(self.zeroing.emptied(buffer))
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }
}

/// Returns the value, or panics where the caller's caller asked for it.
#[track_caller]
fn expect<T>(outcome: Result<T, PoolError>) -> T {
    match outcome {
        Ok(value) => value,
        Err(error) => panic!("no buffer: {error}"),
    }
}

impl Drop for BufferPool {
    /// Frees all idle buffers but those in caches of other threads. Such a cache is freed when its thread next releases a buffer of
    /// this pool, uses a pool for the first time, or ends.
    fn drop(&mut self) {
        self.core.close();
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool")
            .field("id", &self.core.id)
            .field("classes", &self.class_sizes())
            .finish_non_exhaustive()
    }
}
