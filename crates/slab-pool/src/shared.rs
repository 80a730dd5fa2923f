//! The handle of a buffer that several owners read.

use std::borrow::Borrow;
use std::cmp;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Bound, Deref, RangeBounds};

use crate::obtain::obtain_empty;
use crate::owner::Part;
use crate::pooled::PooledBuffer;

/// A part of a buffer that is only read: cheap to clone, to slice and to split. When the last part is dropped, the buffer
/// returns to its pool.
///
/// Equality, order and hash are those of the bytes.
///
/// # Examples
///
/// ```
/// use slab_pool::BufferPool;
///
/// let pool = BufferPool::default();
/// let mut buffer = pool.acquire_for_write(4096);
/// buffer.extend_from_slice(b"head|body")?;
/// let whole = buffer.freeze();
/// let body = whole.slice(5..);
/// assert_eq!(&*body, b"body");
///
/// let whole = whole.try_mut().expect_err("the body is another part");
/// drop(body);
/// let mut buffer = whole.try_mut().expect("the last part");
/// buffer.clear();
/// # Ok::<(), slab_pool::PoolError>(())
/// ```
#[derive(Clone)]
pub struct SharedBuffer {
    part: Part,
}

impl PooledBuffer {
    /// Makes the buffer shareable: cheap to clone and to slice, and writable again when a single owner is left. No
    /// allocation, no copy. *O*(1).
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = slab_pool::BufferPool::default();
    /// let page = pool.acquire(1).freeze();
    /// let (head, tail) = (page.slice(..100), page.slice(100..));
    /// assert_eq!(head.len() + tail.len(), page.len());
    /// ```
    #[inline]
    pub fn freeze(self) -> SharedBuffer {
        SharedBuffer { part: Part::whole(self.into_inner()) }
    }
}

