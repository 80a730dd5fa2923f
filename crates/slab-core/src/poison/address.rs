//! The address sanitizer reports accesses to forbidden bytes.

use core::ffi::c_void;
use core::ptr::NonNull;

unsafe extern "C" {
    fn __asan_poison_memory_region(start: *const c_void, size: usize);
    fn __asan_unpoison_memory_region(start: *const c_void, size: usize);
}

pub(super) unsafe fn forget(_: NonNull<u8>, _: usize) {}

/// Makes the bytes inaccessible.
///
/// # Safety
///
/// `block` is valid for `size` bytes.
pub(super) unsafe fn forbid(block: NonNull<u8>, size: usize) {
    // SAFETY: the runtime marks its shadow of a range that the caller vouches for.
    unsafe { __asan_poison_memory_region(block.as_ptr().cast(), size) };
}

/// Makes the bytes accessible.
///
/// # Safety
///
/// `block` is valid for `size` bytes.
pub(super) unsafe fn permit(block: NonNull<u8>, size: usize) {
    // SAFETY: the runtime marks its shadow of a range that the caller vouches for.
    unsafe { __asan_unpoison_memory_region(block.as_ptr().cast(), size) };
}
