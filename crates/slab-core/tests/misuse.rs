//! Misuse of a segment of slots: which mistakes each mode finds, and that a refusal changes nothing.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "misuses raw memory")]

mod common;

use std::collections::BTreeSet;
use std::ptr::NonNull;

use common::{FEW_BYTES, Unaligned, link_of, pop_all, slots_in};
use slab_core::{Checked, Hardened, Mode, Slot, SlotError, SlotIndex, Tracking, Unchecked, canary};
use slab_testkit::Arena;

const REGION_BYTES: usize = 1000;

fn stack_pointer<M: Mode>() {
    let arena = Arena::new(REGION_BYTES, 0);
    let mut slots = slots_in::<u64, M, u16>(&arena);
    let local = 0_u64;
    // SAFETY: no slot starts there, and every mode refuses such a pointer.
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

fn double_free<M: Tracking>() {
    let arena = Arena::new(400, 0);
    let mut slots = slots_in::<u64, M, u16>(&arena);
    let first = slots.try_pop_slot().expect("free").into_ptr();
    let _second = slots.try_pop_slot().expect("free");
    // SAFETY: the slot is live and its token was given up.
    assert_eq!(unsafe { slots.try_push_slot(first) }, Ok(()));
    // SAFETY: the slot is not used, and a tracking mode refuses a slot that is not live.
    let again = unsafe { slots.try_push_slot(first) };
    assert_eq!(again, Err(SlotError::DoubleFree { slot: 0 }));
    assert_eq!(slots.live_count(), 1);
    slots.validate().expect("a refusal changes nothing");
    let handed_out: BTreeSet<_> = pop_all(&mut slots).into_iter().map(Slot::into_ptr).collect();
    assert_eq!(handed_out.len() as u32 + 1, slots.slot_count(), "no slot comes twice");
}

#[test]
fn a_double_free_is_an_error_and_no_cycle() {
    double_free::<Checked>();
    double_free::<Hardened>();
}

fn never_handed_out<M: Mode>() {
    let arena = Arena::new(400, 0);
    let mut slots = slots_in::<u64, M, u16>(&arena);
    let first = slots.try_pop_slot().expect("free").into_ptr();
    // SAFETY: the next slot of a large enough segment.
    let second = unsafe { first.byte_add(if M::HARDENED { 16 } else { 8 }) };
    assert_eq!(slots.index_of(second), Some(1));
    // SAFETY: the slot is not used, and every mode refuses a slot that was never handed out.
    let outcome = unsafe { slots.try_push_slot(second) };
    assert_eq!(outcome, Err(SlotError::NeverAllocated { slot: 1 }));
    assert_eq!(slots.live_count(), 1);
}

#[test]
fn a_slot_never_handed_out_cannot_be_pushed() {
    never_handed_out::<Unchecked>();
    never_handed_out::<Checked>();
    never_handed_out::<Hardened>();
}

fn wrong_pointers<M: Mode>() {
    let (arena, other) = (Arena::new(FEW_BYTES, 0), Arena::new(FEW_BYTES, 0));
    let mut slots = slots_in::<[u8; 12], M, u16>(&arena);
    let tokens = pop_all(&mut slots);
    let start = arena.region().cast::<u8>();
    let mut refused = 0;
    for base in [start, other.region().cast()] {
        for offset in -20..FEW_BYTES as isize + 20 {
            let pointer = base.as_ptr().wrapping_offset(offset);
            let pointer = NonNull::new(pointer).expect("not null").cast::<[u8; 12]>();
            let is_slot = tokens.iter().any(|slot| slot.as_ptr() == pointer);
            assert_eq!(slots.index_of(pointer).is_some(), is_slot, "{offset}");
            let bytes = slots.slot_count() as isize * if M::HARDENED { 20 } else { 12 };
            assert_eq!(slots.owns(pointer), base == start && (0..bytes).contains(&offset));
            if !is_slot {
                // SAFETY: no slot starts there, and every mode refuses such a pointer.
                let outcome = unsafe { slots.try_push_slot(pointer) };
                let Err(SlotError::InvalidPointer { address, slot_count, .. }) = outcome else {
                    panic!("{offset} was accepted: {outcome:?}")
                };
                assert_eq!(address, pointer.addr().get());
                assert_eq!(slot_count, slots.slot_count());
                refused += 1;
            }
        }
    }
    assert!(refused > 2 * FEW_BYTES);
    assert_eq!(slots.live_count(), slots.slot_count());
}

#[test]
fn a_pointer_to_no_slot_is_refused() {
    wrong_pointers::<Unchecked>();
    wrong_pointers::<Checked>();
    wrong_pointers::<Hardened>();
}

#[test]
fn a_token_of_another_segment_is_handed_back() {
    let (arena, other) = (Arena::new(100, 0), Arena::new(100, 0));
    let mut slots = slots_in::<u64, Checked, u16>(&arena);
    let mut others = slots_in::<u64, Checked, u16>(&other);
    let token = slots.try_pop_slot().expect("free");
    let place = token.as_ptr();
    let _own = others.try_pop_slot().expect("free");
    let rejected = others.push(token).expect_err("not theirs");
    assert!(matches!(rejected.error(), SlotError::InvalidPointer { .. }));
    assert!(rejected.to_string().starts_with("no slot starts at 0x"), "{rejected}");
    let token = rejected.into_slot();
    assert_eq!(token.as_ptr(), place);
    slots.push(token).expect("it came from here");
    assert_eq!((slots.live_count(), others.live_count()), (0, 1));
}

/// Overwrites the link of the slot listed last, and expects that it is refused before it is followed.
fn corrupt_link<M: Mode>(link: u16, live: u16) {
    let arena = Arena::new(800, 0);
    let mut slots = slots_in::<u64, M, u16>(&arena);
    let mut tokens: Vec<_> = (0..8).map(|_| slots.try_pop_slot().expect("free")).collect();
    let kept = tokens.remove(live.into());
    for token in tokens.drain(..4) {
        slots.push(token).expect("ours");
    }
    let newest = 3 + u16::from(live < 4);
    // SAFETY: the slots lie at the start of the buffer, and the newest dead one is among them. Writing to
    // it is the mistake to be found.
    unsafe { arena.region().cast::<[u16; 4]>().add(newest.into()).cast::<u16>().write(link) };
    let expected = SlotError::CorruptLink(link_of(newest, link));
    for _ in 0..2 {
        assert_eq!(slots.try_pop_slot().expect_err("found"), expected, "it is refused again");
        assert_eq!(slots.validate(), Err(expected.clone()));
        assert_eq!(slots.live_count(), 4, "a refusal changes nothing");
    }
    slots.push(kept).expect("slots can still be pushed");
}

#[test]
fn a_corrupt_link_is_found_before_it_is_followed() {
    for link in [3, 4, 8, 99, 1000, u16::MAX - 1, u16::MAX] {
        // Slot 3 itself, never handed out (8), outside the buffer, the end of the list too early.
        if link != 4 {
            corrupt_link::<Unchecked>(link, 7);
        }
        // And slot 4, which is live.
        corrupt_link::<Checked>(link, 7);
    }
    corrupt_link::<Checked>(0, 0);
}

#[test]
fn a_cycle_of_links_ends_in_an_error() {
    let arena = Arena::new(800, 0);
    let mut slots = slots_in::<u64, Checked, u16>(&arena);
    let tokens: Vec<_> = (0..3).map(|_| slots.try_pop_slot().expect("free")).collect();
    tokens.into_iter().for_each(|token| slots.push(token).expect("ours"));
    // The list is 2, 1, 0; the user makes it 2, 1, 2.
    // SAFETY: the slots lie at the start of the buffer. Writing to a dead one is the mistake to be found.
    unsafe { arena.region().cast::<u64>().add(1).cast::<u16>().write(2) };
    assert!(slots.validate().is_err());
    let first = slots.try_pop_slot().expect("slot 2 is intact");
    assert_eq!(slots.index_of(first.as_ptr()), Some(2));
    let error = slots.try_pop_slot().expect_err("slot 2 is live");
    assert_eq!(error, SlotError::CorruptLink(link_of(1, 2)));
}

#[test]
#[cfg_attr(slab_sanitizer = "address", ignore = "the sanitizer stops the program first")]
fn hardened_finds_every_byte_written_after_free() {
    fn one<T, I: SlotIndex>() {
        let slot_bytes = size_of::<T>() + 8;
        for offset in 0..slot_bytes {
            let arena = Arena::new(8 * (slot_bytes + align_of::<T>()) + 16, 0);
            let mut slots = slots_in::<T, Hardened, I>(&arena);
            let tokens: Vec<_> = (0..4).map(|_| slots.try_pop_slot().expect("free")).collect();
            let victim = tokens[3].as_ptr().cast::<u8>();
            tokens.into_iter().for_each(|token| slots.push(token).expect("ours"));
            slots.validate().expect("nothing was written yet");
            // SAFETY: the byte lies in the slot or its canary, whose bytes are initialised. Writing to a dead
            // slot is the mistake to be found.
            unsafe {
                let byte = victim.add(offset);
                byte.write(byte.read() ^ 1);
            }
            let found = slots.try_pop_slot().expect_err("found");
            let SlotError::WriteAfterFree { slot: 3, offset: at } = found else {
                panic!("found as {found:?}");
            };
            assert!(at == offset || (at == 0 && offset < size_of::<I>() + 4), "{at} for {offset}");
            assert_eq!(slots.validate(), Err(found));
            assert_eq!(slots.live_count(), 0, "a refusal changes nothing");
        }
    }
    one::<u8, u8>();
    one::<u8, u16>();
    one::<u64, u16>();
    one::<[u8; 21], u32>();
}

#[test]
fn hardened_finds_a_write_past_the_end_and_hands_the_slot_back() {
    fn one<T>() {
        let arena = Arena::new(1000, 0);
        let mut slots = slots_in::<T, Hardened, u16>(&arena);
        let (token, _next) = (slots.try_pop_slot().expect("free"), slots.try_pop_slot());
        for past in 0..8 {
            // SAFETY: the byte lies in the canary, which is initialised. Writing to it is the mistake to be
            // found; the address sanitizer would report it at once. The slot is not used while the push is
            // refused.
            let (byte, content, outcome) = unsafe {
                let cell = token.as_ptr().cast::<u8>().add(size_of::<T>());
                canary::remove(cell);
                let byte = cell.add(past);
                let content = byte.read();
                byte.write(!content);
                (byte, content, slots.try_push_slot(token.as_ptr()))
            };
            assert_eq!(outcome, Err(SlotError::Overrun { slot: 0 }));
            assert_eq!(slots.validate(), Err(SlotError::Overrun { slot: 0 }));
            // SAFETY: the byte lies in the canary; this undoes the mistake.
            unsafe {
                canary::remove(token.as_ptr().cast::<u8>().add(size_of::<T>()));
                byte.write(content);
            }
        }
        slots.push(token).expect("the canary is intact again");
    }
    one::<u8>();
    one::<()>();
    one::<u64>();
    one::<[u8; 13]>();
}

#[test]
fn hardened_links_are_encoded() {
    let arena = Arena::new(16 * 200 + 64, 0);
    let mut slots = slots_in::<u64, Hardened, u16>(&arena);
    let tokens = pop_all(&mut slots);
    let cells: Vec<_> = tokens.iter().map(|token| token.as_ptr().cast::<Unaligned>()).collect();
    tokens.into_iter().for_each(|token| slots.push(token).expect("ours"));
    let plain = cells.iter().enumerate().filter(|(index, cell)| {
        // SAFETY: the link of a dead slot is initialised.
        let stored = unsafe { cell.read() }.0;
        usize::from(stored) == index.wrapping_sub(1)
    });
    assert!(plain.count() < 3, "of {} links", cells.len());
}

/// The stale pointer names a slot that is live again, so the push succeeds and the push of the slot's
/// owner is refused. This needs raw pointers; it cannot happen with tokens.
fn double_free_after_reuse<M: Mode>() {
    let arena = Arena::new(REGION_BYTES, 0);
    let mut slots = slots_in::<u64, M, u16>(&arena);
    let stale = slots.try_pop_slot().expect("free").into_ptr();
    // SAFETY: the slot is live, and its token was given up.
    unsafe { slots.try_push_slot(stale) }.expect("live");
    let reused = slots.try_pop_slot().expect("free").into_ptr();
    assert_eq!(stale, reused, "the slot that came back last is the first out");
    // SAFETY: the slot has a new owner, but is not used in this test. A tracking mode refuses the second push,
    // because the slot is no longer live.
    let outcome = unsafe {
        slots.try_push_slot(stale).expect("it is live");
        slots.try_push_slot(reused)
    };
    assert_eq!(outcome, Err(SlotError::DoubleFree { slot: 0 }));
    slots.validate().expect("consistent");
}

#[test]
fn a_double_free_after_reuse_is_found_at_the_next_push() {
    double_free_after_reuse::<Checked>();
    double_free_after_reuse::<Hardened>();
}

/// Each slot has a different canary. A copy of a neighbour's canary, which a loop over one element too many
/// leaves behind, is an overrun.
#[test]
fn hardened_refuses_the_canary_of_another_slot() {
    let arena = Arena::new(REGION_BYTES, 0);
    let mut slots = slots_in::<u64, Hardened, u16>(&arena);
    let [token, next] = [(); 2].map(|()| slots.try_pop_slot().expect("free"));
    let accessible = |token: &Slot<u64>| {
        // SAFETY: the canary lies behind the block.
        unsafe {
            let cell = token.as_ptr().add(1);
            canary::remove(cell.cast());
            cell
        }
    };
    let (to, from) = (accessible(&token), accessible(&next));
    // SAFETY: both canaries are initialised.
    let (own, other) = unsafe { (to.read_unaligned(), from.read_unaligned()) };
    assert_ne!(own, other);
    // SAFETY: the canary lies in the buffer; writing to it is the mistake to be found. The slot is not used
    // while the push is refused.
    let outcome = unsafe {
        to.write_unaligned(other);
        slots.try_push_slot(token.as_ptr())
    };
    assert_eq!(outcome, Err(SlotError::Overrun { slot: 0 }));
    // SAFETY: the canary lies in the buffer; this undoes the mistake.
    unsafe { accessible(&token).write_unaligned(own) };
    slots.push(token).expect("its canary is intact again");
    slots.push(next).expect("its canary was intact all the time");
}
