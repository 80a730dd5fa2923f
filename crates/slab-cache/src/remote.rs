//! The word of a slab to which its slots come back without the lock.
//!
//! The word holds the slot that came back last, whose memory begins with the number of the one before
//! it, and how many may still come back before somebody has to look:
//!
//! | bits | |
//! |---|---|
//! | 0–15 | the newest slot of the list, or `NONE` |
//! | 16–31 | `due`: frees until the slab calls for attention; `NEVER` does not count down |
//!
//! | state | means | a free makes of it | left by |
//! |---|---|---|---|
//! | due = `NEVER` | the front, or under the hands of who holds the lock | a longer list | [`arm`] |
//! | due > 1 | counts down | a longer list, due − 1 | that, or [`collect`] |
//! | due = 1 | the next free calls | due = 0; **the caller has to attend to the slab** | that, or [`collect`] |
//! | due = 0 | somebody is on the way: the slab stays attached until he was there | a longer list | [`attend`], or [`call_again`] |
//!
//! Only one free turns 1 into 0, so there is one caller a call, and only he may touch the slab
//! afterwards: the others' slots may have been the last, and the slab given back by now.
//!
//! Nobody takes a single slot out of the list, so a head that was seen before is no danger.
#![expect(unsafe_code, reason = "links lie in slots that were freed")]

use core::ptr::NonNull;

#[cfg(target_has_atomic = "ptr")]
use slab_core::sync::atomic::Ordering;

use crate::geometry::Geometry;
use crate::slab::SlabRef;

/// Ends a list. No slot has this number.
pub const NONE: u16 = u16::MAX;
const NEVER: u16 = u16::MAX;
const DUE_SHIFT: u32 = 16;

/// An empty list of which nobody wants to hear.
pub const IDLE: usize = pack(NONE, NEVER);
/// An empty list to whose slab somebody is on the way.
#[cfg(target_has_atomic = "ptr")]
const CALLED: usize = pack(NONE, 0);

/// Whether slots can come back without the lock on this target.
pub const IS_POSSIBLE: bool = cfg!(target_has_atomic = "ptr");

const fn pack(head: u16, due: u16) -> usize {
    head as usize | (due as usize) << DUE_SHIFT
}

#[cfg(target_has_atomic = "ptr")]
const fn due_of(word: usize) -> u16 {
    (word >> DUE_SHIFT) as u16
}

/// Lists a slot, and returns whether the caller has to attend to the slab. *O*(1), retried while others
/// list theirs.
///
/// # Safety
///
/// The slot is number `slot` of the slab and starts at `start`; the caller owns it and gives it up.
/// Unless this returns `true`, the caller does not touch the slab any more.
#[cfg(target_has_atomic = "ptr")]
#[inline]
pub unsafe fn push(slab: SlabRef, start: NonNull<u8>, slot: u16) -> bool {
    let remote = slab.remote();
    // Relaxed: what is read here is only compared and stored again.
    let mut word = remote.load(Ordering::Relaxed);
    loop {
        let link = start.cast::<u16>();
        // SAFETY: slots have room for a link, and this one is the caller's.
        unsafe { link.write_unaligned(word as u16) };
        let due = due_of(word);
        let left = if due == NEVER || due == 0 { due } else { due - 1 };
        // Release: whoever takes the list sees the link and the end of the value that was there.
        let (done, failed) = (Ordering::Release, Ordering::Relaxed);
        match remote.compare_exchange_weak(word, pack(slot, left), done, failed) {
            Ok(_) => return due == 1,
            Err(now) => word = now,
        }
    }
}

/// Takes the list, and makes the slab one of which nobody wants to hear, unless somebody is on the way.
/// Returns the newest slot, or [`NONE`]. The caller holds the lock.
#[cfg(target_has_atomic = "ptr")]
pub fn collect(slab: SlabRef) -> u16 {
    let remote = slab.remote();
    let mut word = remote.load(Ordering::Relaxed);
    loop {
        let left = if due_of(word) == 0 { CALLED } else { IDLE };
        if word == left {
            return NONE;
        }
        // Acquire: the links and what the owners of the slots did are seen from here on.
        match remote.compare_exchange_weak(word, left, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => return word as u16,
            Err(now) => word = now,
        }
    }
}

/// As [`collect`], by the one who was called.
#[cfg(target_has_atomic = "ptr")]
pub fn attend(slab: SlabRef) -> u16 {
    // Acquire: as in `collect`.
    slab.remote().swap(IDLE, Ordering::Acquire) as u16
}

/// Hands the call for a slab on to its next free: the caller was called and cannot get the lock. The caller
/// does not touch the slab any more.
#[cfg(target_has_atomic = "ptr")]
pub fn call_again(slab: SlabRef) {
    // `due` is 0 until the caller attends, so this makes 1 of it and changes no other bit. Release: what
    // the caller did with the slab comes before the slab is given back.
    slab.remote().fetch_add(1 << DUE_SHIFT, Ordering::Release);
}

/// Asks to be called after `due` more frees. `false` if slots came back since the list was taken, or if
/// somebody is on the way already.
#[cfg(target_has_atomic = "ptr")]
pub fn arm(slab: SlabRef, due: u32) -> bool {
    debug_assert!(due > 0 && due < u32::from(NEVER));
    // Relaxed: nobody reads anything else because of this word.
    let order = Ordering::Relaxed;
    slab.remote().compare_exchange(IDLE, pack(NONE, due as u16), order, order).is_ok()
}

/// Returns whether somebody is on the way to the slab: it must not be given back.
#[cfg(target_has_atomic = "ptr")]
pub fn is_called(slab: SlabRef) -> bool {
    // Relaxed: it is set once by a free and reset under the lock, which the caller holds. A call that
    // is seen late concerns a slab that still has a used slot to be collected.
    due_of(slab.remote().load(Ordering::Relaxed)) == 0
}

/// Returns the link of a slot of a list that was collected, before the slot is handed out again. The
/// caller holds the lock.
#[inline]
pub fn link(slab: SlabRef, slot: u32, geometry: &Geometry) -> u16 {
    let cell = slab.slot_start(slot, geometry).cast::<u16>();
    // SAFETY: `push` wrote it when the slot was listed, and nobody owns the slot since.
    unsafe { cell.read_unaligned() }
}

/// What a target without compare-and-swap has instead: all of it is under the lock.
#[cfg(not(target_has_atomic = "ptr"))]
mod never {
    use super::{NONE, NonNull, SlabRef};

    pub unsafe fn push(_: SlabRef, _: NonNull<u8>, _: u16) -> bool {
        unreachable!("such a target frees under the lock")
    }

    pub fn collect(_: SlabRef) -> u16 {
        NONE
    }

    pub fn attend(_: SlabRef) -> u16 {
        NONE
    }

    pub fn call_again(_: SlabRef) {}

    pub fn arm(_: SlabRef, _: u32) -> bool {
        true
    }

    pub fn is_called(_: SlabRef) -> bool {
        false
    }
}
#[cfg(not(target_has_atomic = "ptr"))]
pub use never::{arm, attend, call_again, collect, is_called, push};
