//! Segments used as documented: sizes, counts, order and ownership. Misuse is in `misuse.rs`.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "gives buffers away and misuses raw slots")]

mod common;

use core::alloc::Layout;
use core::ptr::NonNull;
use std::collections::BTreeSet;

use common::{FEW_BYTES, pop_all, slots_in};
use slab_core::{
    Checked, ErasedSlots, Hardened, Mode, Segment, Shape, Slot, SlotError, SlotIndex, Slots,
    SlotsState, Unchecked,
};
use slab_testkit::Arena;

// Miri is about a thousand times slower.
const ROUNDS: usize = if cfg!(miri) { 2 } else { 3 };

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
            // SAFETY: the arena outlives the slots, and the refused attempts use none of it.
            let (one_less, enough) = unsafe {
                (Slots::<T, M>::new(start, required - 1), Slots::<T, M>::new(start, required))
            };
            assert!(one_less.is_err());
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
fn a_full_segment_refuses_and_is_unchanged() {
    let arena = Arena::new(100, 0);
    let mut slots = slots_in::<u64, Checked, u16>(&arena);
    let tokens = pop_all(&mut slots);
    let refusal = SlotError::OutOfMemory { required: 8, available: 0 };
    assert_eq!(slots.try_pop_slot().expect_err("full"), refusal);
    assert_eq!(slots.live_count() as usize, tokens.len());
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
    // A shared token gives only its address.
    assert!(implements!(Slot<Rc<u8>>: Sync));
}
