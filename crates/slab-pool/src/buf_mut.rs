//! `bytes::BufMut` for buffers.
#![expect(unsafe_code, reason = "an unsafe trait of another crate")]

use bytes::BufMut;
use bytes::buf::UninitSlice;

use crate::pooled::PooledBuffer;

/// Appends up to the capacity. `BufMut` has no way to refuse, so these methods never move the contents to a larger buffer:
/// `put_slice`, `put_bytes` and the methods that are built on them panic, with both numbers, if there is less room than
/// [`remaining_mut`](BufMut::remaining_mut). [`PooledBuffer::extend_from_slice`] and [`Write`](std::io::Write) move
/// the contents, or return an error.
///
/// # Reading into a full buffer looks like the end of the input
///
/// `read_buf` of tokio's `AsyncReadExt` reads as many bytes as there is room for. If there is no room it returns `Ok(0)`, which
/// a loop takes for the end of the file or the connection. Check [`has_remaining_mut`](BufMut::has_remaining_mut) before each
/// call, and make room: process the bytes and [`clear`](PooledBuffer::clear) the buffer, or acquire a larger one.
// SAFETY: `chunk_mut` returns what `remaining_mut` counts: the bytes from the length to the capacity, which belong to this
// buffer alone. `advance_mut` moves the length over some of them, and panics if there are too few.
unsafe impl BufMut for PooledBuffer {
    /// Returns how many bytes can be appended: the buffer does not grow here.
    #[inline]
    fn remaining_mut(&self) -> usize {
        self.capacity() - self.len()
    }

    #[inline]
    unsafe fn advance_mut(&mut self, count: usize) {
        let buffer = self.buffer_mut();
        let len = buffer.len();
        assert!(count <= buffer.capacity() - len, "advanced by {count} bytes beyond the capacity");
        // The memory is always initialised, so this does not rely on the caller having written it.
        buffer.mark_dirty(len + count);
        buffer.set_len(len + count);
    }

    /// Returns the bytes behind the length. All of them count as dirty from now on: what is written there, and
    /// never advanced over, must not appear in a zeroed buffer later. The `put` methods mark only what they write.
    #[inline]
    fn chunk_mut(&mut self) -> &mut UninitSlice {
        let buffer = self.buffer_mut();
        let (len, capacity) = (buffer.len(), buffer.capacity());
        buffer.mark_dirty(capacity);
        // SAFETY: the length is at most the capacity, so the result is inside the block, or its end.
        let spare = unsafe { buffer.start().add(len) };
        // SAFETY: `capacity - len` bytes follow in the block, and it is borrowed mutably for as long as the result. Safe
        // writers of an `UninitSlice` write initialised bytes.
        unsafe { UninitSlice::from_raw_parts_mut(spare.as_ptr(), capacity - len) }
    }

    #[inline]
    fn put_slice(&mut self, bytes: &[u8]) {
        let (count, room) = (bytes.len(), self.remaining_mut());
        assert!(count <= room, "{count} bytes do not fit into {room}");
        self.buffer_mut().append(bytes);
    }

    #[inline]
    fn put_bytes(&mut self, value: u8, count: usize) {
        let room = self.remaining_mut();
        assert!(count <= room, "{count} bytes do not fit into {room}");
        let buffer = self.buffer_mut();
        let len = buffer.len();
        buffer.fill(len, len + count, value);
        buffer.set_len(len + count);
    }
}
