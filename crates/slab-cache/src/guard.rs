//! The checks of a mode beyond the live bits: the checksum of a header, that free slots stay untouched, and
//! that no write passes the end of a value.
//!
//! | slot | `Hardened` |
//! |---|---|
//! | live | value, canary of 8 bytes |
//! | free | fill, the same canary |
//!
//! A canary is written when the slab is made and never changes. It is compared whenever the slot is
//! allocated or freed.
#![expect(unsafe_code, reason = "reads and writes the bytes beside values")]

use core::ptr::NonNull;

use slab_core::{Hardened, Mode, poison};

use crate::geometry::{CANARY_BYTES, Geometry, LINK_BYTES};
use crate::slab::SlabRef;

/// Writes the checksum of a slab's header, the fill and the canaries.
///
/// # Safety
///
/// The slab's header was written, nothing uses its slots, and the geometry is hardened.
pub unsafe fn init(slab: SlabRef, geometry: &Geometry) {
    let cell = checksum_cell(slab, geometry);
    let bytes = slab.slots() as usize * geometry.stride;
    // SAFETY: a hardened slab has room for a checksum there, and the unused slots take that many bytes from
    // the first on.
    unsafe {
        cell.write(checksum(slab));
        poison::poison::<Hardened>(geometry.slot_start(slab, 0), bytes);
    }
    for slot in 0..slab.slots() {
        // SAFETY: nothing uses the slot, and a hardened slot has room for a canary.
        unsafe { set_canary(geometry.slot_start(slab, slot), geometry.value_bytes) };
    }
}

/// Returns whether the header of a hardened slab has its checksum. *O*(1).
///
/// The caller may have been given a pointer that lies in no slab. Then this reads whatever is there: it
/// detects most mistakes, and proves nothing.
pub fn is_intact(slab: SlabRef, geometry: &Geometry) -> bool {
    let cell = checksum_cell(slab, geometry);
    // SAFETY: `init` wrote it, if this is a slab of the cache, as the owner of the slot promises.
    let found = unsafe { cell.read() };
    found == checksum(slab)
}

/// Returns whether a slab's count of used slots agrees with its live map. *O*(words of the slab).
pub fn is_counted(slab: SlabRef, geometry: &Geometry) -> bool {
    let live: u32 = (0..geometry.words).map(|word| slab.live(word).len()).sum();
    live == slab.used() && live <= slab.slots()
}

/// Poisons a freed slot, except for its link. *O*(1), in `Hardened` mode *O*(size of the value).
///
/// # Safety
///
/// The slot starts there, and its content is not needed any more.
#[inline(always)]
pub unsafe fn poison<M: Mode>(start: NonNull<u8>, value_bytes: usize) {
    let (offset, bytes) = poisoned_part::<M>(value_bytes);
    // SAFETY: the part lies in the slot, which the caller gives up.
    unsafe { poison::poison::<M>(start.add(offset), bytes) };
}

/// Unpoisons a slot, and returns the first byte that was written since it was freed, where the mode can
/// tell.
///
/// # Safety
///
/// The slot starts there and is the caller's. It was poisoned or, not in `Hardened` mode, never used.
#[inline(always)]
pub unsafe fn unpoison<M: Mode>(start: NonNull<u8>, value_bytes: usize) -> Option<usize> {
    let (offset, bytes) = poisoned_part::<M>(value_bytes);
    // SAFETY: the part lies in the slot, which is the caller's and of this mode.
    unsafe {
        let written = poison::unpoison::<M>(start.add(offset), bytes).map(|at| at + offset);
        written.or_else(|| overrun::<M>(start, value_bytes))
    }
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
    // SAFETY: a hardened slot holds the value and its canary, which `init` wrote and which only this module
    // accesses.
    let found = unsafe {
        let cell = start.add(value_bytes);
        poison::allow_access(cell, CANARY_BYTES);
        let found = cell.cast::<u64>().read_unaligned();
        poison::deny_access(cell, CANARY_BYTES);
        found
    };
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

/// Writes the canary of a slot, and poisons it for the tools that can tell.
///
/// # Safety
///
/// The slot starts there, is the caller's, and has room for a canary behind the value.
unsafe fn set_canary(start: NonNull<u8>, value_bytes: usize) {
    // SAFETY: the canary lies in the slot, which is the caller's; values do not reach it.
    unsafe {
        let cell = start.add(value_bytes);
        poison::allow_access(cell, CANARY_BYTES);
        cell.cast::<u64>().write_unaligned(canary(start));
        poison::deny_access(cell, CANARY_BYTES);
    }
}

/// Returns the canary of a slot; each slot has another one.
fn canary(start: NonNull<u8>) -> u64 {
    scramble(!(start.addr().get() as u64))
}

/// Returns the offset and the length of the part of a free slot that is poisoned.
const fn poisoned_part<M: Mode>(value_bytes: usize) -> (usize, usize) {
    if M::HARDENED {
        (0, value_bytes)
    } else if value_bytes < LINK_BYTES {
        (0, 0)
    } else {
        (LINK_BYTES, value_bytes - LINK_BYTES)
    }
}

fn checksum_cell(slab: SlabRef, geometry: &Geometry) -> NonNull<u64> {
    // SAFETY: the offset lies in the slab.
    unsafe { slab.at_offset(geometry.checksum_offset()) }.cast()
}

/// Returns the checksum of the fields of a header that never change.
fn checksum(slab: SlabRef) -> u64 {
    let words = [slab.core().addr(), slab.chunk().addr(), slab.start().addr()];
    let fields = u64::from(slab.slots()) << 8 | u64::from(slab.index());
    words.iter().fold(scramble(fields), |sum, word| scramble(sum ^ word.get() as u64))
}

/// The finaliser of SplitMix64: each bit of the result depends on each bit of `word`.
fn scramble(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}
