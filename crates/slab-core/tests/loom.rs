//! A segment shared behind a lock, in every order that two threads can run in.
//!
//! `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=3 cargo test --release -p slab-core --test loom`
#![cfg(loom)]
#![expect(unsafe_code, reason = "a lock and the buffer it guards")]

use std::ptr::NonNull;

use loom::sync::Arc;
use loom::thread;
use slab_core::sync::UnsafeCell;
use slab_core::sync::atomic::{AtomicBool, Ordering};
use slab_core::sync::hint;
use slab_core::{SlotError, Slots};

const SLOTS: usize = 2;

/// Slots behind a spin lock whose unlock has an ordering of the test's choice.
struct Shared {
    locked: AtomicBool,
    unlock: Ordering,
    slots: UnsafeCell<Slots<u64>>,
    /// What the slots' owners write; loom watches each for accesses that overlap.
    contents: [UnsafeCell<usize>; SLOTS],
}

// SAFETY: the slots are reached under the lock alone, a content by the owner of its slot; whether
// that is enough is what the model is about.
unsafe impl Sync for Shared {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for Shared {}

impl Shared {
    fn new(unlock: Ordering) -> Self {
        const WORDS: usize = SLOTS + 1;
        let buffer = Box::leak(Box::new([0_u64; WORDS]));
        let start = NonNull::from(buffer).cast();
        // SAFETY: the buffer is that long, leaked, and used by these slots alone.
        let slots = unsafe { Slots::new(start, WORDS * 8) }.expect("two slots and a map");
        assert_eq!(slots.slot_count() as usize, SLOTS);
        Self {
            locked: AtomicBool::new(false),
            unlock,
            slots: UnsafeCell::new(slots),
            contents: std::array::from_fn(|_| UnsafeCell::new(0)),
        }
    }

    fn locked<R>(&self, action: impl FnOnce(&mut Slots<u64>) -> R) -> R {
        // Acquire: what the last holder did to the slots is seen by this one.
        let take =
            || self.locked.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
        while take().is_err() {
            hint::spin_loop();
        }
        // SAFETY: the flag was clear and is set now, so nobody else is in here.
        let result = self.slots.with_mut(|slots| action(unsafe { &mut *slots }));
        self.locked.store(false, self.unlock);
        result
    }

    /// Takes a slot, uses it and gives it back; returns whether there was one.
    fn work(&self, id: usize) -> bool {
        let popped = self.locked(|slots| {
            let slot = slots.try_pop_slot()?;
            let index = slots.index_of(slot.as_ptr()).expect("ours");
            Ok::<_, SlotError>((slot, index as usize))
        });
        let Ok((slot, index)) = popped else { return false };
        // SAFETY: the slot's only owner is the content's.
        self.contents[index].with_mut(|content| unsafe { content.write(id) });
        // SAFETY: as above.
        let content = self.contents[index].with(|content| unsafe { content.read() });
        assert_eq!(content, id, "a slot had two owners");
        self.locked(|slots| slots.push(slot)).expect("it came from here");
        true
    }
}

fn model(unlock: Ordering) {
    loom::model(move || {
        let shared = Arc::new(Shared::new(unlock));
        let other = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.work(1))
        };
        assert!(shared.work(2), "two slots are enough for two threads");
        assert!(other.join().expect("no panic"));
        shared.locked(|slots| {
            assert_eq!(slots.live_count(), 0);
            slots.validate().expect("the invariants hold");
        });
    });
}

#[test]
fn each_slot_goes_to_one_thread() {
    model(Ordering::Release);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn an_unlock_that_publishes_nothing_is_found() {
    model(Ordering::Relaxed);
}
