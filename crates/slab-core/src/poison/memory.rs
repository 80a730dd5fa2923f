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
    // SAFETY: the runtime marks its shadow of the range, which the caller guarantees to be valid.
    unsafe { __msan_poison(block.as_ptr().cast(), size) };
}

pub(super) unsafe fn deny_access(_: NonNull<u8>, _: usize) {}

pub(super) unsafe fn allow_access(_: NonNull<u8>, _: usize) {}
