//! The two ways to own a buffer: alone, or counted. Both are one pointer wide, and the last owner releases the buffer.
#![expect(unsafe_code, reason = "a count in the buffer instead of an `Arc`, and a drop by value")]

use std::mem::ManuallyDrop;
use std::process;
use std::ptr::NonNull;

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
pub struct Shared(NonNull<PoolBuffer>);

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
    pub fn new(buffer: Box<PoolBuffer>) -> Self {
        // Relaxed: no other thread has a pointer to the buffer yet.
        buffer.owners.store(1, Ordering::Relaxed);
        Self(NonNull::from(Box::leak(buffer)))
    }

    #[inline(always)]
    pub fn get(&self) -> &PoolBuffer {
        // SAFETY: the buffer is alive by S1 while `self` is borrowed, and is not written by S3.
        unsafe { self.0.as_ref() }
    }

    /// Returns whether both own the same buffer.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    /// Returns the buffer if this is the only owner, else itself.
    pub fn into_unique(self) -> Result<Box<PoolBuffer>, Self> {
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
