//! A word behind a block, by which a write past the end of the block is found.
//!
//! The allocator chooses the word: it should differ from block to block, as [`mix64`](crate::mix64) of the
//! address does. In builds with the address sanitizer no access to the canary is allowed, so that such a
//! write is reported at once, at the line that makes it.
#![expect(unsafe_code, reason = "reads and writes the bytes behind a block")]

use core::ptr::NonNull;

use crate::poison::{allow_access, deny_access};

/// The size of a canary. It may lie at any address.
pub const BYTES: usize = size_of::<u64>();

/// Writes a canary.
///
/// # Safety
///
/// `cell` is valid for writes of [`BYTES`] bytes, and only the allocator uses them.
#[inline]
pub unsafe fn write(cell: NonNull<u8>, canary: u64) {
    // SAFETY: the caller guarantees that the bytes are writable and that no other code uses them.
    unsafe {
        allow_access(cell, BYTES);
        cell.cast::<u64>().write_unaligned(canary);
        deny_access(cell, BYTES);
    }
}

/// Returns the offset of the first byte of a canary that was changed.
///
/// # Safety
///
/// [`write()`] has written a canary at `cell`, and `cell` is still valid for reads.
#[inline]
pub unsafe fn first_changed(cell: NonNull<u8>, canary: u64) -> Option<usize> {
    // SAFETY: the caller guarantees that the bytes are readable and initialised. Only the allocator uses them.
    let found = unsafe {
        allow_access(cell, BYTES);
        let found = cell.cast::<u64>().read_unaligned();
        deny_access(cell, BYTES);
        found
    };
    if found == canary { None } else { first_difference(found, canary) }
}

/// Makes the bytes of a canary accessible again, before they are used for something else.
///
/// # Safety
///
/// `cell` is valid for [`BYTES`] bytes.
#[inline]
pub unsafe fn remove(cell: NonNull<u8>) {
    // SAFETY: the caller guarantees that the bytes are valid.
    unsafe { allow_access(cell, BYTES) };
}

/// Compares the bytes in the order of their addresses.
#[cold]
fn first_difference(found: u64, expected: u64) -> Option<usize> {
    let pairs = found.to_ne_bytes().into_iter().zip(expected.to_ne_bytes());
    pairs.into_iter().position(|(found, expected)| found != expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_changed_byte_is_found() {
        let mut memory = [0_u8; 1 + BYTES];
        let canary = crate::mix64(7);
        for changed in 0..BYTES {
            // SAFETY: the canary lies in the array, at an odd offset, and is made accessible before the test
            // writes to it.
            unsafe {
                let cell = NonNull::from(&mut memory).cast::<u8>().add(1);
                write(cell, canary);
                assert_eq!(first_changed(cell, canary), None);
                remove(cell);
                let byte = cell.add(changed);
                byte.write(!byte.read());
                assert_eq!(first_changed(cell, canary), Some(changed));
                remove(cell);
            }
        }
    }
}
