//! `bytes::BufMut` for buffers, an unsafe trait.

use bytes::BufMut;
use bytes::buf::UninitSlice;

use crate::PooledBuffer;

/// Appends up to the capacity. `BufMut` has no way to refuse, so these methods never move the contents to a larger buffer:
/// `put_slice`, `put_bytes` and the methods that stand on them panic, with both numbers, if there is less room than
/// [`remaining_mut`](BufMut::remaining_mut). [`PooledBuffer::extend_from_slice`] and [`Write`](std::io::Write) move
/// the contents, or return an error.
// SAFETY: `chunk_mut` is what `remaining_mut` counts: the bytes from the length to the capacity, which
// are this buffer's alone; `advance_mut` moves the length over some of them, and checks.
unsafe impl BufMut for PooledBuffer {
    /// Returns how much can be appended: a buffer does not grow by itself here.
    #[inline]
    fn remaining_mut(&self) -> usize {
        self.capacity() - self.len()
    }

    #[inline]
    unsafe fn advance_mut(&mut self, count: usize) {
        let buffer = self.buffer_mut();
        let len = buffer.len();
        assert!(count <= buffer.capacity() - len, "advanced by {count} bytes beyond the capacity");
        // The memory was initialised before, too: the caller's promise is more than is needed.
        buffer.mark_dirty(len + count);
        buffer.set_len(len + count);
    }

    /// Returns the rest of the buffer. All of it counts as dirty from now on: what is written there and
    /// never advanced over must not show up in somebody's zeroed buffer. The `put` methods mark only
    /// what they write.
    #[inline]
    fn chunk_mut(&mut self) -> &mut UninitSlice {
        let buffer = self.buffer_mut();
        let (len, capacity) = (buffer.len(), buffer.capacity());
        buffer.mark_dirty(capacity);
        // SAFETY: the length is at most the capacity, so this is inside the block, or its end.
        let spare = unsafe { buffer.start().add(len) };
        // SAFETY: so many bytes follow in the block, and it is borrowed mutably for as long. Whoever
        // writes through an `UninitSlice` writes bytes; uninitialising some takes unsafe code.
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
