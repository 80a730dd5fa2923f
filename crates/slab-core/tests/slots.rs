//! Segments from outside: what a user may rely on, and what he may do wrong.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "gives buffers away and misuses raw slots")]

mod common;

use core::alloc::Layout;
use core::ptr::NonNull;
use std::collections::BTreeSet;

use common::{Unaligned, link_of, slots_in};
use slab_core::{
    Checked, ErasedSlots, Hardened, Mode, Segment, Shape, Slot, SlotError, SlotIndex, Slots,
    SlotsState, Tracking, Unchecked,
};
use slab_testkit::Arena;

fn pop_all<S: Shape<M, I>, M: Mode, I: SlotIndex>(
    slots: &mut Segment<S, M, I>,
) -> Vec<Slot<S::Block>> {
    core::iter::from_fn(|| slots.try_pop_slot().ok()).collect()
}

// Miri needs a second for what takes a millisecond.
const ROUNDS: usize = if cfg!(miri) { 2 } else { 3 };
const FEW_BYTES: usize = if cfg!(miri) { 90 } else { 410 };
const MANY_BYTES: usize = if cfg!(miri) { 300 } else { 4000 };

/// Hands everything out, takes it back in another order, and hands it out again.
fn cycle<S: Shape<M, I>, M: Mode, I: SlotIndex>(slots: &mut Segment<S, M, I>, align: usize) {
    let count = slots.slot_count();
    assert_eq!((slots.state(), slots.free_slots()), (SlotsState::Free, count));
    for _ in 0..ROUNDS {
        let mut tokens = pop_all(slots);
        assert_eq!(tokens.len(), count as usize);
        assert_eq!((slots.state(), slots.has_free()), (SlotsState::Full, false));
        assert!(tokens.iter().all(|slot| slot.as_ptr().addr().get().is_multiple_of(align)));
        let addresses: BTreeSet<_> = tokens.iter().map(|slot| slot.as_ptr().addr()).collect();
        assert_eq!(addresses.len(), tokens.len());
        let indices: BTreeSet<_> =
            tokens.iter().map(|slot| slots.index_of(slot.as_ptr())).collect();
        assert_eq!(indices, (0..count).map(Some).collect());
        slots.validate().expect("nothing was misused");
        let middle = tokens.len() / 3;
        tokens.rotate_left(middle);
        for (pushed, slot) in (1..).zip(tokens) {
            slots.push(slot).expect("it came from here");
            assert_eq!(slots.free_slots(), pushed);
        }
        assert_eq!(slots.state(), SlotsState::Free);
        slots.validate().expect("nothing was misused");
    }
}

