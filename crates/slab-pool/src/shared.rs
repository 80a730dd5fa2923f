//! The handle of a buffer that many read.

use std::fmt;
use std::ops::{Bound, Deref, RangeBounds};

use crate::pooled::PooledBuffer;
use crate::raw::Shared;

/// A part of a buffer that is only read: cheap to clone and to slice. When the last one is dropped, the buffer returns
/// to its pool.
///
/// # Examples
///
/// ```
/// use slab_pool::BufferPool;
///
/// let pool = BufferPool::new(16);
/// let mut buffer = pool.acquire_for_write(4096);
/// buffer.extend_from_slice(b"head|body")?;
/// let whole = buffer.freeze();
/// let body = whole.slice(5..);
/// assert_eq!(&*body, b"body");
///
/// let whole = whole.try_mut().expect_err("the body is still read");
/// drop(body);
/// let mut buffer = whole.try_mut().expect("nobody else");
/// buffer.clear();
/// # Ok::<(), slab_pool::PoolError>(())
/// ```
#[derive(Clone)]
pub struct SharedBuffer {
    shared: Shared,
    start: usize,
    len: usize,
}

impl SharedBuffer {
    pub(crate) fn new(shared: Shared) -> Self {
        let len = shared.get().len();
        Self { shared, start: 0, len }
    }

    /// Returns the number of bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.shared.get().as_slice()[self.start..self.start + self.len]
    }

    /// Returns a part of this part. *O*(1), unless the pool [copies](crate::BufferPoolBuilder::copy_out_max) slices that
    /// short. An empty slice takes no buffer from the pool: it is one more reader of this one, as any slice that is not
    /// copied.
    ///
    /// # Panics
    ///
    /// If the range ends before it begins, or beyond the length.
    #[track_caller]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&start) => start.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&end) => end.saturating_add(1),
            Bound::Excluded(&end) => end,
            Bound::Unbounded => self.len,
        };
        assert!(start <= end, "a slice from {start} to {end}");
        assert!(end <= self.len, "a slice to {end} of {} bytes", self.len);
        let len = end - start;
        let copied = (len > 0 && len <= self.shared.get().core.config.copy_out_max)
            .then(|| self.copy_out(start, len))
            .flatten();
        copied.unwrap_or_else(|| Self {
            shared: self.shared.clone(),
            start: self.start + start,
            len,
        })
    }

    /// Returns the same bytes in a buffer of their own, of the smallest class that holds them; `None` if that
    /// would be no smaller than this one, or is not to be had at once. For keeping a small part for long without
    /// keeping a large buffer. *O*(bytes).
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = slab_pool::BufferPool::new(16);
    /// let page = pool.acquire(1 << 20).freeze();
    /// let key = page.slice(..100).detached().expect("a smaller class");
    /// drop(page);
    /// assert_eq!((key.len(), pool.idle(8)), (100, 1));
    /// ```
    #[track_caller]
    pub fn detached(&self) -> Option<Self> {
        self.copy_out(0, self.len)
    }

    #[track_caller]
    fn copy_out(&self, start: usize, len: usize) -> Option<Self> {
        let buffer = self.shared.get();
        let core = &buffer.core;
        let plan = core.plan(len).ok().filter(|plan| plan.bytes < buffer.capacity())?;
        core.try_enter(plan).ok()?;
        let mut copy = core.obtain_empty(plan, std::panic::Location::caller()).ok()?;
        copy.append(&self.as_slice()[start..start + len]);
        Some(PooledBuffer::new(copy).freeze())
    }

    /// Returns the whole buffer, as it was before it was frozen, to be written to again.
    ///
    /// # Errors
    ///
    /// Itself, if there are others. Of several that ask at once, none may be the only one.
    pub fn try_mut(self) -> Result<PooledBuffer, Self> {
        let Self { shared, start, len } = self;
        match shared.into_unique() {
            Ok(buffer) => Ok(PooledBuffer::new(buffer)),
            Err(shared) => Err(Self { shared, start, len }),
        }
    }
}

impl Deref for SharedBuffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AsRef<[u8]> for SharedBuffer {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<PooledBuffer> for SharedBuffer {
    fn from(buffer: PooledBuffer) -> Self {
        buffer.freeze()
    }
}

/// The buffer returns to its pool when the last `Bytes` of it is gone. One small allocation; there is no way
/// back.
#[cfg(feature = "bytes")]
impl From<SharedBuffer> for bytes::Bytes {
    fn from(buffer: SharedBuffer) -> Self {
        Self::from_owner(buffer)
    }
}

/// As for [`SharedBuffer`].
#[cfg(feature = "bytes")]
impl From<PooledBuffer> for bytes::Bytes {
    fn from(buffer: PooledBuffer) -> Self {
        buffer.freeze().into()
    }
}

impl fmt::Debug for SharedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBuffer")
            .field("len", &self.len)
            .field("capacity", &self.shared.get().capacity())
            .finish_non_exhaustive()
    }
}
