//! The handle of a buffer that one owner reads and writes.

use std::fmt;
use std::io::{self, Read, Write};
use std::ops::{Deref, DerefMut};
use std::panic::Location;

use crate::core::PoolBuffer;
use crate::error::PoolError;
use crate::obtain::obtain_empty;
use crate::owner::Owned;

/// A byte buffer from a [`BufferPool`](crate::BufferPool), one pointer wide. Dropping it, on any thread and at any time, releases
/// it to its pool.
///
/// Its *length* is the number of visible bytes, its *capacity* the size of its class. It records how many of its first bytes
/// are *dirty*, that is, may be other than zero: [`write_at`](Self::write_at), [`cursor`](Self::cursor) and the appending
/// methods mark what they write, while a mutable slice marks all of itself. The next acquire zeroes what was marked, and no
/// more.
///
/// # Examples
///
/// ```
/// use std::io::Write;
/// use slab_pool::BufferPool;
///
/// let pool = BufferPool::default();
/// let mut response = pool.acquire_for_write(512);
/// write!(response, "HTTP/1.1 {} {}\r\n", 200, "OK")?;
/// assert_eq!(&response[..8], b"HTTP/1.1");
/// assert_eq!((response.len(), response.capacity()), (17, 4096));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// A buffer cannot be released twice, nor used afterwards; this does not compile:
///
/// ```compile_fail,E0382
/// # let pool = slab_pool::BufferPool::default();
/// let buffer = pool.acquire(512);
/// pool.release(buffer);
/// pool.release(buffer);
/// ```
///
/// ```compile_fail,E0505
/// # let pool = slab_pool::BufferPool::default();
/// let buffer = pool.acquire(512);
/// let bytes = buffer.as_slice();
/// pool.release(buffer);
/// assert_eq!(bytes.len(), 4096);
/// ```
pub struct PooledBuffer {
    owned: Owned,
}

impl PooledBuffer {
    #[inline(always)]
    pub(crate) fn new(buffer: Box<PoolBuffer>) -> Self {
        Self { owned: Owned::new(buffer) }
    }

    #[inline(always)]
    fn buffer(&self) -> &PoolBuffer {
        self.owned.get()
    }

    #[inline(always)]
    pub(crate) fn buffer_mut(&mut self) -> &mut PoolBuffer {
        self.owned.get_mut()
    }