impl SharedBuffer {
    /// Returns the number of bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.part.len()
    }

    /// Returns whether the part has no bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the index of the buffer in the pool's [arena](crate::Arena); `None` if it does not lie in it.
    #[cfg(all(feature = "arena", unix))]
    #[inline(always)]
    pub fn arena_index(&self) -> Option<u16> {
        self.part.buffer().arena_index()
    }

    /// Returns the bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        self.part.as_slice()
    }

    /// Returns a part of this part. *O*(1), unless the pool [copies](crate::BufferPoolBuilder::copy_out_max) slices as
    /// short as this. An empty slice is never copied.
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
            Bound::Unbounded => self.len(),
        };
        let copy_out_max = self.part.buffer().pool.settings.copy_out_max;
        if copy_out_max > 0
            && let Some(copy) = self.short_copy(start, end, copy_out_max)
        {
            return copy;
        }
        Self { part: self.part.slice(start, end) }
    }

    /// Returns a copy of a slice, if it is short and there is a smaller buffer for it.
    #[cold]
    #[track_caller]
    fn short_copy(&self, start: usize, end: usize, copy_out_max: usize) -> Option<Self> {
        let len = end.checked_sub(start).filter(|&len| len > 0 && len <= copy_out_max)?;
        (end <= self.len()).then(|| self.copy_out(start, len))?
    }

    /// Splits the bytes in two without copying: returns the first `at`, and keeps the others. Both read the same buffer.
    /// *O*(1).
    ///
    /// # Panics
    ///
    /// If `at` is greater than the length.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = slab_pool::BufferPool::default();
    /// let mut body = pool.acquire_zeroed(100).freeze();
    /// let head = body.split_to(10);
    /// assert_eq!((head.len(), body.len()), (10, 90));
    /// ```
    #[must_use = "use `advance` of `bytes::Buf` or `slice` to skip bytes"]
    #[track_caller]
    pub fn split_to(&mut self, at: usize) -> Self {
        Self { part: self.part.split_to(at) }
    }

    /// Splits the bytes in two without copying: keeps the first `at`, and returns the others. Both read the same buffer.
    /// *O*(1).
    ///
    /// # Panics
    ///
    /// If `at` is greater than the length.
    #[must_use = "use `truncate` to discard the bytes behind a position"]
    #[track_caller]
    pub fn split_off(&mut self, at: usize) -> Self {
        assert!(at <= self.len(), "a split at {at} of {} bytes", self.len());
        let mut tail = self.part.clone();
        tail.advance(at);
        self.part.truncate(at);
        Self { part: tail }
    }

    /// Drops the bytes behind the first `len` from this part. Does nothing if there are none. *O*(1).
    pub fn truncate(&mut self, len: usize) {
        self.part.truncate(len);
    }

    /// Drops the first `count` bytes from this part. *O*(1).
    ///
    /// # Panics
    ///
    /// If the part has fewer bytes.
    #[inline]
    #[track_caller]
    pub fn advance(&mut self, count: usize) {
        self.part.advance(count);
    }

    /// Joins this part with the one that follows it in the same buffer, as after [`split_to`](Self::split_to). *O*(1).
    ///
    /// # Errors
    ///
    /// Both parts, if neither is empty and `next` does not start where this one ends.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = slab_pool::BufferPool::default();
    /// let mut body = pool.acquire_zeroed(100).freeze();
    /// let head = body.split_to(10);
    /// let whole = head.try_unsplit(body).expect("neighbours");
    /// assert!(whole.len() == 100 && whole.try_mut().is_ok());
    /// ```
    pub fn try_unsplit(mut self, next: Self) -> Result<Self, (Self, Self)> {
        if next.is_empty() {
            return Ok(self);
        }
        if self.is_empty() {
            return Ok(next);
        }
        if !self.is_before(&next) {
            return Err((self, next));
        }
        self.extend_over(next);
        Ok(self)
    }

    /// Returns whether `next` starts where this part ends, in the same buffer.
    #[inline]
    pub(crate) fn is_before(&self, next: &Self) -> bool {
        self.part.is_before(&next.part)
    }

    /// Includes the bytes of the part that follows.
    pub(crate) fn extend_over(&mut self, next: Self) {
        self.part.extend_over(next.part);
    }

    /// Copies the bytes into a buffer of the smallest class that holds them, so that a small part that is kept for long does
    /// not keep a large buffer. `None` if that class is not smaller, or there is no such buffer without waiting. *O*(bytes).
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = slab_pool::BufferPool::default();
    /// let page = pool.acquire(1 << 20).freeze();
    /// let key = page.slice(..100).detached().expect("a smaller class");
    /// drop(page);
    /// assert_eq!((key.len(), pool.idle(8)), (100, 1));
    /// ```
    #[track_caller]
    pub fn detached(&self) -> Option<Self> {
        self.copy_out(0, self.len())
    }

    #[track_caller]
    fn copy_out(&self, start: usize, len: usize) -> Option<Self> {
        let buffer = self.part.buffer();
        let core = &buffer.pool;
        let plan = core.plan(len).ok().filter(|plan| plan.bytes < buffer.capacity())?;
        core.try_enter(plan).ok()?;
        let mut copy = obtain_empty(core, plan, std::panic::Location::caller()).ok()?;
        copy.append(&self.as_slice()[start..start + len]);
        Some(PooledBuffer::new(copy).freeze())
    }

    /// Returns the whole buffer for writing, as it was before it was frozen, if this is its last part.
    ///
    /// # Errors
    ///
    /// This part, if there are others. If several threads call this at the same time, it may fail for all of them.
    pub fn try_mut(self) -> Result<PooledBuffer, Self> {
        self.part.into_unique().map(PooledBuffer::new).map_err(|part| Self { part })
    }

    /// Returns a buffer of the bytes of this part alone, if it is the last part of its buffer. *O*(1) if the part is at the
    /// buffer's start, else *O*(length): the bytes move there.
    ///
    /// # Errors
    ///
    /// Those of [`SharedBuffer::try_mut`], which returns the whole buffer instead and moves nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = slab_pool::BufferPool::default();
    /// let mut message = pool.acquire_for_write(4096);
    /// message.extend_from_slice(b"head|body")?;
    /// let body = message.freeze().split_off(5);
    /// let mut body = body.try_into_mut().expect("the last part");
    /// body.extend_from_slice(b"!")?;
    /// assert_eq!(&*body, b"body!");
    /// # Ok::<(), slab_pool::PoolError>(())
    /// ```
    pub fn try_into_mut(self) -> Result<PooledBuffer, Self> {
        let (start, len) = (self.part.offset(), self.len());
        let mut buffer = self.try_mut()?;
        if start > 0 && len > 0 {
            buffer.buffer_mut().range_mut(0, start + len).copy_within(start.., 0);
        }
        buffer.truncate(len);
        Ok(buffer)
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

/// Equality, order and hash are those of the bytes, as [`Borrow`] requires.
impl Borrow<[u8]> for SharedBuffer {
    #[inline]
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl Eq for SharedBuffer {}

/// Compares the bytes with those of any type that has bytes.
impl<B: AsRef<[u8]> + ?Sized> PartialEq<B> for SharedBuffer {
    #[inline]
    fn eq(&self, other: &B) -> bool {
        self.as_slice() == other.as_ref()
    }
}

impl Ord for SharedBuffer {
    fn cmp(&self, other: &Self) -> cmp::Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl PartialOrd for SharedBuffer {
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for SharedBuffer {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

/// Reads from the start: this part no longer contains the bytes that were read. They stay in the buffer.
#[cfg(feature = "bytes")]
impl bytes::Buf for SharedBuffer {
    #[inline]
    fn remaining(&self) -> usize {
        self.part.len()
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        self
    }

    /// Skips bytes.
    ///
    /// # Panics
    ///
    /// If fewer than `count` bytes remain.
    #[inline]
    fn advance(&mut self, count: usize) {
        self.advance(count);
    }

    /// Splits bytes off without copying them.
    ///
    /// # Panics
    ///
    /// If fewer than `len` bytes remain.
    fn copy_to_bytes(&mut self, len: usize) -> bytes::Bytes {
        self.split_to(len).into()
    }
}

impl From<PooledBuffer> for SharedBuffer {
    fn from(buffer: PooledBuffer) -> Self {
        buffer.freeze()
    }
}

/// The buffer returns to its pool when the last `Bytes` of it is dropped. One small allocation. A `Bytes` cannot become a
/// [`SharedBuffer`] again.
#[cfg(feature = "bytes")]
impl From<SharedBuffer> for bytes::Bytes {
    fn from(buffer: SharedBuffer) -> Self {
        Self::from_owner(buffer)
    }
}

/// Freezes the buffer first.
#[cfg(feature = "bytes")]
impl From<PooledBuffer> for bytes::Bytes {
    fn from(buffer: PooledBuffer) -> Self {
        buffer.freeze().into()
    }
}

impl fmt::Debug for SharedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBuffer")
            .field("len", &self.len())
            .field("capacity", &self.part.buffer().capacity())
            .finish_non_exhaustive()
    }
}
