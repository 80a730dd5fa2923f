//! Reading and writing at a position of a buffer.

use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::pooled::PooledBuffer;

/// Reads and writes the visible bytes of a buffer, and marks only what it writes as dirty; see
/// [`PooledBuffer::cursor`].
///
/// # Examples
///
/// ```
/// use std::io::{Seek, Write};
/// use slab_pool::BufferPool;
///
/// let pool = BufferPool::default();
/// let mut page = pool.acquire(64 << 10);
/// let mut cursor = page.cursor();
/// cursor.write_all(b"magic")?;
/// assert_eq!(cursor.stream_position()?, 5);
/// assert_eq!((page.len(), page.dirty_len()), (64 << 10, 5));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Cursor<'a> {
    buffer: &'a mut PooledBuffer,
    /// May be beyond the length, as after any seek.
    position: u64,
}

impl PooledBuffer {
    /// Returns a [`Read`], [`Write`] and [`Seek`] over the visible bytes, at the first one.
    pub fn cursor(&mut self) -> Cursor<'_> {
        Cursor { buffer: self, position: 0 }
    }
}

impl Cursor<'_> {
    /// Returns where the next byte is read or written.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Returns the position as an index of the visible bytes, or their number if it is beyond.
    fn index(&self) -> usize {
        let len = self.buffer.len();
        usize::try_from(self.position).map_or(len, |position| position.min(len))
    }
}

impl Read for Cursor<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let remaining = &self.buffer[self.index()..];
        let count = remaining.len().min(target.len());
        target[..count].copy_from_slice(&remaining[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Write for Cursor<'_> {
    /// Writes as much as there is room for, 0 bytes at the end.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let start = self.index();
        let count = bytes.len().min(self.buffer.len() - start);
        self.buffer.write_at(start, &bytes[..count])?;
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Cursor<'_> {
    fn seek(&mut self, target: SeekFrom) -> io::Result<u64> {
        let position = match target {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => (self.buffer.len() as u64).checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        let before_start =
            || io::Error::new(io::ErrorKind::InvalidInput, "a seek before the start");
        self.position = position.ok_or_else(before_start)?;
        Ok(self.position)
    }
}
