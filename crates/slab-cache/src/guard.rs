//! What is checked beyond the live bits: the seal of a header, that dead slots stay untouched, and that
//! nobody wrote past the end of a live one.
//!
//! | slot | `Hardened` |
//! |---|---|
//! | live | value, canary of 8 bytes |
//! | dead | fill, the same canary |
//!
//! A slot keeps its canary for ever: it is written when the slab is made, and looked at whenever the slot
//! changes hands.
#![expect(unsafe_code, reason = "reads and writes what lies beside values")]

use core::ptr::NonNull;

use slab_core::{Hardened, Mode, poison};

use crate::geometry::{CANARY_BYTES, Geometry, LINK_BYTES};
use crate::slab::SlabRef;

/// Seals the header of a slab, and fills its slots as dead ones are.
///
/// # Safety
///
/// The slab's header was written, nobody uses its slots, and the geometry is hardened.
pub unsafe fn prepare(slab: SlabRef, geometry: &Geometry) {
    let cell = seal_cell(slab, geometry);
    // SAFETY: a hardened slab has room for a seal there.
    unsafe { cell.write(seal(slab)) };
    let bytes = slab.slots() as usize * geometry.stride;
    // SAFETY: that many bytes of slots lie from there, which nobody uses.
    unsafe { poison::retire::<Hardened>(slab.slot_start(0, geometry), bytes) };
    for slot in 0..slab.slots() {
        // SAFETY: as above, and a hardened slot has room for it.
        unsafe { set_canary(slab.slot_start(slot, geometry), geometry.value_bytes) };
    }
}

/// Returns whether the header of a hardened slab is as it was written. *O*(1).
///
/// What is not a slab at all is read like one: this finds mistakes, and is no proof.
pub fn is_intact(slab: SlabRef, geometry: &Geometry) -> bool {
    let cell = seal_cell(slab, geometry);
    // SAFETY: `prepare` wrote it, unless the caller was given a pointer into something else.
    let found = unsafe { cell.read() };
    found == seal(slab)
}

/// Returns whether a slab's count fits its live map. *O*(words of the slab).
pub fn is_counted(slab: SlabRef, geometry: &Geometry) -> bool {
    let live: u32 = (0..geometry.words).map(|word| slab.live(word).len()).sum();
    live == slab.used() && live <= slab.slots()
}

/// Marks a slot as dead, but for its link. *O*(1), in `Hardened` mode *O*(size of the value).
///
/// # Safety
///
/// The slot starts there, and nobody needs what is in it.
#[inline(always)]
pub unsafe fn bury<M: Mode>(start: NonNull<u8>, value_bytes: usize) {
    let (offset, bytes) = dead_part::<M>(value_bytes);
    // SAFETY: the part lies in the slot.
    let part = unsafe { start.add(offset) };
    // SAFETY: the caller gives the slot up.
    unsafe { poison::retire::<M>(part, bytes) };
}

/// Makes a dead slot usable, and returns the first byte that was written since it was buried, where the
/// mode can tell.
///
/// # Safety
///
/// The slot starts there, is the caller's, and was buried or, not in `Hardened` mode, never used.
#[inline(always)]
pub unsafe fn unearth<M: Mode>(start: NonNull<u8>, value_bytes: usize) -> Option<usize> {
    let (offset, bytes) = dead_part::<M>(value_bytes);
    // SAFETY: the part lies in the slot.
    let part = unsafe { start.add(offset) };
    // SAFETY: the caller's promise.
    let written = unsafe { poison::revive::<M>(part, bytes) }.map(|at| at + offset);
    // SAFETY: the slot is one of this mode.
    written.or_else(|| unsafe { overrun::<M>(start, value_bytes) })
}

/// Returns the offset of the first byte behind the value that was written, where the mode can tell.
///
/// # Safety
///
/// A slot of a slab of this mode starts there.
#[inline(always)]
pub unsafe fn overrun<M: Mode>(start: NonNull<u8>, value_bytes: usize) -> Option<usize> {
    if !M::HARDENED {
        return None;
    }
    // SAFETY: a hardened slot holds the value and its canary.
    let cell = unsafe { start.add(value_bytes) };
    // SAFETY: the canary is the cache's.
    unsafe { poison::permit(cell, CANARY_BYTES) };
    // SAFETY: `prepare` wrote it, and nobody has a right to since.
    let found = unsafe { cell.cast::<u64>().read_unaligned() };
    // SAFETY: as above.
    unsafe { poison::forbid(cell, CANARY_BYTES) };
    first_difference(found, canary(start)).map(|at| value_bytes + at)
}

/// Returns the place in memory of the first byte in which two words differ.
#[inline(always)]
fn first_difference(found: u64, expected: u64) -> Option<usize> {
    #[cold]
    fn search(found: u64, expected: u64) -> Option<usize> {
        found
            .to_ne_bytes()
            .iter()
            .zip(expected.to_ne_bytes())
            .position(|(&one, other)| one != other)
    }
    if found == expected { None } else { search(found, expected) }
}

/// Writes the canary of a slot, and keeps everybody off it where a tool can.
///
/// # Safety
///
/// The slot starts there, is the caller's, and holds a canary behind the value.
unsafe fn set_canary(start: NonNull<u8>, value_bytes: usize) {
    // SAFETY: the caller's promise.
    let cell = unsafe { start.add(value_bytes) };
    // SAFETY: as above.
    unsafe { poison::permit(cell, CANARY_BYTES) };
    // SAFETY: as above.
    unsafe { cell.cast::<u64>().write_unaligned(canary(start)) };
    // SAFETY: the canary is nobody's to read or write.
    unsafe { poison::forbid(cell, CANARY_BYTES) };
}

/// Returns what lies behind a value: it differs from slot to slot.
fn canary(start: NonNull<u8>) -> u64 {
    scramble(!(start.addr().get() as u64))
}

/// Returns where the part of a dead slot that nobody uses begins, and how long it is.
const fn dead_part<M: Mode>(value_bytes: usize) -> (usize, usize) {
    if M::HARDENED {
        (0, value_bytes)
    } else if value_bytes < LINK_BYTES {
        (0, 0)
    } else {
        (LINK_BYTES, value_bytes - LINK_BYTES)
    }
}

fn seal_cell(slab: SlabRef, geometry: &Geometry) -> NonNull<u64> {
    // SAFETY: the offset lies in the slab.
    unsafe { slab.start().add(geometry.seal_offset()) }.cast()
}

/// Returns the seal that fits what never changes in a header.
fn seal(slab: SlabRef) -> u64 {
    let words = [slab.core().addr(), slab.chunk().addr(), slab.start().addr()];
    let fields = u64::from(slab.slots()) << 8 | u64::from(slab.index());
    words.iter().fold(scramble(fields), |seal, word| scramble(seal ^ word.get() as u64))
}

/// The finaliser of SplitMix64: each bit of the result depends on each bit of `word`.
fn scramble(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}
