//! The bytes that a block's user does not own: the canary in the slack behind a live block, and the fill of a
//! dead one.
//!
//! | bytes | `Hardened` | `Exhaustive` |
//! |---|---|---|
//! | slack, 8 bytes at least | the canary in its first and in its last 8 bytes | the canary in all of it |
//! | dead slot, cached run | the fill in 16 bytes at both ends | the fill in all of it |
//! | any other free memory | nothing | the fill in all of it |
//!
//! The *canary* is one word, repeated at addresses that are multiples of 8. It depends on a secret, on the
//! block's address and on its size, so that the last word of the slack says which size the block has. In builds
//! for Miri and the sanitizers slack and dead blocks are poisoned too, in every mode.
#![expect(unsafe_code, reason = "writes and reads bytes of blocks")]

use core::ptr::NonNull;

use slab_core::{Checked, Mode, poison};

use crate::class::SLOT_BYTES_MAX;

/// Bytes of slack that a canary needs. Hardened modes add them to every request, also to one that a slot
/// would hold exactly: else a write past the end of such a block changes the neighbour, and nothing tells it.
pub const CANARY_BYTES: usize = size_of::<u64>();

/// Bytes that are filled and compared at either end of a dead block.
const SAMPLE_BYTES: usize = 16;

/// The fill of [`CANARY_BYTES`]. No canary of a live block is equal to it, except by a chance of one in 2^64.
const FILL_WORD: u64 = u64::from_ne_bytes([poison::FILL; CANARY_BYTES]);

/// The factor of sizes in canaries: odd, so that it can be undone, and such that a canary of which some
/// bytes are changed most probably tells no size that the block can have.
const SIZE_FACTOR: u64 = 0x6A09_E667;
const SIZE_FACTOR_INVERSE: u64 = {
    // Newton's iteration doubles the bits that are right; the factor is its own inverse in the lowest three.
    let mut inverse = SIZE_FACTOR;
    let mut bits = 3;
    while bits < u64::BITS {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(SIZE_FACTOR.wrapping_mul(inverse)));
        bits *= 2;
    }
    inverse
};
const _: () = assert!(SIZE_FACTOR.wrapping_mul(SIZE_FACTOR_INVERSE) == 1);

/// Returns whether this build and mode watches slack and dead blocks. Others call nothing else of this module.
pub const fn is_watched<M: Mode>() -> bool {
    poison::is_active::<M>()
}

/// Returns whether the mode fills and compares samples of dead blocks.
pub const fn is_sampled<M: Mode>() -> bool {
    M::HARDENED && !M::EXHAUSTIVE
}

/// The number on which all canaries of a heap depend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Secret(pub u64);

impl Secret {
    /// Returns the canary of a block of `size` bytes at an address.
    #[inline]
    const fn canary(self, address: usize, size: usize) -> u64 {
        self.of_address(address).wrapping_add((size as u64).wrapping_mul(SIZE_FACTOR))
    }

    /// Returns what a block's canary is beyond its size.
    #[inline]
    const fn of_address(self, address: usize) -> u64 {
        address as u64 ^ self.0
    }
}

/// Returns the eight bytes of the repeated word `canary` that start at an offset.
#[inline]
const fn canary_at(canary: u64, offset: usize) -> u64 {
    canary.rotate_right((offset % CANARY_BYTES) as u32 * u8::BITS)
}

/// Returns the byte of the repeated word `canary` at an offset.
fn canary_byte(canary: u64, offset: usize) -> u8 {
    canary.to_le_bytes()[offset % CANARY_BYTES]
}

/// A fault in the slack of a block that should be live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slack {
    /// It is that of a block of this other size.
    OfSize(usize),
    /// The block is dead.
    Dead,
    /// It was written at this offset of the block.
    Written(usize),
}

/// The knowledge of memory that is handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// [`mark_dead`] or [`fill_ends`] filled it as a block of the same bytes.
    Filled,
    /// Nothing, in `Hardened` mode: it is fresh, or its bytes were part of other blocks.
    Unknown,
}

/// Poisons a freed block, and fills what the mode fills of it.
///
/// # Safety
///
/// `block` has `usable_bytes`, which are a multiple of 16 at an address that is one, all of them accessible; their
/// content is no longer needed.
#[inline]
pub unsafe fn mark_dead<M: Mode>(block: NonNull<u8>, usable_bytes: usize) {
    // SAFETY: the caller guarantees the block.
    unsafe { mark_fresh::<M>(block, usable_bytes) };
    if is_sampled::<M>() {
        // SAFETY: the caller guarantees the block.
        unsafe { fill_ends(block, usable_bytes) };
    }
}

