//! The pool's handle: how buffers are acquired.

mod idle;
mod queries;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::PoolError;
use crate::future::{AcquireFuture, Contents};
use crate::open::OpenPool;
use crate::pooled::PooledBuffer;
use crate::wait::Patience;

/// A handle of a pool of byte buffers of a few sizes, shared between threads. Cloning it is cheap and gives another handle of the
/// same pool.
///
/// Acquiring and releasing take a few nanoseconds and no atomic read-modify-write as long as the thread's
/// own cache has a buffer, or room for one. The pool is open for as long as a handle exists;
/// buffers outlive it, and are then freed when they are dropped. Dropping the last handle frees all idle buffers except those
/// in caches of other threads. Such a cache is freed when its thread next releases a buffer of this pool, uses a pool for the
/// first time, or ends.
///
/// # Limits
///
/// Idle buffers never exceed the capacity of their class nor the limit of retained bytes, by default 64 MiB. A thread that used
/// a class may keep room for a few buffers of it ([`ClassStats::thread_share`](crate::ClassStats::thread_share)), which others then
/// cannot use. Idle buffers that were not needed for about ten seconds are freed when threads use the pool; see
/// [`idle_decay`](crate::BufferPoolBuilder::idle_decay). A thread that stops using the pool keeps what is in its cache, at most
/// that share, until it ends or releases another buffer.
///
/// # After a fork
///
/// In the child of a fork of a program with threads, [`acquire`](Self::acquire) without a limit of outstanding bytes, `try_acquire`,
/// and releases work: they never wait for a lock that another thread may have held. Everything that waits,
/// and statistics, `trim`, `decay` and leak tracking, may hang there. The same holds for a global allocator that uses the pool
/// inside its own calls: the pool may have called it with one of these locks held.
///
/// # Examples
///
/// ```
/// use slab_pool::BufferPool;
///
/// let pool = BufferPool::with_capacity(16);
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
#[derive(Clone)]
pub struct BufferPool {
    open: Arc<OpenPool>,
}

impl BufferPool {
    pub(crate) fn over(open: OpenPool) -> Self {
        Self { open: Arc::new(open) }
    }

    /// Returns a buffer of the smallest class that holds `min_size` bytes. **Blocks the thread** while a limit of
    /// [outstanding bytes](crate::BufferPoolBuilder::outstanding_bytes_max) is reached; without such a limit it never blocks.
    ///
    /// All bytes of the class are visible, and zero unless the pool has [`Zeroing::Never`](crate::Zeroing::Never). *O*(1), and
    /// *O*(dirty bytes) for the zeroing: only what was written is zeroed.
    ///
    /// # Panics
    ///
    /// If the request cannot succeed: the size is beyond the address space, beyond the limit of outstanding bytes or
    /// refused as too large, or there is no memory. [`BufferPool::try_acquire`] and [`BufferPool::acquire_timeout`] return
    /// an error instead.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = slab_pool::BufferPool::default();
    /// let mut page = pool.acquire(5000);
    /// assert_eq!((page.len(), page[8191]), (8192, 0));
    /// ```
    #[inline]
    #[track_caller]
    pub fn acquire(&self, min_size: usize) -> PooledBuffer {
        self.open.acquire(min_size)
    }

    /// Returns a buffer of `len` visible bytes, all zero under every [`Zeroing`](crate::Zeroing). **Blocks the thread** like
    /// [`BufferPool::acquire`]. *O*(1), and *O*(dirty bytes) for the zeroing.
    ///
    /// # Panics
    ///
    /// Like [`BufferPool::acquire`].
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = slab_pool::BufferPool::default();
    /// assert_eq!(*pool.acquire_zeroed(5), [0; 5]);
    /// ```
    #[inline]
    #[track_caller]
    pub fn acquire_zeroed(&self, len: usize) -> PooledBuffer {
        self.open.acquire_zeroed(len)
    }

    /// Returns an empty buffer with room for `capacity` bytes, to append to. **Blocks the thread** like
    /// [`BufferPool::acquire`]. Nothing is zeroed, unless the pool has [`Zeroing::Always`](crate::Zeroing::Always).
    ///
    /// # Panics
    ///
    /// Like [`BufferPool::acquire`].
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = slab_pool::BufferPool::default();
    /// let mut message = pool.acquire_for_write(1000);
    /// message.extend_from_slice(b"hello")?;
    /// assert_eq!((&*message, message.capacity()), (&b"hello"[..], 4096));
    /// # Ok::<(), slab_pool::PoolError>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn acquire_for_write(&self, capacity: usize) -> PooledBuffer {
        self.open.acquire_for_write(capacity)
    }

    /// Returns a buffer like [`BufferPool::acquire`], but never blocks and never panics.
    ///
    /// # Errors
    ///
    /// [`PoolError::WouldWait`] if the limit of outstanding bytes is reached or other requests wait;
    /// [`PoolError::TooLarge`], [`PoolError::Oversize`], [`PoolError::ExceedsLimit`] or [`PoolError::OutOfMemory`] if waiting
    /// would not help.
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
        self.open.request(min_size, Patience::None).map(|buffer| self.open.whole(buffer))
    }

    /// Returns an empty buffer like [`BufferPool::acquire_for_write`], but never blocks and never panics.
    ///
    /// # Errors
    ///
    /// Those of [`BufferPool::try_acquire`].
    #[track_caller]
    pub fn try_acquire_for_write(&self, capacity: usize) -> Result<PooledBuffer, PoolError> {
        self.open.request(capacity, Patience::None).map(|buffer| self.open.empty(buffer))
    }

    /// Returns a buffer like [`BufferPool::acquire`], but blocks for `timeout` at most. Requests are served in order of arrival.
    ///
    /// # Errors
    ///
    /// [`PoolError::TimedOut`], or those of [`BufferPool::try_acquire`] except `WouldWait`.
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
        let patience = Patience::Timeout(timeout);
        self.open.request(min_size, patience).map(|buffer| self.open.whole(buffer))
    }

    /// Returns a future of what [`BufferPool::acquire`] returns. It needs no runtime and blocks no thread. It enters the queue when it
    /// is first polled, and is served in order of arrival with the other requests. Dropping it loses nothing. [`AcquireFuture`] describes
    /// what wakers may do.
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
    pub fn acquire_async(&self, min_size: usize) -> AcquireFuture {
        AcquireFuture::new(&self.open, min_size, Contents::Whole)
    }

    /// Returns a future of what [`BufferPool::acquire_for_write`] returns. Otherwise it is like
    /// [`BufferPool::acquire_async`].
    ///
    /// # Examples
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let pool = slab_pool::BufferPool::default();
    /// let mut message = pool.acquire_async_for_write(1000).await?;
    /// message.extend_from_slice(b"hello")?;
    /// assert_eq!(&*message, b"hello");
    /// # Ok::<(), slab_pool::PoolError>(())
    /// # })?;
    /// # Ok::<(), slab_pool::PoolError>(())
    /// ```
    #[track_caller]
    pub fn acquire_async_for_write(&self, capacity: usize) -> AcquireFuture {
        AcquireFuture::new(&self.open, capacity, Contents::Empty)
    }

    /// Gives a buffer back, as dropping it does. It returns to the pool that it came from.
    #[inline]
    pub fn release(&self, buffer: PooledBuffer) {
        drop(buffer);
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool")
            .field("id", &self.open.core.key.number())
            .field("classes", &self.class_sizes())
            .finish_non_exhaustive()
    }
}
