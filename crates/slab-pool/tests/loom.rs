//! The magazine layer and the gate, in every order that two threads can run in. The thread caches are
//! explicit, as everywhere in that layer.
//!
//! `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=3 cargo test --release -p slab-pool --test loom`
#![cfg(loom)]
#![expect(unsafe_code, reason = "memory that loom watches")]

use std::sync::atomic::{AtomicUsize as Plain, Ordering};
use std::task::{Wake, Waker};

use loom::sync::Arc;
use loom::sync::atomic::AtomicUsize;
use loom::thread;
use slab_pool::gate::Gate;
use slab_pool::magazine::{Cache, Depot, Linked, Shape};
use slab_pool::vacancy::Vacancy;

/// Counts itself, so that none is lost and none is there twice.
struct Item {
    next: Option<Box<Item>>,
    alive: std::sync::Arc<Plain>,
}

impl Linked for Item {
    fn link(&mut self) -> &mut Option<Box<Self>> {
        &mut self.next
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

struct World {
    depot: Depot<Item>,
    alive: std::sync::Arc<Plain>,
    made: AtomicUsize,
}

const CAPACITY: usize = 2;
/// A capacity with magazines of four, so that caches reserve more than they use.
const ROOMY: usize = 16;

impl World {
    fn new(capacity: usize, shards: usize) -> Arc<Self> {
        let shape = Shape::new(1, capacity, 8, 4);
        Arc::new(Self {
            depot: Depot::new(&[shape], capacity, shards),
            alive: std::sync::Arc::new(Plain::new(0)),
            made: AtomicUsize::new(0),
        })
    }

    fn make(&self) -> Box<Item> {
        self.alive.fetch_add(1, Ordering::Relaxed);
        self.made.fetch_add(1, Ordering::Relaxed);
        Box::new(Item { next: None, alive: std::sync::Arc::clone(&self.alive) })
    }

    fn acquire(&self, cache: &mut Cache<Item>) -> Box<Item> {
        cache.take(&self.depot, 0).unwrap_or_else(|| self.make())
    }

    fn alive(&self) -> usize {
        self.alive.load(Ordering::Relaxed)
    }

    /// No thread works: what is alive is idle, within the capacity, and all reservations are accounted for.
    fn check(&self, capacity: usize) {
        assert_eq!(self.depot.idle(0), self.alive());
        assert!(self.alive() <= capacity, "{} idle of {capacity}", self.alive());
        assert_eq!(self.depot.available_items(0) + self.alive(), capacity);
        assert_eq!(self.depot.available_bytes() + self.alive(), capacity);
    }
}

/// Releases on one thread what was acquired on another; the reservations of both never exceed the capacity.
#[test]
fn items_return_on_another_thread_within_the_capacity() {
    loom::model(|| {
        let world = World::new(ROOMY, 1);
        let mut cache = Cache::new(&world.depot);
        let travels = world.acquire(&mut cache);
        let stays = world.acquire(&mut cache);
        let other = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let mut cache = Cache::new(&world.depot);
                drop(cache.put(&world.depot, 0, travels));
                let again = world.acquire(&mut cache);
                drop(cache.put(&world.depot, 0, again));
                cache.flush(&world.depot);
            })
        };
        drop(cache.put(&world.depot, 0, stays));
        cache.flush(&world.depot);
        other.join().expect("no panic");
        world.check(ROOMY);
    });
}

/// Two threads take the last reservations at the same time.
#[test]
fn reservations_never_exceed_the_capacity() {
    loom::model(|| {
        let world = World::new(1, 1);
        let (one, two) = (world.make(), world.make());
        let other = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let mut cache = Cache::new(&world.depot);
                drop(cache.put(&world.depot, 0, one));
                assert!(world.depot.idle(0) <= 1);
                cache.flush(&world.depot);
            })
        };
        drop(world.depot.put_one(0, two));
        other.join().expect("no panic");
        world.check(1);
    });
}

/// A thread ends while the pool does: in the end nothing is kept, in whatever order.
#[test]
fn a_thread_that_ends_while_the_pool_closes_leaves_nothing() {
    loom::model(|| {
        let world = World::new(CAPACITY, 1);
        let mut cache = Cache::new(&world.depot);
        let item = world.make();
        drop(cache.put(&world.depot, 0, item));
        let other = {
            let world = Arc::clone(&world);
            thread::spawn(move || cache.flush(&world.depot))
        };
        world.depot.close();
        other.join().expect("no panic");
        assert_eq!(world.alive(), 0);
    });
}

/// A thread that holds the lock of a shard while the pool closes empties the shard itself.
#[test]
fn a_thread_that_keeps_close_out_empties_the_shard() {
    loom::model(|| {
        let world = World::new(CAPACITY, 1);
        for _ in 0..CAPACITY {
            assert!(world.depot.put_one(0, world.make()).is_ok());
        }
        let other = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let item = world.depot.take_one(0);
                drop(item.map(|item| world.depot.put_one(0, item)));
            })
        };
        world.depot.close();
        other.join().expect("no panic");
        assert_eq!(world.alive(), 0);
    });
}

