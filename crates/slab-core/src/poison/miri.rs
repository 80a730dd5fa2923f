//! Miri reports reads of uninitialised bytes.

use core::mem::MaybeUninit;
use core::ptr::NonNull;

/// Makes the bytes uninitialised.
///
/// # Safety
///
/// `block` is valid for writes of `size` bytes that nobody needs.
pub(super) unsafe fn forget(block: NonNull<u8>, size: usize) {
    // Copied in bulk: Miri takes its time over loops.
    static NOTHING: [MaybeUninit<u8>; 4096] = [MaybeUninit::uninit(); 4096];
    for offset in (0..size).step_by(NOTHING.len()) {
        let bytes = NOTHING.len().min(size - offset);
        // SAFETY: `offset < size`, in the range that the caller vouches for.
        let target = unsafe { block.add(offset) }.cast::<MaybeUninit<u8>>();
        // SAFETY: `offset + bytes <= size`; a static overlaps nobody's block.
        unsafe { target.as_ptr().copy_from_nonoverlapping(NOTHING.as_ptr(), bytes) };
    }
}

pub(super) unsafe fn forbid(_: NonNull<u8>, _: usize) {}

pub(super) unsafe fn permit(_: NonNull<u8>, _: usize) {}
