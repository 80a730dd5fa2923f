//! Miri reports reads of uninitialised bytes.

use core::mem::MaybeUninit;
use core::ptr::NonNull;

/// Makes the bytes uninitialised.
///
/// # Safety
///
/// `block` is valid for writes of `size` bytes, and their content is not needed.
pub(super) unsafe fn forget(block: NonNull<u8>, size: usize) {
    // Copied in bulk, because Miri is slow in loops.
    static NOTHING: [MaybeUninit<u8>; 4096] = [MaybeUninit::uninit(); 4096];
    for offset in (0..size).step_by(NOTHING.len()) {
        let bytes = NOTHING.len().min(size - offset);
        // SAFETY: `offset + bytes <= size`, and the caller guarantees `size` writable bytes. A block does
        // not overlap a static.
        unsafe {
            let target = block.add(offset).cast::<MaybeUninit<u8>>();
            target.as_ptr().copy_from_nonoverlapping(NOTHING.as_ptr(), bytes);
        }
    }
}

pub(super) unsafe fn deny_access(_: NonNull<u8>, _: usize) {}

pub(super) unsafe fn allow_access(_: NonNull<u8>, _: usize) {}