fn each_type<M: Mode, I: SlotIndex>() {
    #[repr(align(512))]
    struct Wide(#[expect(dead_code, reason = "gives the type a size")] [u8; 300]);
    #[repr(align(64))]
    struct Empty;
    #[repr(C, packed)]
    struct Packed(u8, u32);

    fn one<T, M: Mode, I: SlotIndex>() {
        let few = FEW_BYTES.max(3 * size_of::<T>() + 16) + align_of::<T>();
        for (bytes, offset) in [(few, 0), (few + 8, 8), (few + MANY_BYTES / 4 + 1, 4095)] {
            let arena = Arena::new(bytes, offset);
            cycle(&mut slots_in::<T, M, I>(&arena), align_of::<T>());
            arena.check_guards();
        }
    }
    one::<u8, M, I>();
    one::<(), M, I>();
    one::<Empty, M, I>();
    one::<Packed, M, I>();
    one::<[u8; 3], M, I>();
    one::<u64, M, I>();
    one::<[usize; 20], M, I>();
    one::<Wide, M, I>();
}

#[test]
fn every_type_works_at_odd_addresses_in_every_mode_with_every_index() {
    each_type::<Checked, u16>();
    each_type::<Hardened, u16>();
    if !cfg!(miri) {
        each_type::<Unchecked, u16>();
        each_type::<Checked, u8>();
        each_type::<Hardened, u8>();
        each_type::<Unchecked, u32>();
        each_type::<Hardened, u32>();
    }
}

#[test]
fn a_layout_known_at_run_time_works_like_a_type() {
    fn one<M: Mode>() {
        for (size, align) in [(0, 1), (1, 1), (5, 4), (24, 8), (100, 64), (8, 256)] {
            let layout = Layout::from_size_align(size, align).expect("valid");
            let arena = Arena::new(MANY_BYTES + 2 * align, 5);
            let (start, bytes) = (arena.region().cast(), arena.region().len());
            // SAFETY: the arena outlives the slots and is theirs alone.
            let mut slots = unsafe { ErasedSlots::<M>::new(layout, start, bytes) }.expect("fits");
            cycle(&mut slots, align);
            assert_eq!(slots.try_pop_slot().expect("free").as_ptr().len(), size);
        }
    }
    one::<Unchecked>();
    one::<Checked>();
    one::<Hardened>();
}

#[test]
fn layouts_too_large_are_refused() {
    let buffer = Arena::new(64, 0);
    let region = buffer.region();
    let huge = Layout::from_size_align(isize::MAX as usize - 7, 8).expect("valid");
    // SAFETY: the arena outlives the slots and is theirs alone.
    let outcome = unsafe { ErasedSlots::<Hardened>::new(huge, region.cast(), region.len()) };
    assert!(matches!(
        outcome.expect_err("larger than the buffer"),
        SlotError::LayoutTooLarge { .. } | SlotError::OutOfMemory { available: 64, .. }
    ));
    assert_eq!(ErasedSlots::<Hardened>::calculate_total_slots(huge, usize::MAX / 2), 0);
}

#[test]
fn seven_hundred_words_are_seven_hundred_slots() {
    const BYTES: usize = size_of::<usize>() * 700;

    assert_eq!(Slots::<usize, Unchecked>::calculate_total_slots(BYTES), 700);
    let arena = Arena::new(BYTES, 0);
    let mut slots = slots_in::<usize, Unchecked, u16>(&arena);
    assert_eq!((slots.slot_count(), slots.free_slots(), slots.live_count()), (700, 700, 0));
    let token = slots.try_pop_slot().expect("free");
    assert_eq!(token.as_ptr().cast(), arena.region().cast::<u8>(), "no byte is lost");
    assert_eq!((slots.free_slots(), slots.state()), (699, SlotsState::Partial));
    slots.push(token).expect("it came from here");
}

#[test]
fn no_buffer_holds_more_slots_than_are_calculated_wherever_it_begins() {
    fn one<T, M: Mode>() -> u32 {
        let mut fewer = 0;
        // Miri takes minutes for all of them.
        for bytes in (9..80).chain([1000, 1021]).step_by(if cfg!(miri) { 18 } else { 1 }) {
            for offset in 0..9 {
                let arena = Arena::new(bytes, offset);
                // SAFETY: the arena outlives the slots and is theirs alone.
                let slots = unsafe { Slots::<T, M>::new(arena.region().cast(), bytes) };
                let held = slots.map_or(0, |slots| slots.slot_count());
                let calculated = Slots::<T, M>::calculate_total_slots(bytes);
                assert!(held <= calculated, "{held} of {calculated}: {bytes} from {offset}");
                assert!(offset % 8 > 0 || held == calculated, "{bytes} bytes from {offset}");
                fewer += calculated - held;
            }
        }
        fewer
    }
    assert_eq!(one::<u8, Unchecked>(), 0);
    assert!(one::<[u8; 3], Checked>() > 0);
    assert!(one::<u8, Checked>() > 0);
    assert!(one::<u16, Hardened>() > 0);
    assert!(one::<u64, Checked>() > 0);
}

#[test]
fn the_count_is_known_at_compile_time_and_right() {
    fn one<M: Mode, I: SlotIndex>() {
        for bytes in [16, 40, 100, 1000, 4096, 5003] {
            let arena = Arena::new(bytes, 0);
            let predicted = Slots::<[u8; 5], M, I>::calculate_total_slots(bytes);
            let region = arena.region();
            // SAFETY: the arena outlives the slots and is theirs alone.
            let slots = unsafe { Slots::<[u8; 5], M, I>::new(region.cast(), bytes) };
            assert_eq!(slots.map_or(0, |slots| slots.slot_count()), predicted, "{bytes}");
        }
    }
    one::<Unchecked, u16>();
    one::<Checked, u16>();
    one::<Hardened, u8>();
    one::<Checked, u32>();
    assert_eq!(Slots::<u8, Unchecked, u8>::calculate_total_slots(usize::MAX), 255);
    assert_eq!(Slots::<u8, Checked, u16>::calculate_total_slots(usize::MAX), 65_535);
    assert_eq!(Slots::<u32, Unchecked, u32>::calculate_total_slots(65_536 * 4), 65_536);
    assert_eq!(Slots::<u64>::calculate_total_slots(15), 0, "a slot and its map");
}

#[test]
fn a_buffer_too_small_is_refused_with_the_number_that_is_enough() {
    fn one<T, M: Mode>() {
        for offset in (0..40).step_by(if cfg!(miri) { 5 } else { 1 }) {
            let arena = Arena::new(400, offset);
            let start = arena.region().cast();
            // SAFETY: the arena outlives the slots and is theirs alone.
            let none = unsafe { Slots::<T, M>::new(start, 1) };
            let Err(SlotError::OutOfMemory { required, available: 1 }) = none else {
                panic!("one byte was enough: {none:?}");
            };
            // SAFETY: as above; the refused attempt left the buffer alone.
            assert!(unsafe { Slots::<T, M>::new(start, required - 1) }.is_err());
            // SAFETY: as above.
            let enough = unsafe { Slots::<T, M>::new(start, required) };
            assert_eq!(enough.expect("said to be enough").slot_count(), 1);
        }
    }
    one::<u64, Unchecked>();
    one::<u64, Checked>();
    one::<[u16; 3], Hardened>();
    // SAFETY: nothing is read or written in a buffer of no bytes.
    assert!(unsafe { Slots::<u8>::new(NonNull::dangling(), 0) }.is_err());
}

#[test]
fn the_last_slot_back_is_the_first_out_and_fresh_ones_come_in_order() {
    let arena = Arena::new(400, 0);
    let mut slots = slots_in::<u64, Checked, u16>(&arena);
    let mut tokens: Vec<_> = (0..5).map(|_| slots.try_pop_slot().expect("free")).collect();
    let indices = tokens.iter().map(|slot| slots.index_of(slot.as_ptr()));
    assert_eq!(indices.collect::<Vec<_>>(), [0, 1, 2, 3, 4].map(Some));
    let (first, third) = (tokens.remove(0), tokens.remove(1));
    let expected = [third.as_ptr(), first.as_ptr()];
    slots.push(first).expect("ours");
    slots.push(third).expect("ours");
    let again = [0, 1].map(|_| slots.try_pop_slot().expect("free"));
    assert_eq!(again.each_ref().map(Slot::as_ptr), expected);
    let fresh = slots.try_pop_slot().expect("free");
    assert_eq!(slots.index_of(fresh.as_ptr()), Some(5));
}

#[test]
fn a_full_segment_says_so_and_stays_whole() {
    let arena = Arena::new(100, 0);
    let mut slots = slots_in::<u64, Checked, u16>(&arena);
    let tokens = pop_all(&mut slots);
    let refusal = SlotError::OutOfMemory { required: 8, available: 0 };
    assert_eq!(slots.try_pop_slot().expect_err("full"), refusal);
    assert_eq!(slots.live_count() as usize, tokens.len());
}

fn double_free<M: Tracking>() {
    let arena = Arena::new(400, 0);
    let mut slots = slots_in::<u64, M, u16>(&arena);
    let first = slots.try_pop_slot().expect("free").into_ptr();
    let _second = slots.try_pop_slot().expect("free");
    // SAFETY: the slot is live and its token was given up.
    assert_eq!(unsafe { slots.try_push_slot(first) }, Ok(()));
    // SAFETY: nobody uses the slot; the mode finds out that it is not live.
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
    // SAFETY: nobody uses the slot; every mode finds out that it is not live.
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
                // SAFETY: no slot starts there, which every mode finds out.
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
fn pointers_that_are_no_slot_are_refused() {
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

/// Overwrites the link of the slot listed last, and sees it refused before it is followed.
fn corrupt_link<M: Mode>(link: u16, live: u16) {
    let arena = Arena::new(800, 0);
    let mut slots = slots_in::<u64, M, u16>(&arena);
    let mut tokens: Vec<_> = (0..8).map(|_| slots.try_pop_slot().expect("free")).collect();
    let kept = tokens.remove(live.into());
    for token in tokens.drain(..4) {
        slots.push(token).expect("ours");
    }
    let newest = 3 + u16::from(live < 4);
    // SAFETY: the slots begin the buffer, and the newest dead one is among them.
    let cell = unsafe { arena.region().cast::<[u16; 4]>().add(newest.into()) }.cast::<u16>();
    // SAFETY: a user's mistake: the slot is dead.
    unsafe { cell.write(link) };
    let expected = SlotError::CorruptLink(link_of(newest, link));
    for _ in 0..2 {
        assert_eq!(slots.try_pop_slot().expect_err("found"), expected, "the finding stands");
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
    // SAFETY: the slots begin the buffer.
    let cell = unsafe { arena.region().cast::<u64>().add(1) }.cast::<u16>();
    // SAFETY: a user's mistake: the slot is dead.
    unsafe { cell.write(2) };
    assert!(slots.validate().is_err());
    let first = slots.try_pop_slot().expect("slot 2 is whole");
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
            // SAFETY: inside the slot or its canary.
            let byte = unsafe { victim.add(offset) };
            // SAFETY: link, seal and fill are initialised.
            let content = unsafe { byte.read() };
            // SAFETY: a user's mistake: the slot is dead.
            unsafe { byte.write(content ^ 1) };
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
            // SAFETY: inside the canary.
            let byte = unsafe { token.as_ptr().cast::<u8>().add(size_of::<T>() + past) };
            // SAFETY: the canary is initialised.
            let content = unsafe { byte.read() };
            // SAFETY: a user's mistake.
            unsafe { byte.write(!content) };
            // SAFETY: nobody uses the slot while it is refused.
            let outcome = unsafe { slots.try_push_slot(token.as_ptr()) };
            assert_eq!(outcome, Err(SlotError::Overrun { slot: 0 }));
            assert_eq!(slots.validate(), Err(SlotError::Overrun { slot: 0 }));
            // SAFETY: undoes the mistake.
            unsafe { byte.write(content) };
        }
        slots.push(token).expect("whole again");
    }
    one::<u8>();
    one::<()>();
    one::<u64>();
    one::<[u8; 13]>();
}

#[test]
fn hardened_links_do_not_show_what_they_link() {
    let arena = Arena::new(16 * 200 + 64, 0);
    let mut slots = slots_in::<u64, Hardened, u16>(&arena);
    let tokens = pop_all(&mut slots);
    let cells: Vec<_> = tokens.iter().map(|token| token.as_ptr().cast::<Unaligned>()).collect();
    tokens.into_iter().for_each(|token| slots.push(token).expect("ours"));
    let plain = cells.iter().enumerate().filter(|(index, cell)| {
        // SAFETY: links are initialised.
        let stored = unsafe { cell.read() }.0;
        usize::from(stored) == index.wrapping_sub(1)
    });
    assert!(plain.count() < 3, "of {} links", cells.len());
}

#[test]
fn live_slots_are_listed_in_order() {
    let arena = Arena::new(MANY_BYTES, 3);
    let mut slots = slots_in::<u16, Checked, u16>(&arena);
    let tokens = pop_all(&mut slots);
    let (freed, kept): (Vec<_>, Vec<_>) =
        tokens.into_iter().enumerate().partition(|(index, _)| index % 3 == 0);
    freed.into_iter().for_each(|(_, token)| slots.push(token).expect("ours"));
    let live: Vec<_> = slots.live_slots().collect();
    assert_eq!(live, kept.iter().map(|(_, token)| token.as_ptr()).collect::<Vec<_>>());
    assert!(live.len() > arena.region().len() / 6);
}

#[test]
fn a_token_gives_its_memory_and_the_segment_never_touches_a_value() {
    struct Loud;
    impl Drop for Loud {
        fn drop(&mut self) {
            panic!("a segment dropped a value");
        }
    }
    let arena = Arena::new(1000, 0);
    let mut slots = slots_in::<Loud, Checked, u16>(&arena);
    let mut token = slots.try_pop_slot().expect("free");
    token.as_uninit_mut().write(Loud);
    slots.push(token).expect("ours");
    let mut kept = slots.try_pop_slot().expect("free");
    kept.as_uninit_mut().write(Loud);
    drop(slots);
}

#[test]
fn a_segment_and_its_tokens_can_go_to_another_thread() {
    let arena = Arena::new(1000, 0);
    let mut slots = slots_in::<u64, Checked, u16>(&arena);
    let mut token = slots.try_pop_slot().expect("free");
    let live = std::thread::scope(|scope| {
        let work = move || {
            token.as_uninit_mut().write(7);
            slots.push(token).expect("ours");
            slots.live_count()
        };
        scope.spawn(work).join().expect("no panic")
    });
    assert_eq!(live, 0);
}

#[test]
fn a_token_goes_where_its_value_goes() {
    use slab_testkit::implements;
    use std::rc::Rc;
    assert!(implements!(Slot<u8>: Send) && implements!(Slot<[u8]>: Send));
    assert!(!implements!(Slot<Rc<u8>>: Send));
    // Through a shared token there is only its address.
    assert!(implements!(Slot<Rc<u8>>: Sync));
}
