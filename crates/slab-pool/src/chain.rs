//! A sequence of shared buffers that is read, written and split as one.

use std::collections::VecDeque;
use std::collections::vec_deque;
use std::fmt;
use std::io::{self, BufRead, IoSlice, Read, Write};

use crate::pooled::PooledBuffer;
use crate::shared::SharedBuffer;

/// Slices that one call of a writer gets at most. Systems take 1024; more than this many rarely saves a call.
const SLICES_MAX: usize = 64;

/// Parts of buffers, read and written in turn without copying them together: a message in several buffers, or a header
/// before a body.
///
/// [`chunks_vectored`](Self::chunks_vectored) returns the parts for a vectored write, and [`write_to`](Self::write_to) does
/// such writes. With the feature `bytes` a chain is a `bytes::Buf`.
///
/// # Examples
///
/// ```
/// use slab_pool::{BufferChain, BufferPool};
///
/// let pool = BufferPool::default();
/// let mut header = pool.acquire_for_write(64);
/// header.extend_from_slice(b"5 bytes:")?;
/// let mut body = pool.acquire_for_write(4096);
/// body.extend_from_slice(b"hello")?;
///
/// let mut message = BufferChain::from_iter([header, body]);
/// let mut output = Vec::new();
/// message.write_to(&mut output)?;
/// assert_eq!(output, b"5 bytes:hello");
/// assert!(message.is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Invariants
///
/// - **N1 (parts)**: no part is empty, and `len` is the sum of their lengths.
#[derive(Clone, Default)]
pub struct BufferChain {
    parts: VecDeque<SharedBuffer>,
    len: usize,
}

impl BufferChain {
    /// Returns a chain without bytes. Allocates nothing.
    pub const fn new() -> Self {
        Self { parts: VecDeque::new(), len: 0 }
    }

    /// Returns the number of bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the parts in their order. None is empty.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = &SharedBuffer> {
        self.parts.iter()
    }

    /// Returns the first part; nothing if the chain is empty.
    #[inline]
    pub fn first_chunk(&self) -> &[u8] {
        self.parts.front().map_or(&[], |part| part.as_slice())
    }

    /// Appends bytes. A part that follows the last one in the same buffer is joined with it. Amortised *O*(1).
    ///
    /// # Panics
    ///
    /// If the chain would have more than `usize::MAX` bytes.
    #[inline]
    pub fn push(&mut self, part: impl Into<SharedBuffer>) {
        let part = part.into();
        if part.is_empty() {
            return;
        }
        let len = self.len.checked_add(part.len());
        self.len = len.expect("a chain has at most `usize::MAX` bytes");
        match self.parts.back_mut() {
            Some(last) if last.is_before(&part) => last.extend_over(part),
            _ => self.parts.push_back(part),
        }
    }

    /// Drops the first `count` bytes. Buffers without another owner return to their pool. *O*(dropped parts).
    ///
    /// # Panics
    ///
    /// If the chain has fewer bytes.
    #[inline]
    #[track_caller]
    pub fn advance(&mut self, mut count: usize) {
        assert!(count <= self.len, "advanced by {count} of {} bytes", self.len);
        self.len -= count;
        while let Some(first) = self.parts.front_mut()
            && count > 0
        {
            if count < first.len() {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.parts.pop_front();
        }
    }

    /// Splits the bytes in two without copying: returns the first `at`, and keeps the others. *O*(parts before `at`).
    ///
    /// # Panics
    ///
    /// If `at` is greater than the length.
    #[must_use = "use `advance` to skip bytes"]
    #[track_caller]
    pub fn split_to(&mut self, at: usize) -> Self {
        assert!(at <= self.len, "a split at {at} of {} bytes", self.len);
        let mut head = Self::new();
        while head.len < at {
            let Some(mut first) = self.parts.pop_front() else { break };
            if first.len() > at - head.len {
                let part = first.split_to(at - head.len);
                self.parts.push_front(first);
                first = part;
            }
            self.len -= first.len();
            head.len += first.len();
            head.parts.push_back(first);
        }
        head
    }

    /// Splits the bytes in two without copying: keeps the first `at`, and returns the others. *O*(parts before `at`).
    ///
    /// # Panics
    ///
    /// If `at` is greater than the length.
    #[must_use = "use `truncate` to discard the bytes behind a position"]
    #[track_caller]
    pub fn split_off(&mut self, at: usize) -> Self {
        let head = self.split_to(at);
        std::mem::replace(self, head)
    }

    /// Drops the bytes behind the first `len`. Does nothing if there are none.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len {
            drop(self.split_off(len));
        }
    }

    /// Drops all bytes.
    pub fn clear(&mut self) {
        self.parts.clear();
        self.len = 0;
    }

    /// Returns the bytes as one part, if the chain is a single part.
    ///
    /// # Errors
    ///
    /// The chain, if it has several parts or none.
    pub fn try_into_shared(mut self) -> Result<SharedBuffer, Self> {
        match self.parts.pop_front() {
            Some(part) if self.parts.is_empty() => Ok(part),
            Some(part) => {
                self.parts.push_front(part);
                Err(self)
            }
            None => Err(self),
        }
    }

    /// Fills `slices` with the first parts, for a vectored write, and returns how many it filled.
    #[inline]
    pub fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for (slice, part) in slices.iter_mut().zip(&self.parts) {
            *slice = IoSlice::new(part);
            filled += 1;
        }
        filled
    }

    /// Writes all bytes by vectored writes, and drops what was written.
    ///
    /// # Errors
    ///
    /// The writer's, or `WriteZero` if it takes no more bytes. The chain has the bytes that were not written. If the writer
    /// reports more bytes than it was given: `InvalidData`, with both numbers.
    pub fn write_to(&mut self, writer: &mut impl Write) -> io::Result<()> {
        while !self.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = self.chunks_vectored(&mut slices);
            let offered: usize = slices[..count].iter().map(|slice| slice.len()).sum();
            match writer.write_vectored(&slices[..count]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) if written > offered => {
                    let message =
                        format!("the writer reports {written} bytes written of {offered}");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, message));
                }
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Reads from the start, and drops what was read.
impl Read for BufferChain {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while read < target.len() && !self.is_empty() {
            let chunk = self.first_chunk();
            let count = chunk.len().min(target.len() - read);
            target[read..read + count].copy_from_slice(&chunk[..count]);
            self.advance(count);
            read += count;
        }
        Ok(read)
    }
}

