//! Panics in destructors and callbacks lose no slot, no count and no other value.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use slab_typed::{SecondaryMap, SlabAllocator};

/// A value that counts its drops and may panic when dropped.
struct Grenade<'a> {
    number: usize,
    armed: bool,
    drops: &'a Cell<usize>,
}

impl Clone for Grenade<'_> {
    fn clone(&self) -> Self {
        assert!(!self.armed, "boom in clone");
        Self { ..*self }
    }
}

impl Drop for Grenade<'_> {
    fn drop(&mut self) {
        self.drops.set(self.drops.get() + 1);
        assert!(!std::mem::take(&mut self.armed), "boom in drop");
    }
}

fn filled(drops: &Cell<usize>, armed: usize) -> SlabAllocator<Grenade<'_>> {
    let mut slab = SlabAllocator::new(4);
    for number in 0..10 {
        let stored = slab.allocate(Grenade { number, armed: number == armed, drops });
        assert!(stored.is_ok());
    }
    slab
}

fn panics(action: impl FnOnce()) {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = catch_unwind(AssertUnwindSafe(action));
    std::panic::set_hook(hook);
    assert!(outcome.is_err(), "it was to panic");
}

#[test]
fn all_of_them() {
    // One test, because the panic hook belongs to the process.
    a_panic_in_free_loses_no_slot_and_no_count();
    a_panic_in_clear_leaves_the_rest();
    a_panic_in_a_drain_drops_nothing_twice();
    a_panic_while_the_slab_is_dropped_drops_the_others();
    a_panic_in_a_callback_changes_nothing();
    a_panic_in_defragment_leaves_the_value_in_place();
    a_panic_in_clone_drops_the_copies();
    a_panic_in_the_drop_of_what_is_not_retained_leaves_the_rest();
    a_panic_in_the_rest_of_a_drain_leaves_those_behind();
    a_panic_while_a_slab_is_extended_keeps_what_was_stored();
    panics_in_a_secondary_map_lose_nothing();
}

fn a_panic_in_free_loses_no_slot_and_no_count() {
    let drops = Cell::new(0);
    let mut slab = filled(&drops, 3);
    let armed = slab.iter().find(|(_, value)| value.armed).map(|(handle, _)| handle).unwrap();
    panics(|| slab.free(armed).unwrap());
    slab.validate().unwrap();
    assert_eq!((slab.live_count(), slab.free_slots(), drops.get()), (9, 3, 1));
    assert!(!slab.contains(armed));
    slab.allocate(Grenade { number: 10, armed: false, drops: &drops }).unwrap();
    assert_eq!((slab.live_count(), slab.slab_count()), (10, 3));
}

fn a_panic_in_clear_leaves_the_rest() {
    let drops = Cell::new(0);
    let mut slab = filled(&drops, 3);
    panics(|| slab.clear());
    slab.validate().unwrap();
    assert_eq!((slab.live_count(), drops.get()), (6, 4));
    slab.clear();
    assert_eq!((slab.live_count(), drops.get()), (0, 10));
}

fn a_panic_in_a_drain_drops_nothing_twice() {
    let drops = Cell::new(0);
    let mut slab = filled(&drops, 7);
    panics(|| slab.drain().take(2).for_each(drop));
    slab.validate().unwrap();
    drop(slab);
    assert_eq!(drops.get(), 10);
}

fn a_panic_while_the_slab_is_dropped_drops_the_others() {
    let drops = Cell::new(0);
    let slab = filled(&drops, 4);
    panics(|| drop(slab));
    assert_eq!(drops.get(), 10);
    let drops = Cell::new(0);
    let mut iterator = filled(&drops, 4).into_iter();
    drop(iterator.next());
    panics(|| drop(iterator));
    assert_eq!(drops.get(), 10);
}

fn a_panic_in_a_callback_changes_nothing() {
    let drops = Cell::new(0);
    let mut slab = filled(&drops, usize::MAX);
    panics(|| {
        let _ = slab.allocate_with(|_| panic!("boom"));
    });
    panics(|| {
        slab.retain(|_, value| if value.number == 5 { panic!("boom") } else { value.number > 2 })
    });
    slab.validate().unwrap();
    assert_eq!((slab.live_count(), drops.get()), (7, 3));
}