/// Poisons memory that was never handed out, or not as the block that it will be, and fills it in
/// `Exhaustive` mode.
///
/// # Safety
///
/// `start` is valid for writes of so many bytes, all of them accessible; their content is not needed.
#[inline]
pub unsafe fn mark_fresh<M: Mode>(start: NonNull<u8>, bytes: usize) {
    if is_sampled::<M>() {
        // SAFETY: the caller guarantees the bytes.
        unsafe { poison::poison::<Checked>(start, bytes) };
    } else {
        // SAFETY: the caller guarantees the bytes.
        unsafe { poison::poison::<M>(start, bytes) };
    }
}

/// Fills both ends of a dead block, which stays poisoned.
///
/// # Safety
///
/// `block` is valid for writes of `usable_bytes`, which are a multiple of 16 at an address that is one, and nothing
/// uses them.
#[inline]
pub unsafe fn fill_ends(block: NonNull<u8>, usable_bytes: usize) {
    // SAFETY: within the block.
    let tail = unsafe { block.add(usable_bytes - SAMPLE_BYTES) };
    for end in [block, tail] {
        // SAFETY: the sample is the block's.
        unsafe { poison::allow_access(end, SAMPLE_BYTES) };
        // SAFETY: the sample is the block's, and is aligned as the block is.
        unsafe { end.cast::<[u64; 2]>().write([FILL_WORD; 2]) };
        // SAFETY: the sample is the block's.
        unsafe { poison::deny_access(end, SAMPLE_BYTES) };
    }
}

/// Returns whether both ends of a dead block are filled. They are accessible afterwards.
///
/// # Safety
///
/// [`fill_ends`] has filled the ends of `block` as one of `usable_bytes`, which nothing uses.
#[inline]
pub unsafe fn are_ends_filled(block: NonNull<u8>, usable_bytes: usize) -> bool {
    // SAFETY: within the block.
    let tail = unsafe { block.add(usable_bytes - SAMPLE_BYTES) };
    // SAFETY: as the caller promises.
    let first = unsafe { sample(block) };
    // SAFETY: as the caller promises.
    let last = unsafe { sample(tail) };
    let difference =
        [first, last].into_iter().flatten().fold(0, |all, word| all | word ^ FILL_WORD);
    difference == 0
}

/// Reads a sample of a dead block.
///
/// # Safety
///
/// `end` is one of the two places that [`fill_ends`] has filled.
#[inline]
unsafe fn sample(end: NonNull<u8>) -> [u64; 2] {
    // SAFETY: the caller guarantees a sample.
    unsafe { poison::allow_access(end, SAMPLE_BYTES) };
    // SAFETY: the caller guarantees a sample, which is initialised and aligned.
    unsafe { end.cast::<[u64; 2]>().read() }
}

/// Returns the offset of the first byte of a dead block's ends that was changed.
///
/// # Safety
///
/// As [`are_ends_filled`].
#[cold]
pub unsafe fn first_written(block: NonNull<u8>, usable_bytes: usize) -> Option<usize> {
    [0, usable_bytes - SAMPLE_BYTES].into_iter().find_map(|offset| {
        // SAFETY: within the block.
        let end = unsafe { block.add(offset) };
        // SAFETY: as the caller promises.
        let words = unsafe { sample(end) };
        let mut bytes = words.into_iter().flat_map(u64::to_ne_bytes);
        bytes.position(|byte| byte != poison::FILL).map(|at| offset + at)
    })
}

/// Makes a dead block of `usable_bytes` accessible, and makes its slack that of a live block of `size` bytes.
///
/// # Errors
///
/// In hardened modes, the offset of the first byte that was written while the memory was free.
///
/// # Safety
///
/// `block` was poisoned in this mode, has `usable_bytes >= size`, of which hardened modes leave a canary's, and
/// `content`; nothing uses it yet.
pub unsafe fn make_live<M: Mode>(
    secret: Secret,
    block: NonNull<u8>,
    size: usize,
    usable_bytes: usize,
    content: Content,
) -> Result<(), usize> {
    // SAFETY: the caller guarantees all that `make_accessible` does.
    unsafe { make_accessible::<M>(block, usable_bytes, content) }?;
    // SAFETY: the caller promises `usable_bytes`.
    unsafe { watch_slack::<M>(secret, block, size, usable_bytes) };
    Ok(())
}

