//! The two ways to own a buffer: alone, or counted. Both are one pointer wide, and the last owner releases the buffer. A part is a
//! counted owner that reads some of the bytes.
#![expect(unsafe_code, reason = "a count in the buffer instead of an `Arc`, and a drop by value")]

use std::mem::ManuallyDrop;
use std::process;
use std::ptr::NonNull;
use std::slice;

use crate::core::PoolBuffer;
use crate::release::release;
use crate::sync::Ordering;

/// A buffer's only owner. Dropping it releases the buffer.
///
/// # Invariants
///
/// - **O1 (present)**: `buffer` is taken only by `drop` and `into_inner`, which both end the value.
#[derive(Debug)]
pub struct Owned {
    buffer: ManuallyDrop<Box<PoolBuffer>>,
}

impl Owned {
    #[inline(always)]
    pub fn new(buffer: Box<PoolBuffer>) -> Self {
        Self { buffer: ManuallyDrop::new(buffer) }
    }

    #[inline(always)]
    pub fn get(&self) -> &PoolBuffer {
        &self.buffer
    }

    #[inline(always)]
    pub fn get_mut(&mut self) -> &mut PoolBuffer {
        &mut self.buffer
    }

    /// Returns the buffer without releasing it.
    pub fn into_inner(self) -> Box<PoolBuffer> {
        let mut owned = ManuallyDrop::new(self);
        // SAFETY: the box is still there by O1, and `owned` is neither used again nor dropped.
        unsafe { ManuallyDrop::take(&mut owned.buffer) }
    }

    /// Replaces the buffer, and returns the old one.
    pub fn replace(&mut self, buffer: Box<PoolBuffer>) -> Box<PoolBuffer> {
        std::mem::replace(&mut *self.buffer, buffer)
    }
}

impl Drop for Owned {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the box is still there by O1, and the value ends here.
        release(unsafe { ManuallyDrop::take(&mut self.buffer) });
    }
}

/// One of the owners of a buffer that is only read. The last one releases it.
///
/// # Invariants
///
/// - **S1 (alive)**: the pointer came from a box, which exists until the last owner is gone.
/// - **S2 (counted)**: `Buffer::owners` is the number of these values, forgotten ones included.
/// - **S3 (read)**: while there is one, the buffer is only read, except for the atomic count.
#[derive(Debug)]
struct Shared(NonNull<PoolBuffer>);

// SAFETY: the last owner may release the buffer on any thread, since a buffer is `Send`; until then all owners only
// read it or change the atomic count (S3).
unsafe impl Send for Shared {}
// SAFETY: a shared reference reads the buffer, which is `Sync`, or clones an owner, which may move to another thread.
unsafe impl Sync for Shared {}

const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<PoolBuffer>();
};

/// Owners at most. A program that forgets one clone per nanosecond reaches it after centuries.
const OWNERS_MAX: usize = isize::MAX as usize;

impl Shared {
    /// Begins to share a buffer. No allocation: the count is in the buffer.
    fn new(buffer: Box<PoolBuffer>) -> Self {
        // Relaxed: no other thread has a pointer to the buffer yet.
        buffer.owners.store(1, Ordering::Relaxed);
        Self(NonNull::from(Box::leak(buffer)))
    }

    #[inline(always)]
    fn get(&self) -> &PoolBuffer {
        // SAFETY: the buffer is alive by S1 while `self` is borrowed, and is not written by S3.
        unsafe { self.0.as_ref() }
    }

    /// Returns the buffer if this is the only owner, else itself.
    fn into_unique(self) -> Result<Box<PoolBuffer>, Self> {
        // Acquire: the reads of former owners happen before the writes of the new one.
        if self.get().owners.load(Ordering::Acquire) != 1 {
            return Err(self);
        }
        let pointer = ManuallyDrop::new(self).0;
        // SAFETY: the pointer came from a box (S1) whose only owner is this value (S2), which ends here. No other thread
        // can clone an owner that this thread owns.
        Ok(unsafe { Box::from_raw(pointer.as_ptr()) })
    }
}

