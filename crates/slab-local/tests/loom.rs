//! The depot's hand-over and racing frees, in every interleaving of two or three threads.
//!
//! `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=3 cargo test --release -p slab-local --test loom`
#![cfg(loom)]
#![expect(unsafe_code, reason = "gives memory to a depot, and a map to a test")]

use std::mem::MaybeUninit;
use std::ptr::NonNull;

use loom::sync::Arc;
use loom::thread;
use slab_core::sync::UnsafeCell;
use slab_core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use slab_local::{BlockMap, Class, Depot, Mark, Refusal};

/// A depot for two batches, and what the batches stand for: cells that their owner writes.
struct Shared {
    depot: Depot<usize>,
    cells: [UnsafeCell<usize>; 3],
}

// SAFETY: a cell is accessed by the owner of its batch alone; the model checks whether that holds.
unsafe impl Sync for Shared {}
// SAFETY: no field depends on a thread.
unsafe impl Send for Shared {}

impl Shared {
    fn new() -> Self {
        let depot = Depot::new();
        assert_eq!(depot.push(0), Err(Refusal::NoStorage));
        let storage: &mut [MaybeUninit<usize>] = Box::leak(Box::new([MaybeUninit::uninit(); 2]));
        // SAFETY: leaked, and the depot's alone.
        assert!(unsafe { depot.provide(NonNull::from(storage)) });
        Self { depot, cells: [const { 0 }; 3].map(UnsafeCell::new) }
    }

    fn write(&self, batch: usize, value: usize) {
        // SAFETY: loom reports an access at the same time.
        self.cells[batch].with_mut(|cell| unsafe { *cell = value });
    }
}

#[test]
fn a_batch_has_one_owner_after_a_hand_over() {
    loom::model(|| {
        let shared = Arc::new(Shared::new());
        let giver = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.write(0, 1);
                shared.depot.push(0).is_ok()
            })
        };
        let taker = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.depot.pop().inspect(|&batch| shared.write(batch, 2)).is_some()
            })
        };
        let (given, taken) = (giver.join().unwrap(), taker.join().unwrap());
        assert!(given || !taken, "only what was given can be taken");
        let left = shared.depot.pop();
        assert_eq!(left.is_some(), given && !taken);
        if left.is_some() {
            shared.write(0, 3);
        }
    });
}

#[test]
fn two_takers_never_get_the_same_batch() {
    loom::model(|| {
        let shared = Arc::new(Shared::new());
        shared.write(0, 1);
        shared.depot.push(0).unwrap();
        let take = || {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.depot.pop().inspect(|&batch| shared.write(batch, 2)).is_some()
            })
        };
        let takers = [take(), take()];
        let count =
            takers.into_iter().filter_map(|taker| taker.join().ok()).filter(|&got| got).count();
        assert!(count <= 1);
        assert_eq!(shared.depot.pop().is_some(), count == 0, "a batch that was not taken stays");
    });
}

/// Frees a block on two threads at the same time, and returns how often it was found live.
fn racing(free: fn(BlockMap, Class) -> bool) -> usize {
    let byte = Box::leak(Box::new(AtomicU8::new(0)));
    // SAFETY: the byte is leaked and atomic.
    let map = unsafe { BlockMap::new(NonNull::from(&*byte)) };
    let class = Class::new(3);
    // SAFETY: the map has one unit, and no other thread has the block yet.
    unsafe { map.set(0, Mark::Live(class)) };
    struct Sent(BlockMap);
    // SAFETY: the map is atomic.
    unsafe impl Send for Sent {}
    let count = Arc::new(AtomicUsize::new(0));
    let threads = [(); 2].map(|()| {
        let (sent, count) = (Sent(map), Arc::clone(&count));
        thread::spawn(move || {
            let Sent(map) = { sent };
            if free(map, class) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    count.load(Ordering::Relaxed)
}

#[test]
fn of_two_racing_frees_one_is_refused_with_an_exchange() {
    // SAFETY: the map has one unit.
    loom::model(|| assert_eq!(racing(|map, class| unsafe { map.free_racing(0, class) }), 1));
}

#[test]
fn without_an_exchange_some_racing_frees_pass() {
    static MOST: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    loom::model(|| {
        // SAFETY: the map has one unit.
        let count = racing(|map, class| unsafe { map.free(0, class) });
        assert!(count >= 1);
        MOST.fetch_max(count, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(
        MOST.load(std::sync::atomic::Ordering::Relaxed),
        2,
        "this is why `free_racing` exists"
    );
}
