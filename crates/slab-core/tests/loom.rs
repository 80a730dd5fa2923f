//! A segment behind a lock, in every interleaving of two threads.
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

/// Slots behind a spin lock. The test chooses the ordering of the unlock.
struct Shared {
    locked: AtomicBool,
    unlock: Ordering,
    slots: UnsafeCell<Slots<u64>>,
    /// One cell per slot, written by the slot's owner; loom reports accesses that overlap.
    contents: [UnsafeCell<usize>; SLOTS],
}

// SAFETY: the slots are accessed under the lock alone, and a content by the owner of its slot alone. The
// model checks whether that is enough.
unsafe impl Sync for Shared {}
// SAFETY: no field depends on a thread.
unsafe impl Send for Shared {}

impl Shared {
    fn new(unlock: Ordering) -> Self {
        const WORDS: usize = SLOTS + 1;
        let buffer = Box::leak(Box::new([0_u64; WORDS]));
        let start = NonNull::from(buffer).cast();
        // SAFETY: the buffer has that many words, is leaked, and is used by these slots alone.
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
        // Acquire: this holder sees the slots as the previous holder left them.
        let take =
            || self.locked.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
        while take().is_err() {
            hint::spin_loop();
        }
        // SAFETY: this thread set the flag, so no other thread is between here and the store below.
        let result = self.slots.with_mut(|slots| action(unsafe { &mut *slots }));
        self.locked.store(false, self.unlock);
        result
    }

    /// Pops a slot, uses it and pushes it back. Returns whether there was one.
    fn work(&self, id: usize) -> bool {
        let popped = self.locked(|slots| {
            let slot = slots.try_pop_slot()?;
            let index = slots.index_of(slot.as_ptr()).expect("ours");
            Ok::<_, SlotError>((slot, index as usize))
        });
        let Ok((slot, index)) = popped else { return false };
        let cell = &self.contents[index];
        // SAFETY: only the owner of the slot, this thread, accesses its content.
        cell.with_mut(|content| unsafe { content.write(id) });
        // SAFETY: only the owner of the slot, this thread, accesses its content.
        let content = cell.with(|content| unsafe { content.read() });
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
fn a_relaxed_unlock_is_found() {
    model(Ordering::Relaxed);
}
