//! `SharedSlab` in every order that threads can run in, with chunks of two slots and records of one cell. Loom watches the
//! values: it reports a read that meets a drop or a write.
//!
//! `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=3 LOOM_MAX_BRANCHES=20000 cargo test --release -p slab-typed --features std --test loom`
#![cfg(all(feature = "std", loom))]
#![expect(unsafe_code, reason = "values that loom watches are shared by threads")]

use std::cell::Cell;
use std::ops::Deref;
use std::rc::Rc;

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

/// The memory of the slots, as loom watches it: all values of a slot share a cell. Models have no more slots.
type Cells = Rc<[UnsafeCell<u32>; 8]>;

/// A value that loom watches, and that counts its drops.
struct Watched {
    cells: Cells,
    slot: usize,
}

// SAFETY: loom reports accesses of cells that are not ordered. It runs all threads of a model on one thread of the system,
// so the count of the `Rc` is used by one thread.
unsafe impl Send for Watched {}
// SAFETY: as for `Send`.
unsafe impl Sync for Watched {}

impl Watched {
    /// Writes a number into the slot of a key.
    fn new(cells: &Cells, key: SlotHandle, number: u32) -> Self {
        let index = key.to_bits() as u32;
        let slot = (index >> 10) * 2 + index % 1024;
        let value = Self { cells: cells.clone(), slot: slot as usize };
        // SAFETY: loom watches.
        value.cells[value.slot].with_mut(|cell| unsafe { *cell = number });
        value
    }

    fn number(&self) -> u32 {
        // SAFETY: loom watches.
        self.cells[self.slot].with(|number| unsafe { *number })
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // SAFETY: loom watches.
        self.cells[self.slot].with_mut(|number| unsafe { *number = 0 });
        DROPS.set(DROPS.get() + 1);
    }
}

/// A slab, and the memory of its slots.
struct Slab {
    slab: SharedSlab<Watched>,
    cells: Cells,
}

// SAFETY: as for `Watched`.
unsafe impl Send for Slab {}
// SAFETY: as for `Watched`.
unsafe impl Sync for Slab {}

impl Slab {
    fn new() -> Self {
        let cells = Rc::new(core::array::from_fn(|_| UnsafeCell::new(0)));
        Self { slab: SharedSlab::new(), cells }
    }

    fn insert(&self, number: u32) -> SlotHandle {
        self.slab.insert_with(|key| Watched::new(&self.cells, key, number)).unwrap()
    }
}

impl Deref for Slab {
    type Target = SharedSlab<Watched>;

    fn deref(&self) -> &SharedSlab<Watched> {
        &self.slab
    }
}

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
        let slab = Arc::new(Slab::new());
        let handles = [1, 2].map(|number| slab.insert(number));
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
            slab.insert(3);
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
        let slab: &'static Slab = Box::leak(Box::new(Slab::new()));
        let [first, second] = [1, 2].map(|number| slab.insert(number));
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
            let handle = slab.insert(3);
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

/// Returns the key of the next value of the slot of a key.
fn next_of(key: SlotHandle) -> SlotHandle {
    SlotHandle::from_bits(key.to_bits() + (2 << 32)).unwrap()
}

#[test]
fn a_key_that_was_guessed_leads_to_a_whole_value() {
    READ.set(0);
    loom::model(|| {
        set_thread(0);
        let slab = Arc::new(Slab::new());
        let first = slab.insert(1);
        assert!(slab.remove(first));
        let other = slab.clone();
        let thread = thread::spawn(move || {
            set_thread(1);
            read(&other, next_of(first), 3);
            assert!(other.pin().get(next_of(first)).is_none_or(|value| value.number() == 3));
        });
        assert_eq!(slab.insert(3), next_of(first));
        thread.join().unwrap();
    });
    assert!(READ.get() > 0);
}

#[test]
fn an_iteration_beside_an_insertion_reads_whole_values() {
    READ.set(0);
    loom::model(|| {
        set_thread(0);
        let slab = Arc::new(Slab::new());
        let first = slab.insert(1);
        let other = slab.clone();
        let thread = thread::spawn(move || {
            set_thread(1);
            for (key, value) in &other.pin() {
                assert_eq!(value.number(), if key == first { 1 } else { 2 });
                READ.set(READ.get() + usize::from(key != first));
            }
        });
        slab.insert(2);
        thread.join().unwrap();
    });
    assert!(READ.get() > 0);
}

#[test]
fn a_slot_that_compact_took_from_a_thread_is_filled_after_its_last_value() {
    READ.set(0);
    loom::model(|| {
        set_thread(0);
        let slab = Arc::new(Slab::new());
        let handles = [1, 2].map(|number| slab.insert(number));
        let other = slab.clone();
        // A thread without a record fills any slot of a set.
        let thread = thread::spawn(move || {
            other.compact();
            let key = other.insert(3);
            READ.set(READ.get() + usize::from(key == next_of(handles[0])));
        });
        assert!(slab.remove(handles[0]));
        thread.join().unwrap();
    });
    assert!(READ.get() > 0);
}

#[test]
fn one_of_two_threads_takes_a_value_that_nothing_reads() {
    model(
        |slab, [handle, _]| READ.set(READ.get() + usize::from(slab.take(handle).is_ok())),
        |slab, [handle, _]| READ.set(READ.get() + usize::from(slab.take(handle).is_ok())),
        1,
    );
    assert!(READ.get() > 0);
}

#[test]
fn take_leaves_a_value_that_is_read() {
    model(
        |slab, [handle, _]| {
            if let Ok(value) = slab.take(handle) {
                assert_eq!(value.number(), 1);
            }
        },
        |slab, [handle, _]| read(slab, handle, 1),
        1,
    );
    assert!(READ.get() > 0);
}

/// Runs a model in which a thread without a record removes a value while another thread, which may have a record, inserts.
fn slots_pass_on(record: Option<u32>) {
    READ.set(0);
    loom::model(move || {
        let slab = Arc::new(Slab::new());
        let handles = [1, 2].map(|number| slab.insert(number));
        let other = slab.clone();
        let thread = thread::spawn(move || {
            record.into_iter().for_each(set_thread);
            let key = other.insert(3);
            assert_eq!(other.get(key).unwrap().number(), 3);
            READ.set(READ.get() + usize::from(key == next_of(handles[0])));
        });
        assert!(slab.remove(handles[0]));
        thread.join().unwrap();
    });
    assert!(READ.get() > 0);
}

#[test]
fn a_slot_passes_from_a_set_to_a_thread_without_a_record() {
    slots_pass_on(None);
}

#[test]
fn a_slot_passes_from_a_set_to_a_ring() {
    slots_pass_on(Some(1));
}

#[test]
fn a_released_chunk_is_filled_by_two_threads() {
    loom::model(|| {
        set_thread(0);
        let slab = Arc::new(Slab::new());
        let handles = [1, 2].map(|number| slab.insert(number));
        handles.iter().for_each(|&handle| assert!(slab.remove(handle)));
        assert_eq!(slab.compact(), 1);
        let other = slab.clone();
        let thread = thread::spawn(move || {
            let key = other.insert(4);
            assert_eq!(other.get(key).unwrap().number(), 4);
        });
        let key = slab.insert(3);
        assert_eq!(slab.get(key).unwrap().number(), 3);
        thread.join().unwrap();
        assert_eq!(slab.len(), 2);
    });
}
