//! `Debug` output, access to uninitialised slots, and the number of slots of an erased layout.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "gives buffers away")]

mod common;

use core::alloc::Layout;
use core::ptr::NonNull;

use slab_core::sync::UnsafeCell;
use slab_core::{Checked, ErasedSlots, FreeList, Hardened, LiveMap, Slots, Unchecked};
use slab_testkit::Arena;

#[test]
fn an_uninitialised_slot_is_written_in_place() {
    let arena = Arena::new(256, 0);
    let mut slots = common::slots_in::<u64, Checked, u16>(&arena);
    let mut slot = slots.try_pop_slot().expect("room");
    assert_eq!(*slot.as_uninit_mut().write(7), 7);
    // SAFETY: the slot was just written, and this test owns its token.
    assert_eq!(unsafe { slot.as_ptr().read() }, 7);
    slots.push(slot).expect("it came from here");

    let arena = Arena::new(256, 0);
    let layout = Layout::from_size_align(5, 1).expect("valid");
    let (start, bytes) = (arena.region().cast(), arena.region().len());
    // SAFETY: the arena outlives the slots and is theirs alone.
    let mut slots = unsafe { ErasedSlots::<Checked>::new(layout, start, bytes) }.expect("fits");
    let mut slot = slots.try_pop_slot().expect("room");
    assert_eq!(slot.as_uninit_mut().len(), 5);
    slot.as_uninit_mut().iter_mut().for_each(|byte| _ = byte.write(9));
    // SAFETY: the slot was just written, and this test owns its token.
    assert_eq!(unsafe { slot.as_ptr().as_ref() }, [9; 5]);
    slots.push(slot).expect("it came from here");
}

#[test]
fn as_many_slots_of_a_layout_fit_as_were_calculated() {
    let layout = Layout::from_size_align(20, 4).expect("valid");
    for size in [0, 8, 24, 100, 256, 1000] {
        let arena = Arena::new(size.max(1), 0);
        let start = arena.region().cast();
        let expected = [
            ErasedSlots::<Unchecked>::calculate_total_slots(layout, size),
            ErasedSlots::<Checked>::calculate_total_slots(layout, size),
            ErasedSlots::<Hardened>::calculate_total_slots(layout, size),
        ];
        // SAFETY: the arena has that size, and each segment is dropped before the next one is made.
        let counts = unsafe {
            [
                ErasedSlots::<Unchecked>::new(layout, start, size).map(|slots| slots.slot_count()),
                ErasedSlots::<Checked>::new(layout, start, size).map(|slots| slots.slot_count()),
                ErasedSlots::<Hardened>::new(layout, start, size).map(|slots| slots.slot_count()),
            ]
        };
        assert_eq!(counts.map(|count| count.unwrap_or(0)), expected, "{size} bytes");
    }
    let endless = Layout::from_size_align(isize::MAX as usize, 1).expect("valid");
    assert_eq!(ErasedSlots::<Checked>::calculate_total_slots(endless, usize::MAX / 2), 0);
}

#[test]
fn debug_output_names_the_numbers() {
    let arena = Arena::new(256, 0);
    let mut slots: Slots<u64, Checked, u16> = common::slots_in(&arena);
    let count = slots.slot_count();
    let slot = slots.try_pop_slot().expect("room");
    let said = format!("{slots:?}");
    let end = format!("stride: 8, slot_count: {count}, live_count: 1, .. }}");
    assert!(said.starts_with("Segment { base: 0x") && said.ends_with(&end), "{said}");
    assert!(said.contains("mode: \"checked\""), "{said}");
    let said = format!("{slot:?}");
    assert_eq!(said, format!("Slot({:?})", slot.as_ptr()));

    let other = Arena::new(256, 0);
    let mut others: Slots<u64, Checked, u16> = common::slots_in(&other);
    let rejected = others.push(slot).expect_err("it came from elsewhere");
    assert_eq!(
        format!("{rejected:?}"),
        format!("Rejected {{ slot: {said}, error: {:?} }}", rejected.error())
    );
    assert_eq!(rejected.to_string(), rejected.error().to_string());
    slots.push(rejected.into_slot()).expect("it came from here");

    assert_eq!(format!("{:?}", FreeList::<u16>::default()), "FreeList { head: None, len: 0 }");
    let mut words = [0_u64; 2];
    // SAFETY: two words are enough for 100 slots, and outlive the map.
    let mut map = unsafe { LiveMap::new(NonNull::from(&mut words).cast(), 100) };
    assert!(map.set_live(3) && map.set_live(99));
    assert_eq!((map.slot_count(), format!("{map:?}")), (100, "{3, 99}".to_owned()));
}

#[test]
fn a_shared_cell_gives_pointers_to_closures() {
    let cell = UnsafeCell::new(1);
    // SAFETY: no other access to the cell is in progress.
    cell.with_mut(|value| unsafe { *value += 1 });
    // SAFETY: no write to the cell is in progress.
    assert_eq!(cell.with(|value| unsafe { *value }), 2);
    assert_eq!(cell.into_inner(), 2);
}