impl Clone for Shared {
    #[inline]
    fn clone(&self) -> Self {
        // Relaxed: the new owner is created from this one, which orders all that it must see.
        if self.get().owners.fetch_add(1, Ordering::Relaxed) > OWNERS_MAX {
            process::abort();
        }
        Self(self.0)
    }
}

impl Drop for Shared {
    #[inline]
    fn drop(&mut self) {
        // Release: the reads of this owner happen before the next writes to the buffer.
        if self.get().owners.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        // Acquire: so do the reads of the others. A load instead of a fence, which the thread sanitizer does not understand.
        self.get().owners.load(Ordering::Acquire);
        // SAFETY: the pointer came from a box (S1), and this was the last owner (S2).
        release(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// An owner of a buffer, and the bytes of it that it reads.
///
/// # Invariants
///
/// - **P1 (inside)**: `len` bytes from `start` lie in the memory of the buffer that `shared` owns.
#[derive(Debug, Clone)]
pub struct Part {
    shared: Shared,
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the pointer leads into the buffer of the owner, which may move to another thread.
unsafe impl Send for Part {}
// SAFETY: a shared reference reads bytes that no thread writes (S3), or clones the owner.
unsafe impl Sync for Part {}

impl Part {
    /// Begins to share the visible bytes of a buffer. No allocation.
    #[inline]
    pub fn whole(buffer: Box<PoolBuffer>) -> Self {
        let (start, len) = (buffer.address(), buffer.len());
        Self { shared: Shared::new(buffer), start, len }
    }

    #[inline(always)]
    pub fn buffer(&self) -> &PoolBuffer {
        self.shared.get()
    }

    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: the bytes lie in the buffer (P1), which is alive (S1) and initialised, and is only read while `self` is
        // borrowed (S3).
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// Returns the bytes from `start` to `end` as another part.
    #[inline]
    #[track_caller]
    pub fn slice(&self, start: usize, end: usize) -> Self {
        assert!(start <= end, "a slice from {start} to {end}");
        assert!(end <= self.len, "a slice to {end} of {} bytes", self.len);
        let shared = self.shared.clone();
        // SAFETY: `start` is at most `len`, so the result is one of the bytes or their end.
        let first = unsafe { self.start.add(start) };
        Self { shared, start: first, len: end - start }
    }

    /// Splits the bytes at a position: returns the first, and keeps the others.
    #[inline]
    #[track_caller]
    pub fn split_to(&mut self, at: usize) -> Self {
        assert!(at <= self.len, "a split at {at} of {} bytes", self.len);
        let head = Self { shared: self.shared.clone(), start: self.start, len: at };
        // SAFETY: `at` is at most `len`, so the result is one of the bytes or their end.
        self.start = unsafe { self.start.add(at) };
        self.len -= at;
        head
    }

    /// Drops the first `count` bytes, of which there must be so many.
    #[inline(always)]
    #[track_caller]
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.len, "advanced by {count} of {} bytes", self.len);
        // SAFETY: there are `count` bytes, so the result is one of them or their end.
        self.start = unsafe { self.start.add(count) };
        self.len -= count;
    }

    /// Drops the bytes behind the first `len`.
    #[inline(always)]
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Returns the position of the first byte in the buffer.
    pub fn offset(&self) -> usize {
        self.start.addr().get() - self.buffer().address().addr().get()
    }

    /// Returns whether `next` starts where this part ends, in the same buffer.
    #[inline]
    pub fn is_before(&self, next: &Self) -> bool {
        self.shared.0 == next.shared.0 && self.offset() + self.len == next.offset()
    }

    /// Includes the bytes of the part that follows.
    #[inline]
    pub fn extend_over(&mut self, next: Self) {
        assert!(self.is_before(&next));
        // Both lie in the same buffer, one behind the other: P1.
        self.len += next.len;
    }

    /// Returns the buffer if this is its only owner, else itself.
    pub fn into_unique(self) -> Result<Box<PoolBuffer>, Self> {
        let Self { shared, start, len } = self;
        shared.into_unique().map_err(|shared| Self { shared, start, len })
    }
}