/// Makes free memory accessible.
///
/// # Errors
///
/// As [`make_live`].
///
/// # Safety
///
/// `start` has so many bytes, which were poisoned in this mode, and `content`; nothing uses them yet.
pub unsafe fn make_accessible<M: Mode>(
    start: NonNull<u8>,
    bytes: usize,
    content: Content,
) -> Result<(), usize> {
    let written = if is_sampled::<M>() {
        // SAFETY: the caller guarantees poisoned memory.
        unsafe { poison::allow_access(start, bytes) };
        match content {
            // SAFETY: the caller guarantees that the ends were filled.
            Content::Filled if !unsafe { are_ends_filled(start, bytes) } => {
                // SAFETY: the caller guarantees that the ends were filled.
                unsafe { first_written(start, bytes) }
            }
            Content::Filled | Content::Unknown => None,
        }
    } else {
        // SAFETY: the caller guarantees poisoned memory.
        unsafe { poison::unpoison::<M>(start, bytes) }
    };
    written.map_or(Ok(()), Err)
}

/// Marks a block as dead that was damaged and stays taken: [`check`] recognises it.
///
/// # Safety
///
/// `block` has `usable_bytes`, at least those of a canary, and nothing uses it.
pub unsafe fn withhold(block: NonNull<u8>, usable_bytes: usize) {
    // SAFETY: the last word lies within the block.
    let last = unsafe { block.add(usable_bytes - CANARY_BYTES) };
    // SAFETY: the word is the block's.
    unsafe { poison::allow_access(last, CANARY_BYTES) };
    // SAFETY: the caller guarantees that nothing uses the block.
    unsafe { last.cast::<u64>().write_unaligned(FILL_WORD) };
    // SAFETY: the caller guarantees that nothing uses the block.
    unsafe { poison::deny_access(block, usable_bytes) };
}

/// Returns whether the canary of a block is that of a live block of `size` bytes: all that `Hardened` mode
/// compares. Nothing of the user is read, whatever the size.
///
/// # Safety
///
/// `block` is live with the canary of some size, or dead and filled; it has `usable_bytes`, and `size` leaves room
/// for a canary.
#[inline]
pub unsafe fn is_intact(
    secret: Secret,
    block: NonNull<u8>,
    size: usize,
    usable_bytes: usize,
) -> bool {
    let canary = secret.canary(block.addr().get(), size);
    // SAFETY: the last word of a block is canary or fill.
    if unsafe { word_at(block, usable_bytes - CANARY_BYTES) } != canary {
        return false;
    }
    // SAFETY: the last word says that the block has this size, so that the canary starts there.
    unsafe { word_at(block, size) == canary_at(canary, size) }
}

/// Reads eight bytes of a block's slack, lowest address first, and poisons them again.
///
/// # Safety
///
/// The bytes from the offset on are slack or fill of the block, and initialised.
#[inline]
unsafe fn word_at(block: NonNull<u8>, offset: usize) -> u64 {
    // SAFETY: within the block.
    let place = unsafe { block.add(offset) };
    // SAFETY: the bytes are the block's.
    unsafe { poison::allow_access(place, CANARY_BYTES) };
    // SAFETY: the caller guarantees initialised bytes.
    let word = u64::from_le(unsafe { place.cast::<u64>().read_unaligned() });
    // SAFETY: the bytes are slack or fill.
    unsafe { poison::deny_access(place, CANARY_BYTES) };
    word
}

/// Reads a byte of a block's slack and poisons it again.
///
/// # Safety
///
/// The byte is slack or fill of the block, and initialised.
unsafe fn byte_at(block: NonNull<u8>, offset: usize) -> u8 {
    // SAFETY: within the block.
    let place = unsafe { block.add(offset) };
    // SAFETY: the byte is the block's.
    unsafe { poison::allow_access(place, 1) };
    // SAFETY: the caller guarantees an initialised byte.
    let byte = unsafe { place.read() };
    // SAFETY: the byte is slack or fill.
    unsafe { poison::deny_access(place, 1) };
    byte
}

