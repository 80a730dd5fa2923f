//! A block as its user sees it: which class or run a layout takes, and, in builds that watch for
//! overruns, the canary in the slack behind it, which is poisoned.
#![expect(unsafe_code, reason = "writes and reads the slack behind a block")]

use core::alloc::Layout;
use core::ptr::NonNull;

use slab_core::{Mode, poison};

use crate::class::{GRANULE_BYTES, SLOT_BYTES_MAX, SizeClass, granules_for};

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

/// The slot or run that a layout needs.
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

/// Returns the slot or run that a layout needs.
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
/// class, or, in a segment with borrowed slots, a larger one.
pub fn fits_class<M: Mode>(
    layout: Layout,
    address: usize,
    class: SizeClass,
    borrowed: bool,
) -> bool {
    match fitting::<M>(layout) {
        Fitting::Class(own) if own == class => true,
        Fitting::Class(own) => borrowed && own < class && address.is_multiple_of(layout.align()),
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

/// Returns whether a run of `len` granules at an address may be a block that was a run and was shrunk to
/// this layout of a class.
pub fn fits_borrowed_run<M: Mode>(layout: Layout, address: usize, len: u32) -> bool {
    let of_class = matches!(fitting::<M>(layout), Fitting::Class(_));
    of_class && run_granules::<M>(layout) == Some(len) && address.is_multiple_of(layout.align())
}

/// Returns the granules of a run that holds a block of this layout, whether or not a class does too.
pub fn run_granules<M: Mode>(layout: Layout) -> Option<u32> {
    granules_for(layout.size() + canary_bytes::<M>())
}

/// The smallest and the largest size that a block can have been allocated with.
pub type Sizes = (usize, usize);

/// Returns the sizes of blocks of a class at an alignment; all up to the slot's if it may be borrowed.
pub fn class_sizes<M: Mode>(class: SizeClass, align: usize, borrowed: bool) -> Sizes {
    let least = if borrowed { 0 } else { class.size_min(align) };
    let canary_bytes = canary_bytes::<M>();
    (least.saturating_sub(canary_bytes), class.slot_bytes() - canary_bytes)
}

/// Returns the sizes of blocks that are runs of `len` granules.
pub fn run_sizes<M: Mode>(len: u32) -> Sizes {
    let granules_bytes = len as usize * GRANULE_BYTES;
    let least = if len == 1 { 0 } else { granules_bytes - GRANULE_BYTES + 1 };
    let canary_bytes = canary_bytes::<M>();
    (least.saturating_sub(canary_bytes), granules_bytes - canary_bytes)
}

/// Returns whether this build watches the slack of blocks; other builds never call the functions below.
pub const fn watches_slack<M: Mode>() -> bool {
    poison::is_active::<M>()
}

/// Unpoisons the first `size` bytes of a poisoned block of `usable_bytes`, and in `Hardened` mode writes the canary
/// into the slack behind them.
///
/// # Errors
///
/// In `Hardened` mode, the offset of the first byte that was written while the memory was free.
///
/// # Safety
///
/// `block` was poisoned in this mode, has `usable_bytes >= size`, and nothing uses it yet.
pub unsafe fn unpoison_block<M: Mode>(
    block: NonNull<u8>,
    size: usize,
    usable_bytes: usize,
) -> Result<(), usize> {
    // SAFETY: the caller guarantees a poisoned block.
    if let Some(offset) = unsafe { poison::unpoison::<M>(block, usable_bytes) } {
        return Err(offset);
    }
    // SAFETY: the caller promises `usable_bytes`.
    unsafe { watch_slack::<M>(block, size, usable_bytes) };
    Ok(())
}

/// Marks a damaged block as dead although it stays taken: [`check_slack`] recognises it.
///
/// # Safety
///
/// `block` has `usable_bytes`, at least those of a canary, and nothing uses it.
pub unsafe fn quarantine(block: NonNull<u8>, usable_bytes: usize) {
    // SAFETY: the tail lies within the block.
    let tail = unsafe { block.add(usable_bytes - CANARY_BYTES) };
    // SAFETY: the caller guarantees that nothing uses the block.
    unsafe { tail.write_bytes(poison::FILL, CANARY_BYTES) };
    // SAFETY: the caller guarantees that nothing uses the block.
    unsafe { poison::deny_access(block, usable_bytes) };
}

/// A fault in the slack of a block that should be live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slack {
    /// It is that of a block of this other size.
    OfSize(usize),
    /// The block is quarantined.
    Dead,
    /// It was written at this offset of the block.
    Written(usize),
}

/// Compares a block's slack with the canary; in other modes than `Hardened` there is none. Slack that is
/// poisoned stays so.
///
/// # Errors
///
/// The fault, as a [`Slack`].
///
/// # Safety
///
/// `block` is a live block of `usable_bytes` whose canary was written for some size, or a quarantined one; `size`
/// leaves room for a canary.
pub unsafe fn check_slack<M: Mode>(
    block: NonNull<u8>,
    size: usize,
    usable_bytes: usize,
) -> Result<(), Slack> {
    if !M::HARDENED {
        return Ok(());
    }
    // SAFETY: the caller guarantees a live or quarantined block of `usable_bytes`.
    match unsafe { size_told::<M>(block, usable_bytes) } {
        Some(told) if told == size => {}
        Some(other) => return Err(Slack::OfSize(other)),
        None => {}
    }
    let written = |bytes: &[u8]| (0..bytes.len()).find(|&at| bytes[at] != canary(size, at));
    // SAFETY: from `size` on the block is canary, as its end says; or the end was overwritten.
    let written = unsafe { slack_from(block, size, usable_bytes, written) };
    match written {
        None => Ok(()),
        // SAFETY: the caller guarantees a live or quarantined block of `usable_bytes`.
        Some(_) if unsafe { is_quarantined(block, usable_bytes) } => Err(Slack::Dead),
        Some(offset) => Err(Slack::Written(size + offset)),
    }
}

/// Returns the size for which a block's canary was written, decoded from the last bytes of the slack. These
/// belong to the canary at any size, so no byte of the user is read. Returns `None` if they were overwritten, and
/// in other modes than `Hardened`.
///
/// # Safety
///
/// `block` is a live block of `usable_bytes` whose canary was written for some size, or a quarantined one.
pub unsafe fn size_told<M: Mode>(block: NonNull<u8>, usable_bytes: usize) -> Option<usize> {
    if !M::HARDENED {
        return None;
    }
    // SAFETY: the caller guarantees a live or quarantined block of `usable_bytes`.
    let tail = unsafe { tail(block, usable_bytes) };
    // Blocks of runs are a granule smaller at most, borrowed slots a slot.
    let size_min = usable_bytes.saturating_sub(SLOT_BYTES_MAX);
    (size_min..=usable_bytes - CANARY_BYTES).find(|&size| tail == canary_tail(size, usable_bytes))
}

/// Returns whether a block is [quarantined](quarantine).
///
/// # Safety
///
/// As [`size_told`].
unsafe fn is_quarantined(block: NonNull<u8>, usable_bytes: usize) -> bool {
    // SAFETY: the caller guarantees a live or quarantined block of `usable_bytes`.
    unsafe { tail(block, usable_bytes) == [poison::FILL; CANARY_BYTES] }
}

/// # Safety
///
/// As [`size_told`].
unsafe fn tail(block: NonNull<u8>, usable_bytes: usize) -> [u8; CANARY_BYTES] {
    let copy = |bytes: &[u8]| core::array::from_fn(|at| bytes[at]);
    // SAFETY: the last bytes of a block are canary or fill, and never the user's.
    unsafe { slack_from(block, usable_bytes - CANARY_BYTES, usable_bytes, copy) }
}

/// Calls `look` with the bytes of a block's slack from an offset on, which are poisoned before and
/// afterwards.
///
/// # Safety
///
/// `block` has `usable_bytes`, and the bytes from `offset` on are initialised and not in use.
unsafe fn slack_from<T>(
    block: NonNull<u8>,
    offset: usize,
    usable_bytes: usize,
    look: impl FnOnce(&[u8]) -> T,
) -> T {
    // SAFETY: within the block.
    let slack = unsafe { block.add(offset) };
    let slack_bytes = usable_bytes - offset;
    // SAFETY: the slack is the block's.
    unsafe { poison::allow_access(slack, slack_bytes) };
    // SAFETY: the caller guarantees initialised bytes that are not in use.
    let found = look(unsafe { core::slice::from_raw_parts(slack.as_ptr(), slack_bytes) });
    // SAFETY: the slack is the block's, and not in use.
    unsafe { poison::deny_access(slack, slack_bytes) };
    found
}

/// Unpoisons a block's slack, before the whole block is poisoned or the slack is rewritten.
///
/// # Safety
///
/// `block` is a live block of `usable_bytes` whose slack starts at `size`.
pub unsafe fn unpoison_slack(block: NonNull<u8>, size: usize, usable_bytes: usize) {
    // SAFETY: `size <= usable_bytes`, within the block.
    let slack = unsafe { block.add(size) };
    // SAFETY: the slack is the block's.
    unsafe { poison::allow_access(slack, usable_bytes - size) };
}

/// Rewrites and poisons the slack of a block for a new size. Bytes that the block lost are poisoned; those
/// that it gained are usable already.
///
/// # Safety
///
/// `block` is a live block of formerly `old_usable` bytes whose slack is unpoisoned; it has `new_usable >= size`
/// bytes now, all of them usable.
pub unsafe fn rewrite_slack<M: Mode>(
    block: NonNull<u8>,
    size: usize,
    old_usable: usize,
    new_usable: usize,
) {
    if new_usable < old_usable {
        // SAFETY: within the block as it was.
        let lost = unsafe { block.add(new_usable) };
        // SAFETY: the block gave these bytes up.
        unsafe { poison::poison::<M>(lost, old_usable - new_usable) };
    }
    // SAFETY: the block has `new_usable` bytes.
    unsafe { watch_slack::<M>(block, size, new_usable) };
}

/// Writes the canary and poisons what lies behind a block's first `size` bytes.
///
/// # Safety
///
/// `block` has `usable_bytes >= size`, and the bytes behind `size` are not in use.
unsafe fn watch_slack<M: Mode>(block: NonNull<u8>, size: usize, usable_bytes: usize) {
    // SAFETY: within the block.
    let slack = unsafe { block.add(size) };
    if M::HARDENED {
        // SAFETY: the slack is the block's; no other reference to it exists.
        let bytes = unsafe { core::slice::from_raw_parts_mut(slack.as_ptr(), usable_bytes - size) };
        for (offset, byte) in bytes.iter_mut().enumerate() {
            *byte = canary(size, offset);
        }
    }
    // SAFETY: the slack is the block's.
    unsafe { poison::deny_access(slack, usable_bytes - size) };
}

/// Returns the last bytes of the canary behind `size` bytes of a block of `usable_bytes`.
fn canary_tail(size: usize, usable_bytes: usize) -> [u8; CANARY_BYTES] {
    let start = usable_bytes - CANARY_BYTES - size;
    core::array::from_fn(|offset| canary(size, start + offset))
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

    /// The last bytes of a block alone tell its size, among all that a slot or run may have, and that
    /// it is live.
    #[test]
    #[cfg_attr(miri, ignore = "slow, and free of unsafe code")]
    fn the_end_of_a_block_tells_its_size() {
        for usable in SizeClass::all().map(SizeClass::slot_bytes).chain([1, 5, 9].map(|n| n * 1024))
        {
            let sizes = 0..=usable - CANARY_BYTES;
            let tails: HashSet<_> = sizes.clone().map(|size| canary_tail(size, usable)).collect();
            assert_eq!(tails.len(), sizes.count(), "{usable}");
            assert!(!tails.contains(&[poison::FILL; CANARY_BYTES]), "{usable}");
        }
    }
}
