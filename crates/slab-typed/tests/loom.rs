//! `SharedSlab` in every order that threads can run in, with chunks of two slots and records of one cell. Loom watches the
//! values: it reports a read that meets a drop or a write.
//!
//! `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=3 LOOM_MAX_BRANCHES=20000 cargo test --release -p slab-typed --features std --test loom`
#![cfg(all(feature = "std", loom))]
#![expect(unsafe_code, reason = "values that loom watches are shared by threads")]

use std::cell::Cell;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use slab_typed::shared::set_thread;
use slab_typed::{SharedSlab, SlotHandle};

std::thread_local! {
    /// Drops in the current execution. All threads of a model run on one thread of the system.
    static DROPS: Cell<usize> = const { Cell::new(0) };
    /// Executions in which some thread read the value that another one removed.
    static READ: Cell<usize> = const { Cell::new(0) };
}

/// A value that loom watches, and that counts its drops.
struct Watched(UnsafeCell<u32>);

// SAFETY: loom reports accesses that are not ordered.
unsafe impl Send for Watched {}
// SAFETY: loom reports accesses that are not ordered.
unsafe impl Sync for Watched {}

impl Watched {
    fn new(number: u32) -> Self {
        Self(UnsafeCell::new(number))
    }

    fn number(&self) -> u32 {
        // SAFETY: loom watches.
        self.0.with(|number| unsafe { *number })
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // SAFETY: loom watches.
        self.0.with_mut(|number| unsafe { *number = 0 });
        DROPS.set(DROPS.get() + 1);
    }
}

type Slab = Arc<SharedSlab<Watched>>;

/// Runs a model in which each of two threads does one thing to a slab with two values.
fn model(
    first: impl Fn(&Slab, [SlotHandle; 2]) + Copy + Send + Sync + 'static,
    second: impl Fn(&Slab, [SlotHandle; 2]) + Copy + Send + Sync + 'static,
    drops: usize,
) {
    READ.set(0);
    loom::model(move || {
        DROPS.set(0);
        set_thread(0);
        let slab = Slab::new(SharedSlab::new());
        let handles = [1, 2].map(|number| slab.insert(Watched::new(number)));
        let other = slab.clone();
        let thread = thread::spawn(move || {
            set_thread(1);
            second(&other, handles);
        });
        first(&slab, handles);
        thread.join().unwrap();
        assert!(DROPS.get() <= drops, "{} values dropped too early", DROPS.get() - drops);
        // Each of the two may have missed the other.
        slab.compact();
        assert_eq!(DROPS.get(), drops);
        drop(slab);
    });
}

fn read(slab: &Slab, handle: SlotHandle, number: u32) {
    if let Some(guard) = slab.get(handle) {
        READ.set(READ.get() + 1);
        assert_eq!(guard.number(), number);
        thread::yield_now();
        assert_eq!(guard.number(), number);
    }
}

#[test]
fn a_guard_keeps_a_value_from_the_drop_of_its_removal() {
    model(
        |slab, [handle, _]| assert!(slab.remove(handle)),
        |slab, [handle, _]| read(slab, handle, 1),
        1,
    );
    assert!(READ.get() > 0);
}

#[test]
fn a_guard_keeps_a_slot_from_the_next_value() {
    model(
        |slab, [handle, _]| {
            assert!(slab.remove(handle));
            slab.insert(Watched::new(3));
        },
        |slab, [handle, _]| read(slab, handle, 1),
        1,
    );
    assert!(READ.get() > 0);
}

#[test]
fn a_cell_is_used_again_after_a_guard() {
    model(
        |slab, [first, second]| {
            assert!(slab.remove(first));
            assert!(slab.remove(second));
        },
        |slab, [first, second]| {
            read(slab, first, 1);
            read(slab, second, 2);
        },
        2,
    );
    assert!(READ.get() > 0);
}

#[test]
fn guards_beyond_the_cells_keep_their_values() {
    model(
        |slab, [_, second]| assert!(slab.remove(second)),
        |slab, [first, second]| {
            let guard = slab.get(first).unwrap();
            read(slab, second, 2);
            assert_eq!(guard.number(), 1);
        },
        1,
    );
    assert!(READ.get() > 0);
}