/// Compares a block's slack with the canary; in modes that are not hardened there is none.
///
/// # Errors
///
/// The fault, as a [`Slack`].
///
/// # Safety
///
/// As [`is_intact`].
pub unsafe fn check<M: Mode>(
    secret: Secret,
    block: NonNull<u8>,
    size: usize,
    usable_bytes: usize,
) -> Result<(), Slack> {
    if !M::HARDENED {
        return Ok(());
    }
    // SAFETY: the caller guarantees the contract.
    let is_intact = unsafe { is_intact(secret, block, size, usable_bytes) };
    if is_intact && !M::EXHAUSTIVE {
        return Ok(());
    }
    // SAFETY: the caller guarantees the contract.
    match unsafe { fault_in::<M>(secret, block, size, usable_bytes) } {
        Some(fault) => Err(fault),
        None => Ok(()),
    }
}

/// Says what is wrong with a block's slack.
///
/// # Safety
///
/// As [`is_intact`].
#[cold]
unsafe fn fault_in<M: Mode>(
    secret: Secret,
    block: NonNull<u8>,
    size: usize,
    usable_bytes: usize,
) -> Option<Slack> {
    let end = usable_bytes - CANARY_BYTES;
    // SAFETY: the last word of a block is canary or fill.
    if unsafe { word_at(block, end) } == FILL_WORD {
        return Some(Slack::Dead);
    }
    // SAFETY: the caller guarantees the contract.
    match unsafe { size_told::<M>(secret, block, usable_bytes) } {
        Some(told) if told != size => return Some(Slack::OfSize(told)),
        _ => {}
    }
    let canary = secret.canary(block.addr().get(), size);
    let is_written = |offset: usize| {
        // SAFETY: the eight bytes from `size` on and the last eight are canary as the last word says, or that was
        // overwritten; in `Exhaustive` mode the bytes between them are too.
        let byte = unsafe { byte_at(block, offset) };
        byte != canary_byte(canary, offset)
    };
    let compared =
        if M::EXHAUSTIVE { usable_bytes } else { (size + CANARY_BYTES).min(usable_bytes) };
    (size..compared).chain(end..usable_bytes).find(|&offset| is_written(offset)).map(Slack::Written)
}

/// Returns the size that the last word of a block's slack tells, which is no byte of the user at any size. Returns
/// `None` if it was overwritten, and in modes that are not hardened.
///
/// # Safety
///
/// `block` is live with the canary of some size, or dead and filled; it has `usable_bytes`.
pub unsafe fn size_told<M: Mode>(
    secret: Secret,
    block: NonNull<u8>,
    usable_bytes: usize,
) -> Option<usize> {
    if !M::HARDENED {
        return None;
    }
    let end = usable_bytes - CANARY_BYTES;
    // SAFETY: the last word of a block is canary or fill.
    let last = unsafe { word_at(block, end) };
    let product = last.wrapping_sub(secret.of_address(block.addr().get()));
    let told = product.wrapping_mul(SIZE_FACTOR_INVERSE);
    let told = usize::try_from(told).ok()?;
    // Blocks of runs are a granule smaller at most, borrowed slots a slot.
    (usable_bytes.saturating_sub(SLOT_BYTES_MAX)..=end).contains(&told).then_some(told)
}

/// Unpoisons a block's slack, before the whole block is poisoned or the slack is rewritten.
///
/// # Safety
///
/// `block` is a live block of `usable_bytes` whose slack starts at `size`.
#[inline]
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
/// `block` is a live block of formerly `old_usable` bytes whose slack is unpoisoned; it has `new_usable` bytes now,
/// which hold `size` and, in hardened modes, a canary, all of them usable.
pub unsafe fn rewrite_slack<M: Mode>(
    secret: Secret,
    block: NonNull<u8>,
    size: usize,
    old_usable: usize,
    new_usable: usize,
) {
    if new_usable < old_usable {
        // SAFETY: within the block as it was.
        let lost = unsafe { block.add(new_usable) };
        // SAFETY: the block gave these bytes up.
        unsafe { mark_fresh::<M>(lost, old_usable - new_usable) };
    }
    // SAFETY: the block has `new_usable` bytes.
    unsafe { watch_slack::<M>(secret, block, size, new_usable) };
}

