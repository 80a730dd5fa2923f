//! Slots in a buffer: all are taken, the next is refused, all are given back.

use std::ptr::NonNull;

use slab_core::{SlotError, Slots, SlotsState};

fn main() -> Result<(), SlotError> {
    let mut buffer = [0_u64; 128];
    let start = NonNull::from(&mut buffer).cast();
    // SAFETY: the buffer is as long as said, outlives the slots and is used through them alone.
    let mut slots = unsafe { Slots::<[u64; 4]>::new(start, size_of_val(&buffer)) }?;
    let mut taken = Vec::new();
    while slots.has_free() {
        let mut slot = slots.try_pop_slot()?;
        slot.as_uninit_mut().write([taken.len() as u64; 4]);
        taken.push(slot);
    }
    assert_eq!(taken.len(), slots.slot_count() as usize);
    assert!(matches!(slots.try_pop_slot(), Err(SlotError::OutOfMemory { .. })));
    for slot in taken {
        slots.push(slot).expect("it came from here");
    }
    assert_eq!(slots.state(), SlotsState::Free);
    Ok(())
}
