//! Makes dead memory visible: a read or write after free inside an arena is reported at the
//! user's own line.
//!
//! An arena is one live object to every tool, so a use after free inside it goes unseen unless the
//! allocator says which bytes are dead. What saying so means depends on the build:
//!
//! | build | on free | when handed out |
//! |---|---|---|
//! | Miri | the bytes become uninitialised | – |
//! | `--cfg slab_sanitizer="address"` | the bytes become inaccessible | accessible again |
//! | `--cfg slab_sanitizer="memory"` | the bytes become uninitialised | – |
//! | [`Hardened`](crate::Hardened) mode, in any build | the bytes are filled with [`FILL`] | the fill is verified |
//! | any other | nothing | nothing |
//!
//! The `slab_sanitizer` setting goes with the sanitizer itself, because the compiler tells stable
//! code nothing of it:
//! `RUSTFLAGS='-Zsanitizer=address --cfg slab_sanitizer="address"'`.
#![expect(unsafe_code, reason = "marks raw memory")]

use core::ptr::NonNull;

use crate::Mode;

/// The byte with which [`Hardened`](crate::Hardened) mode fills dead memory: not a valid `bool`,
/// not ASCII, and eight of them are no canonical x86-64 address.
pub const FILL: u8 = 0xD7;

/// Returns whether marking memory does anything in this build and mode. Where it does not, an
/// allocator can leave out what it would compute for the calls.
#[inline]
pub const fn is_active<M: Mode>() -> bool {
    M::HARDENED || cfg!(any(miri, slab_sanitizer = "address", slab_sanitizer = "memory"))
}

/// Marks a freed block as dead.
///
/// *O*(1) in ordinary builds, *O*(`size`) where the bytes are written.
///
/// # Safety
///
/// `block` is valid for writes of `size` bytes and holds nothing that anybody still needs.
#[inline]
pub unsafe fn retire<M: Mode>(block: NonNull<u8>, size: usize) {
    if M::HARDENED {
        // SAFETY: the caller vouches for `size` writable bytes.
        unsafe { block.write_bytes(FILL, size) };
        // SAFETY: as above. Filled bytes stay initialised: `revive` reads them.
        unsafe { tool::forbid(block, size) };
    } else {
        // SAFETY: the caller vouches for `size` bytes that nobody needs.
        unsafe { tool::forget(block, size) };
        // SAFETY: as above.
        unsafe { tool::forbid(block, size) };
    }
}

/// Makes a dead block usable again, and returns the offset of the first byte that was written while
/// it was dead, where the mode can tell.
///
/// *O*(1) in ordinary builds, *O*(`size`) in `Hardened` mode.
///
/// # Safety
///
/// `block` is valid for reads and writes of `size` bytes, all of which were passed to [`retire`] of
/// the same mode since they were last handed out, or, not in `Hardened` mode, never handed out.
#[inline]
pub unsafe fn revive<M: Mode>(block: NonNull<u8>, size: usize) -> Option<usize> {
    // SAFETY: the caller vouches for `size` bytes.
    unsafe { tool::permit(block, size) };
    if !M::HARDENED {
        return None;
    }
    // SAFETY: `retire` initialised these bytes, and until they are handed out nobody writes them by
    // right; the slice does not outlive this call.
    let bytes = unsafe { core::slice::from_raw_parts(block.as_ptr(), size) };
    first_written(bytes)
}

/// Returns the offset of the first byte that is not the fill. Compares many at a time, as the
/// processor can, and Miri.
fn first_written(bytes: &[u8]) -> Option<usize> {
    const FILLED: [u8; 64] = [FILL; 64];
    let written = bytes.chunks(FILLED.len()).position(|chunk| chunk != &FILLED[..chunk.len()])?;
    let start = written * FILLED.len();
    bytes[start..].iter().position(|&byte| byte != FILL).map(|offset| start + offset)
}

/// Makes memory inaccessible to the address sanitizer, in builds that have it, and leaves its
/// content alone. For the slack behind a block and for memory that was never handed out.
///
/// # Safety
///
/// `block` is valid for `size` bytes, which nobody accesses until they are passed to [`revive`] or
/// [`permit`].
#[inline]
pub unsafe fn forbid(block: NonNull<u8>, size: usize) {
    // SAFETY: the caller's promise is the same.
    unsafe { tool::forbid(block, size) };
}

/// Undoes [`forbid`].
///
/// # Safety
///
/// `block` is valid for `size` bytes.
#[inline]
pub unsafe fn permit(block: NonNull<u8>, size: usize) {
    // SAFETY: the caller's promise is the same.
    unsafe { tool::permit(block, size) };
}

/// What the tool that watches this build understands.
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
        // SAFETY: the array has 24 bytes and is not used in between.
        unsafe { retire::<Hardened>(start, 24) };
        // SAFETY: as above.
        assert_eq!(unsafe { revive::<Hardened>(start, 24) }, None);
        // SAFETY: as above.
        unsafe { retire::<Hardened>(start, 24) };
        // SAFETY: byte 17 lies inside the array; the sanitizers are told beforehand.
        unsafe { permit(start, 24) };
        // SAFETY: as above.
        let written = unsafe { start.add(17) };
        // SAFETY: as above.
        unsafe { written.write(0) };
        // SAFETY: as above.
        assert_eq!(unsafe { revive::<Hardened>(start, 24) }, Some(17));
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
        // SAFETY: the array has 24 bytes and is not used in between.
        unsafe { retire::<crate::Checked>(start, 24) };
        assert_eq!(block, [1; 24]);
    }
}