/// Writes the canary, in hardened modes, and poisons what lies behind a block's first `size` bytes.
///
/// # Safety
///
/// `block` has `usable_bytes`, which hold `size` and, in hardened modes, a canary; the bytes behind `size` are
/// accessible and not in use.
#[inline]
pub unsafe fn watch_slack<M: Mode>(
    secret: Secret,
    block: NonNull<u8>,
    size: usize,
    usable_bytes: usize,
) {
    // SAFETY: within the block.
    let slack = unsafe { block.add(size) };
    if M::HARDENED {
        let canary = secret.canary(block.addr().get(), size);
        if M::EXHAUSTIVE {
            for offset in size..usable_bytes {
                // SAFETY: the slack is the block's.
                unsafe { block.add(offset).write(canary_byte(canary, offset)) };
            }
        }
        // SAFETY: the slack has room for a canary.
        unsafe { slack.cast::<u64>().write_unaligned(canary_at(canary, size).to_le()) };
        // SAFETY: within the block.
        let last = unsafe { block.add(usable_bytes - CANARY_BYTES) };
        // SAFETY: the slack ends with a canary, as it has room for one.
        unsafe { last.cast::<u64>().write_unaligned(canary.to_le()) };
    }
    // SAFETY: the slack is the block's.
    unsafe { poison::deny_access(slack, usable_bytes - size) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::SizeClass;
    use slab_core::{Exhaustive, Hardened};

    const SECRET: Secret = Secret(0x0123_4567_89AB_CDEF);

    /// Memory for a block, aligned as blocks are.
    #[repr(C, align(16))]
    struct Memory([u8; 10 * 1024]);

    fn live<M: Mode>(memory: &mut Memory, size: usize, usable: usize) -> NonNull<u8> {
        let block = NonNull::from(memory).cast();
        // SAFETY: the memory is long enough and used through `block` alone.
        unsafe { watch_slack::<M>(SECRET, block, size, usable) };
        block
    }

    fn told<M: Mode>(size: usize, usable: usize) {
        let mut memory = Memory([0; _]);
        let block = live::<M>(&mut memory, size, usable);
        // SAFETY: a live block.
        assert_eq!(unsafe { size_told::<M>(SECRET, block, usable) }, Some(size));
        for other in [size.saturating_sub(1), size + 1].map(|other| other.min(usable - 8)) {
            // SAFETY: a live block.
            let outcome = unsafe { check::<M>(SECRET, block, other, usable) };
            assert_eq!(outcome, if other == size { Ok(()) } else { Err(Slack::OfSize(size)) });
        }
        // SAFETY: nothing uses the block.
        unsafe { withhold(block, usable) };
        // SAFETY: a withheld block.
        assert_eq!(unsafe { size_told::<M>(SECRET, block, usable) }, None);
        // SAFETY: a withheld block.
        assert_eq!(unsafe { check::<M>(SECRET, block, size, usable) }, Err(Slack::Dead));
    }

    /// The last bytes of a block alone tell its size, among all that a slot or run may have, and that
    /// it is live.
    #[test]
    #[cfg_attr(miri, ignore = "slow")]
    fn the_end_of_a_block_tells_its_size() {
        for usable in SizeClass::all().map(SizeClass::slot_bytes).chain([1, 5, 9].map(|n| n * 1024))
        {
            for size in usable.saturating_sub(SLOT_BYTES_MAX)..=usable - CANARY_BYTES {
                told::<Hardened>(size, usable);
                if size % 64 == 0 {
                    told::<Exhaustive>(size, usable);
                }
            }
        }
    }

    #[test]
    fn every_changed_byte_of_a_canary_is_found() {
        for (size, usable) in
            [(0, 16), (8, 16), (9, 32), (20, 32), (24, 32), (100, 112), (600, 640)]
        {
            for offset in (size..size + CANARY_BYTES).chain(usable - CANARY_BYTES..usable) {
                for change in [1, 0x80, 0xFF] {
                    let mut memory = Memory([0; _]);
                    let block = live::<Hardened>(&mut memory, size, usable);
                    // SAFETY: the block's slack, which is initialised.
                    unsafe {
                        let byte = block.add(offset);
                        poison::allow_access(byte, 1);
                        byte.write(byte.read() ^ change);
                        let outcome = check::<Hardened>(SECRET, block, size, usable);
                        assert_eq!(outcome, Err(Slack::Written(offset)));
                    }
                }
            }
        }
    }

    #[test]
    fn the_canary_is_the_same_word_at_every_phase() {
        let canary = SECRET.canary(0x1230, 77);
        for offset in 0..16 {
            let bytes = canary_at(canary, offset).to_le_bytes();
            assert!((0..8).all(|at| bytes[at] == canary_byte(canary, offset + at)));
        }
    }
}