    /// Returns the number of visible bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.buffer().len()
    }

    /// Returns whether no byte is visible.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the size of the buffer's memory: that of its class, if it has one.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.buffer().capacity()
    }

    /// Returns the alignment of the first byte.
    pub fn alignment(&self) -> usize {
        self.buffer().alignment()
    }

    /// Returns how many of the first bytes may be other than zero.
    pub fn dirty_len(&self) -> usize {
        self.buffer().dirty()
    }

    /// Returns the index of the buffer in the pool's [arena](crate::Arena); `None` if it does not lie in it.
    #[cfg(all(feature = "arena", unix))]
    #[inline(always)]
    pub fn arena_index(&self) -> Option<u16> {
        self.buffer().arena_index()
    }

    /// Returns the visible bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        self.buffer().as_slice()
    }

    /// Returns the visible bytes, and marks all of them as dirty; [`PooledBuffer::write_at`] marks less.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.buffer_mut().as_mut_slice()
    }

    // Writing.

    /// Writes bytes over visible ones. *O*(bytes).
    ///
    /// # Errors
    ///
    /// [`PoolError::OutOfBounds`] if they go beyond the length. Nothing is written.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = slab_pool::BufferPool::default();
    /// let mut page = pool.acquire(1);
    /// page.write_at(10, b"entry")?;
    /// assert_eq!((&page[9..16], page.dirty_len()), (&b"\0entry\0"[..], 15));
    /// assert!(page.write_at(4095, b"entry").is_err());
    /// # Ok::<(), slab_pool::PoolError>(())
    /// ```
    #[inline]
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) -> Result<(), PoolError> {
        let len = self.len();
        let end = offset.saturating_add(bytes.len());
        match self.buffer_mut().visible_mut(offset, end) {
            Some(target) if target.len() == bytes.len() => {
                target.copy_from_slice(bytes);
                Ok(())
            }
            _ => Err(PoolError::OutOfBounds { offset, count: bytes.len(), len }),
        }
    }

    // Changing the length.

    /// Sets the length. Bytes that become visible are `value`. Beyond the capacity, the contents move to a buffer of a
    /// larger class, and the present one is released. *O*(added bytes), or *O*(new length) if they move.
    ///
    /// # Panics
    ///
    /// If the contents must move and there is no larger buffer; [`PooledBuffer::try_resize`] returns an error instead.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = slab_pool::BufferPool::default();
    /// let mut buffer = pool.acquire(1);
    /// buffer.resize(5000, b'x');
    /// assert_eq!((buffer.capacity(), buffer[4095], buffer[4096]), (8192, 0, b'x'));
    /// ```
    #[track_caller]
    pub fn resize(&mut self, new_len: usize, value: u8) {
        if let Err(error) = self.try_resize(new_len, value) {
            panic!("no larger buffer: {error}");
        }
    }

    /// Sets the length like [`PooledBuffer::resize`]. Never blocks.
    ///
    /// # Errors
    ///
    /// Those of [`BufferPool::try_acquire`](crate::BufferPool::try_acquire); the buffer is unchanged.
    #[track_caller]
    pub fn try_resize(&mut self, new_len: usize, value: u8) -> Result<(), PoolError> {
        self.reserve_total(new_len)?;
        let buffer = self.buffer_mut();
        let len = buffer.len();
        if len < new_len {
            buffer.fill(len, new_len, value);
        }
        buffer.set_len(new_len);
        Ok(())
    }

    /// Sets the length to zero. *O*(1).
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Reduces the length to `len`, if it is greater. *O*(1).
    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            self.buffer_mut().set_len(len);
        }
    }

    /// Appends bytes. Beyond the capacity, the contents move to a larger buffer. Never blocks. *O*(bytes), amortised.
    ///
    /// # Errors
    ///
    /// Those of [`PooledBuffer::try_resize`]; nothing is appended.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = slab_pool::BufferPool::default();
    /// let mut buffer = pool.acquire_for_write(1);
    /// for _ in 0..10 {
    ///     buffer.extend_from_slice(&[1; 1000])?;
    /// }
    /// assert_eq!((buffer.len(), buffer.capacity()), (10_000, 16 << 10));
    /// # Ok::<(), slab_pool::PoolError>(())
    /// ```
    #[track_caller]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> Result<(), PoolError> {
        self.reserve(bytes.len())?;
        self.buffer_mut().append(bytes);
        Ok(())
    }

    /// Reads once, and appends up to `max` bytes, but not beyond the capacity. Returns how many bytes it appended: 0 at the end of
    /// the input. **A full buffer returns 0 as well**: compare [`len`](Self::len) with [`capacity`](Self::capacity) before the
    /// call. All bytes that the reader was offered count as dirty.
    ///
    /// # Errors
    ///
    /// The reader's; or `InvalidData`, with both numbers, if the reader reports more bytes than it was offered. The length is
    /// then unchanged, and so it is after a panic of the reader.
    ///
    /// If a reader reports more bytes than it wrote, zeroes become visible under
    /// [`Zeroing::Always`](crate::Zeroing::Always), and under the others possibly bytes that were written before.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = slab_pool::BufferPool::default();
    /// let mut input = &b"some input"[..];
    /// let mut buffer = pool.acquire_for_write(4096);
    /// while buffer.read_from(&mut input, 4)? > 0 {}
    /// assert_eq!(&*buffer, b"some input");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read_from(&mut self, reader: &mut impl Read, max: usize) -> io::Result<usize> {
        let buffer = self.buffer_mut();
        let len = buffer.len();
        let end = len.saturating_add(max).min(buffer.capacity());
        let count = reader.read(buffer.range_mut(len, end))?;
        let offered = end - len;
        if count > offered {
            let message = format!("the reader reports {count} bytes read into {offered}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        buffer.set_len(len + count);
        Ok(count)
    }

    /// Writes all visible bytes.
    ///
    /// # Errors
    ///
    /// The writer's.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = slab_pool::BufferPool::default();
    /// let mut output = Vec::new();
    /// pool.acquire_zeroed(3).write_to(&mut output)?;
    /// assert_eq!(output, [0; 3]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn write_to(&self, writer: &mut impl Write) -> io::Result<()> {
        writer.write_all(self)
    }

    /// Makes room for `more` bytes behind the visible ones. The capacity at least doubles, if there is memory for that.
    #[track_caller]
    fn reserve(&mut self, more: usize) -> Result<(), PoolError> {
        let capacity = self.capacity();
        let needed = self.len().checked_add(more);
        let needed = needed.ok_or(PoolError::TooLarge { bytes: usize::MAX, alignment: 1 })?;
        if needed <= capacity {
            return Ok(());
        }
        let doubled = needed.max(capacity.saturating_mul(2));
        self.reserve_total(doubled).or_else(|_| self.reserve_total(needed))
    }

    /// Moves the contents to a buffer of at least this capacity, if the present one has less.
    #[track_caller]
    fn reserve_total(&mut self, capacity: usize) -> Result<(), PoolError> {
        if capacity <= self.capacity() {
            return Ok(());
        }
        let core = &self.buffer().pool;
        let plan = core.plan(capacity)?;
        core.try_enter(plan)?;
        let mut larger = obtain_empty(core, plan, Location::caller())?;
        larger.append(self.as_slice());
        drop(Self::new(self.owned.replace(larger)));
        Ok(())
    }

    /// Returns the buffer without releasing it.
    pub(crate) fn into_inner(self) -> Box<PoolBuffer> {
        self.owned.into_inner()
    }
}

impl Deref for PooledBuffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl DerefMut for PooledBuffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        self.as_mut_slice()
    }
}

impl AsRef<[u8]> for PooledBuffer {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsMut<[u8]> for PooledBuffer {
    #[inline]
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

/// Appends, like a `Vec<u8>`, and moves to a larger buffer when one is full. Errors are those of
/// [`PooledBuffer::extend_from_slice`], as [`io::Error`].
impl Write for PooledBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend_from_slice(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for PooledBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledBuffer")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}
