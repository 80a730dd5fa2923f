//! A block as its user sees it: which class or run a layout takes, and, in builds that watch for
//! overruns, the canary and the fence in the slack behind it.
#![expect(unsafe_code, reason = "writes and reads the slack behind a block")]

use core::alloc::Layout;
use core::ptr::NonNull;

use slab_core::{Mode, poison};

use crate::class::{GRANULE_BYTES, SizeClass, granules_for};
use crate::error::FreeError;

/// Returns the byte with which `Hardened` mode fills the slack of a block of `size` bytes, at an
/// offset. Four bytes in a row tell every size from every other, so that a free with another size
/// of the same class is found too.
const fn canary(size: usize, offset: usize) -> u8 {
    // An odd factor (Fibonacci hashing) maps different sizes to different words.
    let word = (size as u32).wrapping_mul(0x9E37_79B1) ^ 0xCACA_CACA;
    word.to_le_bytes()[offset % 4]
}

/// Bytes of slack that `Hardened` mode adds to every request: the width of the commonest overrun, a
/// write of one word too many.
const CANARY_BYTES: usize = 8;

/// What a layout takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fitting {
    Class(SizeClass),
    /// A run of `len` granules that starts at a multiple of `align` bytes.
    Run {
        len: u32,
        align: usize,
    },
    /// More than any region holds.
    Never,
}

/// Returns the bytes that the mode adds to every request.
pub const fn canary_bytes<M: Mode>() -> usize {
    if M::HARDENED { CANARY_BYTES } else { 0 }
}

/// Returns what a layout takes.
#[inline]
pub fn fitting<M: Mode>(layout: Layout) -> Fitting {
    // A layout's size is at most `isize::MAX`, so the sum does not overflow.
    let size = layout.size() + canary_bytes::<M>();
    match SizeClass::of(size, layout.align()) {
        Some(class) => Fitting::Class(class),
        None => match granules_for(size) {
            Some(len) => Fitting::Run { len, align: layout.align().max(GRANULE_BYTES) },
            None => Fitting::Never,
        },
    }
}

/// Returns whether the slot of `class` at an address may be a block of this layout: the layout's own
/// class, or, in a segment that has lent slots, a larger one.
pub fn fits_class<M: Mode>(layout: Layout, address: usize, class: SizeClass, lent: bool) -> bool {
    match fitting::<M>(layout) {
        Fitting::Class(own) if own == class => true,
        Fitting::Class(own) => lent && own < class && address.is_multiple_of(layout.align()),
        _ => false,
    }
}

/// Returns whether a run of `len` granules at an address may be a block of this layout.
#[inline]
pub fn fits_run<M: Mode>(layout: Layout, address: usize, len: u32) -> bool {
    match fitting::<M>(layout) {
        Fitting::Run { len: own, align } => own == len && address & (align - 1) == 0,
        _ => false,
    }
}

/// Returns whether blocks are dressed at all; in other builds the functions below are never called.
pub const fn dressed<M: Mode>() -> bool {
    poison::is_active::<M>()
}

/// Makes a retired block of `usable_bytes` usable for `size` bytes, and watches the rest.
///
/// # Panics
///
/// In `Hardened` mode, if the memory was written while it was free.
///
/// # Safety
///
/// `block` is a retired block of this mode, of `usable_bytes >= size`, that nobody uses yet.
pub unsafe fn dress<M: Mode>(block: NonNull<u8>, size: usize, usable_bytes: usize) {
    // SAFETY: the caller vouches for a retired block.
    if let Some(offset) = unsafe { poison::revive::<M>(block, usable_bytes) } {
        let address = block.addr();
        panic!(
            "the free memory at {address:#x} was written after it was freed, at offset {offset}"
        );
    }
    // SAFETY: the caller vouches for `usable_bytes`.
    unsafe { watch_slack::<M>(block, size, usable_bytes) };
}

/// Ends the watch over a block's slack and reports whether it was written.
///
/// # Errors
///
/// [`FreeError::Overrun`]; the slack is watched as before.
///
/// # Safety
///
/// `block` is a live block, dressed for `size` of `usable_bytes`.
pub unsafe fn undress<M: Mode>(
    block: NonNull<u8>,
    size: usize,
    usable_bytes: usize,
) -> Result<(), FreeError> {
    // SAFETY: `size <= usable_bytes`, within the block.
    let slack = unsafe { block.add(size) };
    let slack_bytes = usable_bytes - size;
    // SAFETY: the slack is the block's.
    unsafe { poison::permit(slack, slack_bytes) };
    if !M::HARDENED {
        return Ok(());
    }
    // SAFETY: the slack was filled when the block was dressed, and is not the user's to write.
    let bytes = unsafe { core::slice::from_raw_parts(slack.as_ptr(), slack_bytes) };
    let overwritten = (0..slack_bytes).find(|&offset| bytes[offset] != canary(size, offset));
    let Some(offset) = overwritten else { return Ok(()) };
    // SAFETY: as above.
    unsafe { poison::forbid(slack, slack_bytes) };
    Err(FreeError::Overrun { address: block.addr().get(), size, offset: size + offset })
}

/// Dresses a block, undressed before, for a new size; usable bytes that it gained are retired ones,
/// and those that it lost are retired.
///
/// # Panics
///
/// As [`dress`], for the bytes gained.
///
/// # Safety
///
/// `block` is a live block that was undressed at `old_usable` bytes; it has `new_usable >= size`
/// bytes now, the gained ones retired.
pub unsafe fn redress<M: Mode>(
    block: NonNull<u8>,
    size: usize,
    old_usable: usize,
    new_usable: usize,
) {
    if new_usable > old_usable {
        // SAFETY: within the block as it is now.
        let gained = unsafe { block.add(old_usable) };
        // SAFETY: the caller vouches that these bytes are retired.
        unsafe { dress::<M>(gained, new_usable - old_usable, new_usable - old_usable) };
    } else {
        // SAFETY: within the block as it was.
        let lost = unsafe { block.add(new_usable) };
        // SAFETY: the block gave these bytes up.
        unsafe { poison::retire::<M>(lost, old_usable - new_usable) };
    }
    // SAFETY: the block has `new_usable` bytes.
    unsafe { watch_slack::<M>(block, size, new_usable) };
}

/// Writes the canary and puts up the fence behind a block's first `size` bytes.
///
/// # Safety
///
/// `block` has `usable_bytes >= size`, and what lies behind `size` is nobody's.
unsafe fn watch_slack<M: Mode>(block: NonNull<u8>, size: usize, usable_bytes: usize) {
    // SAFETY: within the block.
    let slack = unsafe { block.add(size) };
    if M::HARDENED {
        // SAFETY: the slack is the block's; nobody else has a reference to it.
        let bytes = unsafe { core::slice::from_raw_parts_mut(slack.as_ptr(), usable_bytes - size) };
        for (offset, byte) in bytes.iter_mut().enumerate() {
            *byte = canary(size, offset);
        }
    }
    // SAFETY: the slack is the block's.
    unsafe { poison::forbid(slack, usable_bytes - size) };
}

#[cfg(test)]
mod tests {
    use std::array;
    use std::collections::HashSet;

    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "slow, and free of unsafe code")]
    fn the_canary_tells_every_size_from_every_other() {
        let sizes = 0..=64 * 1024_usize;
        let words: HashSet<[u8; 4]> =
            sizes.clone().map(|size| array::from_fn(|offset| canary(size, offset))).collect();
        assert_eq!(words.len(), sizes.count());
        assert!((0..64).all(|offset| canary(24, offset) == canary(24, offset + 4)));
    }
}
