//! Miri reports reads of uninitialised bytes.

use core::mem::MaybeUninit;
use core::ptr::NonNull;

/// Makes the bytes uninitialised.
///
/// # Safety
///
/// `block` is valid for writes of `size` bytes that nobody needs.
pub(super) unsafe fn forget(block: NonNull<u8>, size: usize) {
    let bytes = NonNull::slice_from_raw_parts(block.cast::<MaybeUninit<u8>>(), size);
    // SAFETY: the caller vouches for the range; nobody holds a reference into it.
    let bytes = unsafe { &mut *bytes.as_ptr() };
    bytes.fill(MaybeUninit::uninit());
}

pub(super) unsafe fn forbid(_: NonNull<u8>, _: usize) {}

pub(super) unsafe fn permit(_: NonNull<u8>, _: usize) {}
