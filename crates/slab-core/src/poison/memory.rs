//! The memory sanitizer reports decisions that depend on uninitialised bytes.

use core::ffi::c_void;
use core::ptr::NonNull;

unsafe extern "C" {
    fn __msan_poison(start: *const c_void, size: usize);
}

/// Makes the bytes uninitialised.
///
/// # Safety
///
/// `block` is valid for `size` bytes.
pub(super) unsafe fn forget(block: NonNull<u8>, size: usize) {
    // SAFETY: the runtime marks its shadow of a range that the caller vouches for.
    unsafe { __msan_poison(block.as_ptr().cast(), size) };
}

pub(super) unsafe fn forbid(_: NonNull<u8>, _: usize) {}

pub(super) unsafe fn permit(_: NonNull<u8>, _: usize) {}
