//! The misuse matrix of a segment of slots, where `slots.rs` leaves a cell empty: what each mode says to
//! a stack pointer, to a double free after reuse and to a token that outlived its slot's content.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "misuses raw memory")]

use std::ptr::NonNull;

use slab_core::{Checked, Hardened, Mode, Slot, SlotError, Slots, Unchecked};
use slab_testkit::Arena;

const REGION_BYTES: usize = 1000;

/// Makes slots over an arena, which callers keep longer.
fn slots<M: Mode>(arena: &Arena) -> Slots<u64, M> {
    // SAFETY: the arena is that long, outlives the slots and is used through them alone.
    unsafe { Slots::new(arena.region().cast(), REGION_BYTES) }.expect("large enough")
}

fn stack_pointer<M: Mode>() {
    let arena = Arena::new(REGION_BYTES, 0);
    let mut slots = slots::<M>(&arena);
    let local = 0_u64;
    // SAFETY: no slot starts there, which every mode finds out.
    let outcome = unsafe { slots.try_push_slot(NonNull::from(&local)) };
    assert!(matches!(outcome, Err(SlotError::InvalidPointer { .. })), "{outcome:?}");
    assert_eq!(slots.live_count(), 0);
}

#[test]
fn a_stack_pointer_is_refused_in_every_mode() {
    stack_pointer::<Unchecked>();
    stack_pointer::<Checked>();
    stack_pointer::<Hardened>();
}

/// The address names a live slot and is taken for that; the owner's push is the one refused. Tokens
/// cannot do this: it takes a pointer that was kept.
fn double_free_after_reuse<M: Mode>() {
    let arena = Arena::new(REGION_BYTES, 0);
    let mut slots = slots::<M>(&arena);
    let kept = slots.try_pop_slot().expect("free").into_ptr();
    // SAFETY: live, and its token was given up.
    unsafe { slots.try_push_slot(kept) }.expect("live");
    let reused = slots.try_pop_slot().expect("free").into_ptr();
    assert_eq!(kept, reused, "the slot that came back last is the first out");
    // SAFETY: the mistake: the slot is another's by now, who in this test does not use it.
    unsafe { slots.try_push_slot(kept) }.expect("it is live");
    // SAFETY: a tracking mode refuses what is not live.
    let outcome = unsafe { slots.try_push_slot(reused) };
    assert_eq!(outcome, Err(SlotError::DoubleFree { slot: 0 }));
    slots.validate().expect("consistent");
}

#[test]
fn a_double_free_after_reuse_is_found_at_the_next_push() {
    double_free_after_reuse::<Checked>();
    double_free_after_reuse::<Hardened>();
}

/// A canary says whose it is: a copy of a neighbour's, as a loop one element too long leaves it, is an
/// overrun.
#[test]
fn hardened_takes_no_other_slots_canary() {
    let arena = Arena::new(REGION_BYTES, 0);
    let mut slots = slots::<Hardened>(&arena);
    let [token, next] = [(); 2].map(|()| slots.try_pop_slot().expect("free"));
    let canary = |token: &Slot<u64>| {
        // SAFETY: the canary lies behind the block.
        unsafe { token.as_ptr().add(1) }
    };
    let (to, from) = (canary(&token), canary(&next));
    // SAFETY: the canary is initialised.
    let own = unsafe { to.read_unaligned() };
    // SAFETY: as above.
    let other = unsafe { from.read_unaligned() };
    assert_ne!(own, other);
    // SAFETY: a user's mistake.
    unsafe { to.write_unaligned(other) };
    // SAFETY: nobody uses the slot while it is refused.
    let outcome = unsafe { slots.try_push_slot(token.as_ptr()) };
    assert_eq!(outcome, Err(SlotError::Overrun { slot: 0 }));
    // SAFETY: undoes the mistake.
    unsafe { to.write_unaligned(own) };
    slots.push(token).expect("whole again");
    slots.push(next).expect("whole all the while");
}