#[test]
fn a_guard_that_ends_on_another_thread_has_read_before() {
    READ.set(0);
    loom::model(|| {
        DROPS.set(0);
        set_thread(0);
        let slab: &'static SharedSlab<Watched> = Box::leak(Box::new(SharedSlab::new()));
        let [first, second] = [1, 2].map(|number| slab.insert(Watched::new(number)));
        let guard = slab.get(first).unwrap();
        let thread = thread::spawn(move || {
            set_thread(1);
            assert_eq!(guard.number(), 1);
            drop(guard);
        });
        let remover = thread::spawn(move || {
            set_thread(2);
            assert!(slab.remove(first));
        });
        // The cell may be free again.
        drop(slab.get(second));
        thread.join().unwrap();
        remover.join().unwrap();
        slab.compact();
        assert_eq!(DROPS.get(), 1);
        // SAFETY: it was leaked above, and no thread uses it any more.
        drop(unsafe { Box::from_raw(std::ptr::from_ref(slab).cast_mut()) });
    });
}

#[test]
fn a_pin_keeps_the_values_that_it_finds() {
    model(
        |slab, [first, second]| {
            assert!(slab.remove(first));
            assert!(slab.remove(second));
        },
        |slab, handles| {
            let pinned = slab.pin();
            let found = handles.map(|handle| pinned.get(handle));
            thread::yield_now();
            for (value, number) in found.into_iter().zip(1..) {
                assert!(value.is_none_or(|value| value.number() == number));
                READ.set(READ.get() + usize::from(value.is_some()));
            }
        },
        2,
    );
    assert!(READ.get() > 0);
}

#[test]
fn a_later_pin_does_not_find_what_was_removed_before() {
    model(
        |slab, [first, second]| {
            let pinned = slab.pin();
            assert!(slab.remove(first));
            drop(pinned);
            assert!(slab.remove(second));
        },
        |slab, [first, _]| {
            for _ in 0..2 {
                let pinned = slab.pin();
                if let Some(value) = pinned.get(first) {
                    thread::yield_now();
                    assert_eq!(value.number(), 1);
                }
            }
        },
        2,
    );
}

#[test]
fn one_of_two_removals_succeeds() {
    model(
        |slab, [handle, _]| READ.set(READ.get() + usize::from(slab.remove(handle))),
        |slab, [handle, _]| READ.set(READ.get() + usize::from(slab.remove(handle))),
        1,
    );
    assert!(READ.get() > 0);
}

#[test]
fn compact_beside_a_reader_keeps_what_is_read() {
    model(
        |slab, [first, second]| {
            assert!(slab.remove(first));
            assert!(slab.remove(second));
            slab.compact();
        },
        |slab, [handle, _]| read(slab, handle, 1),
        2,
    );
    assert!(READ.get() > 0);
}

#[test]
fn compact_beside_an_insertion_loses_no_slot() {
    model(
        |slab, [first, second]| {
            assert!(slab.remove(first));
            assert!(slab.remove(second));
            slab.compact();
        },
        |slab, _| {
            let handle = slab.insert(Watched::new(3));
            assert_eq!(slab.get(handle).unwrap().number(), 3);
        },
        2,
    );
}

#[test]
fn slots_without_destructors_wait_for_readers_too() {
    loom::model(|| {
        set_thread(0);
        let slab = Arc::new(SharedSlab::new());
        let handles = [1, 2].map(|number| slab.insert(number));
        let other = slab.clone();
        let thread = thread::spawn(move || {
            set_thread(1);
            let guard = other.get(handles[0]);
            let pinned = other.pin();
            let second = pinned.get(handles[1]);
            thread::yield_now();
            assert!(guard.is_none_or(|guard| *guard == 1));
            assert!(second.is_none_or(|&number| number == 2));
        });
        for handle in handles {
            assert!(slab.remove(handle));
        }
        // More than a ring holds.
        let more = [3, 4, 5].map(|number| slab.insert(number));
        assert!(more.iter().zip(3..).all(|(&handle, number)| *slab.get(handle).unwrap() == number));
        thread.join().unwrap();
        assert_eq!(slab.len(), 3);
    });
}
