//! Panics in drops and callbacks lose no slot, no count and no other value.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use slab_typed::SlabAllocator;

/// Counts its drops, and panics in the one that is told to.
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
    // One test, because the panic hook is the process's.
    a_panic_in_free_loses_no_slot_and_no_count();
    a_panic_in_clear_leaves_the_rest();
    a_panic_in_a_drain_drops_nothing_twice();
    a_panic_while_the_slab_is_dropped_drops_the_others();
    a_panic_in_a_callback_changes_nothing();
    a_panic_in_defragment_leaves_the_value_in_place();
    a_panic_in_clone_drops_the_copies();
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