impl BufRead for BufferChain {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.first_chunk())
    }

    fn consume(&mut self, count: usize) {
        self.advance(count);
    }
}

/// Reads from the start, and drops what was read.
#[cfg(feature = "bytes")]
impl bytes::Buf for BufferChain {
    #[inline]
    fn remaining(&self) -> usize {
        self.len
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        self.first_chunk()
    }

    #[inline]
    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.chunks_vectored(slices)
    }

    #[inline]
    fn advance(&mut self, count: usize) {
        self.advance(count);
    }

    /// Splits bytes off: without copying them if they lie in one part, else by one copy.
    ///
    /// # Panics
    ///
    /// If fewer than `len` bytes remain.
    fn copy_to_bytes(&mut self, len: usize) -> bytes::Bytes {
        match self.split_to(len).try_into_shared() {
            Ok(part) => part.into(),
            Err(several) => {
                let mut copy = Vec::with_capacity(len);
                several.parts().for_each(|part| copy.extend_from_slice(part));
                copy.into()
            }
        }
    }
}

impl<B: Into<SharedBuffer>> Extend<B> for BufferChain {
    fn extend<I: IntoIterator<Item = B>>(&mut self, parts: I) {
        let parts = parts.into_iter();
        self.parts.reserve(parts.size_hint().0);
        parts.for_each(|part| self.push(part));
    }
}

impl<B: Into<SharedBuffer>> FromIterator<B> for BufferChain {
    fn from_iter<I: IntoIterator<Item = B>>(parts: I) -> Self {
        let mut chain = Self::new();
        chain.extend(parts);
        chain
    }
}

impl From<SharedBuffer> for BufferChain {
    fn from(part: SharedBuffer) -> Self {
        Self::from_iter([part])
    }
}

impl From<PooledBuffer> for BufferChain {
    fn from(buffer: PooledBuffer) -> Self {
        Self::from_iter([buffer])
    }
}

impl IntoIterator for BufferChain {
    type Item = SharedBuffer;
    type IntoIter = vec_deque::IntoIter<SharedBuffer>;

    fn into_iter(self) -> Self::IntoIter {
        self.parts.into_iter()
    }
}

impl fmt::Debug for BufferChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferChain")
            .field("len", &self.len)
            .field("parts", &self.parts.len())
            .finish_non_exhaustive()
    }
}
