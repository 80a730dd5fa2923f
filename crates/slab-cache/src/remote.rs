//! The remote free list of a slab: slots that any thread frees without the lock.
//!
//! One word holds the newest slot of the list and a countdown. The memory of each listed slot begins with
//! the number of the slot listed before it. The countdown says after how many frees the slab changes its
//! [`Place`](crate::slab::Place); the free that ends it *claims* the slab: its thread takes the lock and
//! relists the slab.
//!
//! | bits | |
//! |---|---|
//! | 0–15 | the newest slot of the list, or `NONE` |
//! | 16–31 | the countdown; `STOPPED` does not count |
//!
//! | countdown | means | a free changes it to | left by |
//! |---|---|---|---|
//! | `STOPPED` | the slab is the active one, or the holder of the lock works on it | `STOPPED` | [`start`](RemoteList::start) |
//! | above 1 | so many frees are left | one less | a free, or [`collect`](RemoteList::collect) |
//! | 1 | the next free claims the slab | 0; **the caller relists the slab** | a free, or [`collect`](RemoteList::collect) |
//! | 0 | the slab is claimed and stays attached until it is relisted | 0 | [`collect_claimed`](RemoteList::collect_claimed), or [`abandon_claim`](RemoteList::abandon_claim) |
//!
//! One free changes 1 to 0, so a slab has one claimant at a time, and only the claimant may touch the slab
//! afterwards: the slots of other threads may have been the last, and the slab may be deallocated by now.
//!
//! Threads never remove a single slot from the list, so there is no ABA problem.
#![expect(unsafe_code, reason = "links lie in freed slots")]

use core::ptr::NonNull;

use slab_core::sync::atomic::AtomicUsize;
#[cfg(target_has_atomic = "ptr")]
use slab_core::sync::atomic::Ordering;

/// The end of a list. No slot has this number.
pub const NONE: u16 = u16::MAX;
const STOPPED: u16 = u16::MAX;
const COUNTDOWN_SHIFT: u32 = 16;

/// An empty list with a stopped countdown.
const IDLE: usize = pack(NONE, STOPPED);
/// An empty list of a claimed slab.
#[cfg(target_has_atomic = "ptr")]
const CLAIMED: usize = pack(NONE, 0);

/// Whether slots can be freed without the lock on this target.
pub const IS_POSSIBLE: bool = cfg!(target_has_atomic = "ptr");

const fn pack(newest: u16, countdown: u16) -> usize {
    newest as usize | (countdown as usize) << COUNTDOWN_SHIFT
}

#[cfg(target_has_atomic = "ptr")]
const fn countdown_of(word: usize) -> u16 {
    (word >> COUNTDOWN_SHIFT) as u16
}

/// The word of a slab.
#[derive(Debug)]
#[repr(transparent)]
pub struct RemoteList(#[cfg_attr(not(target_has_atomic = "ptr"), expect(dead_code))] AtomicUsize);

impl RemoteList {
    /// Returns an empty list with a stopped countdown.
    pub fn new() -> Self {
        Self(AtomicUsize::new(IDLE))
    }
}

#[cfg(target_has_atomic = "ptr")]
impl RemoteList {
    /// Pushes a slot, and returns whether the caller has claimed the slab. *O*(1), repeated while other
    /// threads push.
    ///
    /// # Safety
    ///
    /// The slot is number `slot` of this list's slab and starts at `start`; the caller owns it and gives it
    /// up. Unless this returns `true`, the caller does not touch the slab afterwards.
    #[inline]
    pub unsafe fn push(&self, start: NonNull<u8>, slot: u16) -> bool {
        // Relaxed: the word is compared and stored again, and nothing else is read because of it.
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let link = start.cast::<u16>();
            // SAFETY: a slot has room for a link, and the caller owns this one.
            unsafe { link.write_unaligned(word as u16) };
            let before = countdown_of(word);
            let left = if before == STOPPED || before == 0 { before } else { before - 1 };
            // Release: the thread that takes the list sees the link and the end of the value's life.
            let (done, failed) = (Ordering::Release, Ordering::Relaxed);
            match self.0.compare_exchange_weak(word, pack(slot, left), done, failed) {
                Ok(_) => return before == 1,
                Err(now) => word = now,
            }
        }
    }

    /// Takes the list and stops the countdown, unless the slab is claimed. Returns the newest slot, or
    /// [`NONE`]. The caller holds the lock.
    pub fn collect(&self) -> u16 {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let left = if countdown_of(word) == 0 { CLAIMED } else { IDLE };
            if word == left {
                return NONE;
            }
            // Acquire: the links, and what the owners of the slots did, are visible from here on.
            match self.0.compare_exchange_weak(word, left, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return word as u16,
                Err(now) => word = now,
            }
        }
    }

    /// Takes the list and ends the claim. The caller is the claimant and holds the lock.
    pub fn collect_claimed(&self) -> u16 {
        // Acquire: as in `collect`.
        self.0.swap(IDLE, Ordering::Acquire) as u16
    }

    /// Passes the claim on to the next free: the claimant cannot get the lock. It does not touch the slab
    /// afterwards.
    pub fn abandon_claim(&self) {
        // The countdown is 0 while the slab is claimed, so this makes it 1 and changes no other bit.
        // Release: what the claimant did with the slab happens before the slab is deallocated.
        self.0.fetch_add(1 << COUNTDOWN_SHIFT, Ordering::Release);
    }

    /// Starts the countdown. Returns `false` if a slot was pushed since the list was taken, or if the slab is
    /// claimed.
    pub fn start(&self, frees: u32) -> bool {
        debug_assert!(frees > 0 && frees < u32::from(STOPPED));
        // Relaxed: nothing else is read because of this word.
        let order = Ordering::Relaxed;
        self.0.compare_exchange(IDLE, pack(NONE, frees as u16), order, order).is_ok()
    }

    /// Returns whether the slab is claimed, so that it has to stay attached. The caller holds the lock.
    pub fn is_claimed(&self) -> bool {
        // Relaxed: a free sets it once, and it is reset under the lock. A claim that is seen late belongs
        // to a slab that has a slot to be collected, and so is in use.
        countdown_of(self.0.load(Ordering::Relaxed)) == 0
    }
}

/// Targets without compare-and-swap free under the lock.
#[cfg(not(target_has_atomic = "ptr"))]
impl RemoteList {
    /// # Safety
    ///
    /// None: it is not called.
    pub unsafe fn push(&self, _: NonNull<u8>, _: u16) -> bool {
        unreachable!("this target frees under the lock")
    }

    pub fn collect(&self) -> u16 {
        NONE
    }

    pub fn collect_claimed(&self) -> u16 {
        NONE
    }

    pub fn abandon_claim(&self) {}

    pub fn start(&self, _: u32) -> bool {
        true
    }

    pub fn is_claimed(&self) -> bool {
        false
    }
}

/// Returns the number of the slot that was pushed before this one.
///
/// # Safety
///
/// The slot was pushed and then taken with its list, and was not allocated since.
#[inline]
pub unsafe fn link_of(start: NonNull<u8>) -> u16 {
    // SAFETY: `push` wrote the link, and the slot has no owner since.
    unsafe { start.cast::<u16>().read_unaligned() }
}
