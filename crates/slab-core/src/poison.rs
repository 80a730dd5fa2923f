//! Tells Miri and the sanitizers which memory is dead, so that they report a use after free at the line
//! that makes it.
//!
//! To such a tool a region is one live object: it sees no use after free inside it unless the allocator
//! says which bytes are dead. The effect depends on the build:
//!
//! | build | on free | when handed out |
//! |---|---|---|
//! | Miri | the bytes become uninitialised | – |
//! | `--cfg slab_sanitizer="address"` | the bytes become inaccessible | accessible again |
//! | `--cfg slab_sanitizer="memory"` | the bytes become uninitialised | – |
//! | [`Hardened`](crate::Hardened) mode, in any build | the bytes are filled with [`FILL`] | the fill is verified |
//! | any other | nothing | nothing |
//!
//! Set `slab_sanitizer` together with the sanitizer, because stable code cannot see which sanitizer it is
//! compiled with: `RUSTFLAGS='-Zsanitizer=address --cfg slab_sanitizer="address"'`.
#![expect(unsafe_code, reason = "marks raw memory")]

use core::ptr::NonNull;

use crate::Mode;

/// The byte that [`Hardened`](crate::Hardened) mode fills dead memory with. It is not a valid `bool` and
/// not ASCII, and eight of them are not a canonical x86-64 address.
pub const FILL: u8 = 0xD7;

/// Returns whether poisoning does anything in this build and mode. Where it does not, an allocator
/// can skip the arithmetic for the calls.
#[inline]
pub const fn is_active<M: Mode>() -> bool {
    M::HARDENED || cfg!(any(miri, slab_sanitizer = "address", slab_sanitizer = "memory"))
}

/// Marks the bytes of a freed block as dead; their content is lost.
///
/// *O*(1) in ordinary builds, *O*(`size`) in builds and modes that write the bytes.
///
/// # Safety
///
/// `block` is valid for writes of `size` bytes, and their content is no longer needed.
#[inline]
pub unsafe fn poison<M: Mode>(block: NonNull<u8>, size: usize) {
    // SAFETY: the caller guarantees `size` writable bytes whose content is not needed. Filled bytes stay
    // initialised, because `unpoison` reads them; bytes that are not filled become uninitialised.
    unsafe {
        if M::HARDENED {
            block.write_bytes(FILL, size);
        } else {
            tool::forget(block, size);
        }
        tool::deny_access(block, size);
    }
}

/// Makes the bytes of a dead block usable again. Returns the offset of the first byte that was written
/// while the block was dead, if the mode can tell.
///
/// *O*(1) in ordinary builds, *O*(`size`) in `Hardened` mode.
///
/// # Safety
///
/// `block` is valid for reads and writes of `size` bytes. All of them were passed to [`poison`] of the
/// same mode after they were last handed out; outside `Hardened` mode they may also be bytes that were
/// never handed out.
#[inline]
pub unsafe fn unpoison<M: Mode>(block: NonNull<u8>, size: usize) -> Option<usize> {
    // SAFETY: the caller guarantees that `block` is valid for `size` bytes.
    unsafe { tool::allow_access(block, size) };
    if !M::HARDENED {
        return None;
    }
    // SAFETY: `poison` initialised these bytes, no code may write them until they are handed out, and the
    // slice does not outlive this call.
    let bytes = unsafe { core::slice::from_raw_parts(block.as_ptr(), size) };
    first_written(bytes)
}

/// Returns the offset of the first byte that is not the fill. It compares 64 bytes at a time, which is
/// fast on processors and in Miri.
fn first_written(bytes: &[u8]) -> Option<usize> {
    const FILLED: [u8; 64] = [FILL; 64];
    let written = bytes.chunks(FILLED.len()).position(|chunk| chunk != &FILLED[..chunk.len()])?;
    let start = written * FILLED.len();
    bytes[start..].iter().position(|&byte| byte != FILL).map(|offset| start + offset)
}

/// Makes memory inaccessible in builds with the address sanitizer; its content stays. For the slack
/// behind a block and for memory that was never handed out.
///
/// # Safety
///
/// `block` is valid for `size` bytes, and no code accesses them until they are passed to [`unpoison`] or
/// [`allow_access`].
#[inline]
pub unsafe fn deny_access(block: NonNull<u8>, size: usize) {
    // SAFETY: the caller guarantees that `block` is valid for `size` bytes.
    unsafe { tool::deny_access(block, size) };
}

/// Undoes [`deny_access`].
///
/// # Safety
///
/// `block` is valid for `size` bytes.
#[inline]
pub unsafe fn allow_access(block: NonNull<u8>, size: usize) {
    // SAFETY: the caller guarantees that `block` is valid for `size` bytes.
    unsafe { tool::allow_access(block, size) };
}

/// The calls of the tool that watches this build.
#[cfg_attr(miri, path = "poison/miri.rs")]
#[cfg_attr(all(not(miri), slab_sanitizer = "address"), path = "poison/address.rs")]
#[cfg_attr(all(not(miri), slab_sanitizer = "memory"), path = "poison/memory.rs")]
#[cfg_attr(
    not(any(miri, slab_sanitizer = "address", slab_sanitizer = "memory")),
    path = "poison/none.rs"
)]
mod tool;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hardened;

    #[test]
    fn hardened_finds_the_first_byte_written_after_free() {
        let mut block = [1u8; 24];
        let start = NonNull::from(&mut block).cast::<u8>();
        // SAFETY: the array has 24 bytes and is used through `start` alone. Byte 17 is made accessible
        // before it is written.
        unsafe {
            poison::<Hardened>(start, 24);
            assert_eq!(unpoison::<Hardened>(start, 24), None);
            poison::<Hardened>(start, 24);
            allow_access(start, 24);
            start.add(17).write(0);
            assert_eq!(unpoison::<Hardened>(start, 24), Some(17));
        }
    }

    #[test]
    fn the_first_of_many_bytes_is_found_wherever_it_lies() {
        let mut bytes = [FILL; 200];
        assert_eq!(first_written(&bytes), None);
        for offset in (0..200).rev() {
            bytes[offset] = !FILL;
            assert_eq!(first_written(&bytes), Some(offset));
        }
    }

    #[test]
    #[cfg(not(any(miri, slab_sanitizer = "address", slab_sanitizer = "memory")))]
    fn checked_leaves_dead_memory_alone_in_ordinary_builds() {
        let mut block = [1u8; 24];
        let start = NonNull::from(&mut block).cast::<u8>();
        // SAFETY: the array has 24 bytes, and its content is not needed.
        unsafe { poison::<crate::Checked>(start, 24) };
        assert_eq!(block, [1; 24]);
    }
}