fn a_panic_in_defragment_leaves_the_value_in_place() {
    let drops = Cell::new(0);
    let mut slab = filled(&drops, usize::MAX);
    slab.retain(|_, value| value.number != 1 && value.number != 2);
    let drops_before = drops.get();
    let before: Vec<_> = slab.iter().map(|(handle, value)| (handle, value.number)).collect();
    let mut moved = None;
    panics(|| {
        slab.defragment(usize::MAX, |_, old, new| {
            assert!(moved.is_none(), "boom at the second move");
            moved = Some((old, new));
            true
        });
    });
    slab.validate().unwrap();
    let (old, new) = moved.unwrap();
    for (handle, number) in before {
        let handle = if handle == old { new } else { handle };
        assert_eq!(slab[handle].number, number);
    }
    assert_eq!(drops.get(), drops_before);
}

fn a_panic_in_clone_drops_the_copies() {
    let drops = Cell::new(0);
    let mut slab = filled(&drops, 6);
    panics(|| drop(slab.clone()));
    assert_eq!(drops.get(), 6, "those that were copied were dropped");
    slab.iter_mut().for_each(|(_, value)| value.armed = false);
    drop(slab.clone());
    assert_eq!(drops.get(), 16);
}

fn a_panic_in_the_drop_of_what_is_not_retained_leaves_the_rest() {
    let drops = Cell::new(0);
    let mut slab = filled(&drops, 3);
    panics(|| slab.retain(|_, value| value.number % 3 != 0));
    slab.validate().unwrap();
    assert_eq!((slab.live_count(), drops.get()), (8, 2), "0 and 3 went");
    slab.retain(|_, value| value.number % 3 != 0);
    assert_eq!((slab.live_count(), drops.get()), (6, 4));
}

fn a_panic_in_the_rest_of_a_drain_leaves_those_behind() {
    let drops = Cell::new(0);
    let mut slab = filled(&drops, 3);
    panics(|| drop(slab.drain()));
    slab.validate().unwrap();
    assert_eq!((slab.live_count(), drops.get()), (6, 4));
    // A forgotten drain removes nothing.
    std::mem::forget(slab.drain());
    assert_eq!((slab.live_count(), drops.get()), (6, 4));
    let mut drain = slab.drain();
    drop(drain.next());
    std::mem::forget(drain);
    slab.validate().unwrap();
    assert_eq!((slab.live_count(), drops.get()), (5, 5));
}

fn a_panic_while_a_slab_is_extended_keeps_what_was_stored() {
    let drops = Cell::new(0);
    let mut slab = filled(&drops, usize::MAX);
    let more = (10..20).map(|number| {
        assert!(number < 13, "boom in the iterator");
        Grenade { number, armed: false, drops: &drops }
    });
    panics(|| slab.extend(more));
    slab.validate().unwrap();
    assert_eq!((slab.live_count(), drops.get()), (13, 0));
}

fn panics_in_a_secondary_map_lose_nothing() {
    let drops = Cell::new(0);
    let grenade = |number, armed| Grenade { number, armed, drops: &drops };
    let mut keys = SlabAllocator::new(4);
    let mut map = SecondaryMap::new(4);
    let handles: Vec<_> = (0..6).map(|number| keys.allocate(number).unwrap()).collect();
    panics(|| _ = map.try_get_or_insert_with(handles[0], || panic!("boom")));
    map.validate().unwrap();
    assert!(!map.contains(handles[0]));
    for (number, &handle) in handles.iter().enumerate() {
        assert!(map.try_insert(handle, grenade(number, number == 2)).unwrap().is_none());
    }
    // A value for a later handle to the slot drops that of the earlier one.
    keys.free(handles[2]).unwrap();
    let again = keys.allocate(7).unwrap();
    panics(|| _ = map.try_insert(again, grenade(7, false)));
    map.validate().unwrap();
    assert_eq!((map.len(), drops.get()), (5, 2), "the old value and the new one");
    assert!(map.try_insert(again, grenade(7, true)).unwrap().is_none());
    panics(|| map.clear());
    map.validate().unwrap();
    assert_eq!((map.len(), drops.get()), (3, 5), "0, 1 and 7 went");
    // A value can be stored again for a handle whose value panicked when dropped.
    assert!(map.try_insert(again, grenade(8, true)).unwrap().is_none());
    panics(|| map.retain(|key, _| key != again));
    assert!(map.try_insert(again, grenade(9, false)).unwrap().is_none());
    drop(map.remove(again));
    assert_eq!((map.len(), drops.get()), (3, 7));
    map.get_mut(handles[4]).unwrap().armed = true;
    panics(|| drop(map));
    assert_eq!(drops.get(), 10);
}
