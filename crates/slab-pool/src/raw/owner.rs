//! The two ways to own a buffer: alone, or counted. Both are one pointer wide, and the last owner
//! gives it back.

use std::mem::ManuallyDrop;
use std::process;
use std::ptr::NonNull;

use crate::buffer::Buffer;
use crate::release::release;
use crate::sync::Ordering;

/// A buffer's only owner. Dropping it releases the buffer.
#[derive(Debug)]
pub struct Owned {
    /// **O1**: there until `drop` or `into_inner`, which both end the value.
    buffer: ManuallyDrop<Box<Buffer>>,
}

impl Owned {
    #[inline(always)]
    pub fn new(buffer: Box<Buffer>) -> Self {
        Self { buffer: ManuallyDrop::new(buffer) }
    }

    #[inline(always)]
    pub fn get(&self) -> &Buffer {
        &self.buffer
    }

    #[inline(always)]
    pub fn get_mut(&mut self) -> &mut Buffer {
        &mut self.buffer
    }

    /// Returns the buffer without releasing it.
    pub fn into_inner(self) -> Box<Buffer> {
        let mut owned = ManuallyDrop::new(self);
        // SAFETY: O1, and `self` is never looked at again, nor dropped.
        unsafe { ManuallyDrop::take(&mut owned.buffer) }
    }

    /// Puts another buffer in its place, and returns the one that was there.
    pub fn replace(&mut self, buffer: Box<Buffer>) -> Box<Buffer> {
        std::mem::replace(&mut *self.buffer, buffer)
    }
}

impl Drop for Owned {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: O1, and a dropped value is never looked at again.
        release(unsafe { ManuallyDrop::take(&mut self.buffer) });
    }
}

/// One of the owners of a buffer that nobody writes to. The last one releases it.
///
/// # Invariants
///
/// - **S1 (alive)**: the pointer came from a box, which exists until the last owner is gone.
/// - **S2 (counted)**: `Buffer::owners` is the number of these values.
/// - **S3 (read)**: while there is one, the buffer is only read, but for the atomic count.
#[derive(Debug)]
pub struct Shared(NonNull<Buffer>);

// SAFETY: what owners share is only read (S3) or atomic, and `Buffer` is `Send` and `Sync`, so the last
// owner may release it from any thread.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Buffer>();
};

/// Owners at most; beyond it a forgotten clone per nanosecond would have run for centuries.
const OWNERS_MAX: usize = isize::MAX as usize;

impl Shared {
    /// Begins to share a buffer. No allocation: the count lies in the buffer.
    pub fn new(buffer: Box<Buffer>) -> Self {
        // Relaxed: nobody else can see the buffer yet.
        buffer.owners.store(1, Ordering::Relaxed);
        Self(NonNull::from(Box::leak(buffer)))
    }

    #[inline(always)]
    pub fn get(&self) -> &Buffer {
        // SAFETY: S1 keeps it alive while `self` is borrowed, S3 keeps writers out.
        unsafe { self.0.as_ref() }
    }

    /// Returns the buffer if this is the only owner, else itself.
    pub fn into_unique(self) -> Result<Box<Buffer>, Self> {
        // Acquire: what former owners read happened before what the new one writes.
        if self.get().owners.load(Ordering::Acquire) != 1 {
            return Err(self);
        }
        let pointer = ManuallyDrop::new(self).0;
        // SAFETY: S1, and by S2 this value is the only owner and ends here; nobody can clone it.
        Ok(unsafe { Box::from_raw(pointer.as_ptr()) })
    }
}

impl Clone for Shared {
    #[inline]
    fn clone(&self) -> Self {
        // Relaxed: the new owner gets what it needs to see from this one.
        if self.get().owners.fetch_add(1, Ordering::Relaxed) > OWNERS_MAX {
            process::abort();
        }
        Self(self.0)
    }
}

impl Drop for Shared {
    #[inline]
    fn drop(&mut self) {
        // Release: what this owner read happens before the buffer is written to again.
        if self.get().owners.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        // Acquire: what the others read, too. As a fence it would be lost on the thread sanitizer.
        self.get().owners.load(Ordering::Acquire);
        // SAFETY: S1, and by S2 this was the last owner.
        release(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
