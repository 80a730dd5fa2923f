//! Broken bookkeeping, which only this module can cause: `validate` must find it.
#![expect(unsafe_code, reason = "gives buffers away")]

use core::ptr::NonNull;

use super::{SlotError, Slots};
use crate::{Checked, Hardened, Mode};

fn with_slots<M: Mode>(action: impl FnOnce(&mut Slots<u64, M>)) {
    let mut buffer = [0_u64; 40];
    // SAFETY: the buffer has 320 bytes and is used through the slots alone.
    let slots = unsafe { Slots::new(NonNull::from(&mut buffer).cast(), 320) };
    let mut slots = slots.expect("large enough");
    let [first, second, third] = [(); 3].map(|()| slots.try_pop_slot().expect("free"));
    for slot in [third, first] {
        slots.push(slot).expect("ours");
    }
    let _kept = second;
    slots.validate().expect("nothing is broken yet");
    action(&mut slots);
}

#[test]
fn a_lost_live_bit_is_a_miscount() {
    with_slots::<Checked>(|slots| {
        slots.live.set_dead(1);
        assert_eq!(slots.validate(), Err(SlotError::Miscount { tracked: 0, counted: 1 }));
    });
}

#[test]
fn a_live_bit_too_many_is_seen() {
    with_slots::<Checked>(|slots| {
        slots.live.set_live(7);
        assert_eq!(slots.validate(), Err(SlotError::Miscount { tracked: 2, counted: 1 }));
        slots.live.set_dead(1);
        assert!(slots.validate().is_err(), "the number is right, but slot 7 was never handed out");
    });
}

#[test]
fn a_listed_slot_marked_as_live_is_seen() {
    with_slots::<Checked>(|slots| {
        slots.live.set_live(2);
        let error = slots.validate().expect_err("slot 0 links to it");
        assert!(matches!(error, SlotError::CorruptLink(_)), "{error}");
    });
}

#[test]
fn a_slot_carved_and_forgotten_is_a_miscount() {
    with_slots::<Hardened>(|slots| {
        slots.carved += 1;
        assert_eq!(slots.validate(), Err(SlotError::Miscount { tracked: 1, counted: 2 }));
    });
}
