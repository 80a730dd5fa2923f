//! The address sanitizer reports accesses to poisoned bytes.

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
pub(super) unsafe fn deny_access(block: NonNull<u8>, size: usize) {
    // SAFETY: the runtime marks its shadow of the range, which the caller guarantees to be valid.
    unsafe { __asan_poison_memory_region(block.as_ptr().cast(), size) };
}

/// Makes the bytes accessible.
///
/// # Safety
///
/// `block` is valid for `size` bytes.
pub(super) unsafe fn allow_access(block: NonNull<u8>, size: usize) {
    // SAFETY: the runtime marks its shadow of the range, which the caller guarantees to be valid.
    unsafe { __asan_unpoison_memory_region(block.as_ptr().cast(), size) };
}