/// A thread cache syncs with a trim at its next put, whenever that is.
#[test]
fn a_trim_reaches_the_cache() {
    loom::model(|| {
        let world = World::new(ROOMY, 1);
        let mut cache = Cache::new(&world.depot);
        let (first, second) = (world.make(), world.make());
        assert!(cache.put(&world.depot, 0, first).is_ok());
        let trimmer = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.depot.trim())
        };
        // During the trim: before it, after it, or such that it says so.
        drop(cache.put(&world.depot, 0, second));
        trimmer.join().expect("no panic");
        let third = world.make();
        drop(cache.put(&world.depot, 0, third));
        assert!(cache.held(0).0 <= 2, "nothing from before the trim is kept for long");
        let fourth = world.make();
        drop(cache.put(&world.depot, 0, fourth));
        cache.flush(&world.depot);
        world.check(ROOMY);
    });
}

struct Woken(Plain);

impl Wake for Woken {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// One releases while another queues up: once both are done, the one who waits has been let in.
#[test]
fn no_wake_up_is_lost() {
    loom::model(|| {
        let gate = Arc::new(Gate::new(1));
        assert!(gate.try_enter(1));
        let releaser = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || gate.leave(1))
        };
        let woken = std::sync::Arc::new(Woken(Plain::new(0)));
        let place = gate.wait(1, Waker::from(std::sync::Arc::clone(&woken)));
        releaser.join().expect("no panic");
        assert!(place.is_granted());
        assert_eq!((woken.0.load(Ordering::Relaxed), gate.used_bytes(), gate.waiting()), (1, 1, 0));
    });
}

/// The head of the queue gives up while its turn comes: the next one gets it.
#[test]
fn a_cancelled_turn_passes_on() {
    loom::model(|| {
        let gate = Arc::new(Gate::new(1));
        assert!(gate.try_enter(1));
        let head = gate.wait(1, Waker::noop().clone());
        let next = gate.wait(1, Waker::noop().clone());
        let releaser = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || gate.leave(1))
        };
        gate.cancel(head);
        releaser.join().expect("no panic");
        assert!(next.is_granted());
        assert_eq!((gate.used_bytes(), gate.waiting()), (1, 0));
    });
}

/// The head's waker is replaced while its turn comes: exactly one of both is woken, or the caller of `rewake` sees the turn.
#[test]
fn a_replaced_waker_is_woken_or_its_turn_is_seen() {
    loom::model(|| {
        let gate = Arc::new(Gate::new(1));
        assert!(gate.try_enter(1));
        let wakers = [(); 2].map(|()| std::sync::Arc::new(Woken(Plain::new(0))));
        let waker = |index: usize| Waker::from(std::sync::Arc::clone(&wakers[index]));
        let place = gate.wait(1, waker(0));
        let releaser = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || gate.leave(1))
        };
        gate.rewake(&place, waker(1));
        let seen = place.is_granted();
        releaser.join().expect("no panic");
        assert!(place.is_granted());
        let [first, second] = [0, 1].map(|index| wakers[index].0.load(Ordering::Relaxed));
        assert_eq!(first + second, 1);
        assert!(seen || second == 1, "who goes to sleep with the second waker is woken by it");
    });
}

/// The offer to the head lapses while its owner takes it: exactly one of both requests has the bytes. In models each offer is
/// overdue.
#[test]
fn an_offer_is_taken_or_lapses() {
    loom::model(|| {
        let gate = Arc::new(Gate::new(1));
        assert!(gate.try_enter(1));
        let head = gate.wait(1, Waker::noop().clone());
        gate.leave(1);
        let owner = thread::spawn(move || (head.take(), head));
        let next = gate.wait(1, Waker::noop().clone());
        let (taken, head) = owner.join().expect("no panic");
        if taken {
            assert!(!next.is_granted() && gate.waiting() == 1);
            gate.leave(1);
        }
        assert!(next.is_granted() && next.take());
        assert_eq!((gate.used_bytes(), gate.waiting()), (1, 0));
        if taken {
            gate.leave(1);
        } else {
            gate.rewake(&head, Waker::noop().clone());
            assert!(!head.is_granted() && gate.waiting() == 1);
            gate.leave(1);
            assert!(head.take());
            gate.leave(1);
        }
        assert_eq!((gate.used_bytes(), gate.waiting()), (0, 0));
    });
}

/// A place is given up while its offer lapses: its bytes leave once.
#[test]
fn an_offer_lapses_while_its_place_is_given_up() {
    loom::model(|| {
        let gate = Arc::new(Gate::new(1));
        let filler = gate.try_enter(1);
        assert!(filler);
        let head = gate.wait(1, Waker::noop().clone());
        gate.leave(1);
        let owner = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || gate.cancel(head))
        };
        let next = gate.wait(1, Waker::noop().clone());
        owner.join().expect("no panic");
        assert!(next.take());
        assert_eq!((gate.used_bytes(), gate.waiting()), (1, 0));
    });
}

/// The memory of an arena's buffer has one owner at a time, and the next one sees all that the last one wrote.
#[test]
fn a_vacant_number_is_taken_by_one_thread() {
    loom::model(|| {
        let world = Arc::new((Vacancy::new(2), [(); 2].map(|()| loom::cell::UnsafeCell::new(0))));
        let work = |world: &(Vacancy, [loom::cell::UnsafeCell<usize>; 2])| {
            for _ in 0..2 {
                let Some(number) = world.0.take() else { continue };
                world.1[number].with_mut(|memory| {
                    // SAFETY: the number belongs to this thread, which loom checks.
                    unsafe { *memory += 1 };
                });
                world.0.put(number);
            }
        };
        let threads = [(); 2].map(|()| {
            let world = Arc::clone(&world);
            thread::spawn(move || work(&world))
        });
        threads.map(|thread| thread.join().expect("no panic"));
        assert_eq!(world.0.len(), 2);
    });
}
