//! Frees without the lock against a slab that is given back, and against the end of the last handle, and owners of
//! counted values against each other, in every order that the threads can run in. The lock uses its own memory
//! after each release.
//!
//! `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=3 cargo test --release -p slab-cache --test loom`
#![cfg(loom)]
#![expect(unsafe_code, reason = "a lock, a source, and contents that loom watches")]

mod config;

use std::alloc::Layout;
use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::atomic::AtomicUsize;

use allocator_api2::alloc::{AllocError, Allocator, Global};
use config::With;
use lock_api::RawMutex;
use loom::sync::Arc;
use loom::thread;
use slab_cache::{AtomicCount, Checked, Counted, SlabBox, SlabCache, SlabCounted};
use slab_core::sync::UnsafeCell;
use slab_core::sync::atomic::{AtomicBool, Ordering};

/// The memory of the lock, of which loom sees each use.
struct LockMemory(UnsafeCell<()>);

// SAFETY: uses are shared, and loom says whether one of them meets the free.
unsafe impl Sync for LockMemory {}

loom::lazy_static! {
    /// Whether the one lock of a model is held.
    static ref LOCKED: AtomicBool = AtomicBool::new(false);
    static ref LOCK_MEMORY: LockMemory = LockMemory(UnsafeCell::new(()));
}

/// A spin lock that loom knows. Its parts lie outside, because loom's types are not constants.
struct Watched;

// SAFETY: the flag goes from clear to set for one thread at a time.
unsafe impl RawMutex for Watched {
    const INIT: Self = Self;
    type GuardMarker = lock_api::GuardSend;

    fn lock(&self) {
        while !self.try_lock() {
            thread::yield_now();
        }
    }

    fn try_lock(&self) -> bool {
        LOCKED.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    unsafe fn unlock(&self) {
        LOCKED.store(false, Ordering::Release);
        LOCK_MEMORY.0.with(|_| ());
    }
}

std::thread_local! {
    /// Blocks asked for and not given back. All threads of a model run on one of the system's.
    static BLOCKS: Cell<isize> = const { Cell::new(0) };
    /// Whether a slot was handed out again in some order that was tried.
    static SERVED_AGAIN: Cell<bool> = const { Cell::new(false) };
}

/// Counts, outside of loom's sight.
struct Counting;

// SAFETY: it is `Global`.
unsafe impl Allocator for Counting {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        BLOCKS.set(BLOCKS.get() + 1);
        Global.allocate(layout)
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        BLOCKS.set(BLOCKS.get() - 1);
        if layout.align() < SLAB_BYTES {
            // The core, in which the lock lies.
            LOCK_MEMORY.0.with_mut(|_| ());
        }
        // SAFETY: the caller passes a live block with its layout, and `Global` allocated it.
        unsafe { Global.deallocate(block, layout) };
    }
}

/// Two or three slots a slab.
type Value = [u64; 40];
type Cache = SlabCache<Value, With<Watched, Counting, SLAB_BYTES, Checked>>;
type Held = SlabBox<Value, With<Watched, Counting, SLAB_BYTES, Checked>>;
const SLAB_BYTES: usize = 1024;

/// Cells that the owners of slots write, by the slot's place in its slab; loom watches each for accesses that
/// nothing keeps apart.
struct Contents([UnsafeCell<u64>; SLAB_BYTES / 320 + 1]);

// SAFETY: a content is used by the owner of a slot; whether that is enough is what loom says.
unsafe impl Sync for Contents {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for Contents {}

impl Contents {
    fn new() -> Arc<Self> {
        Arc::new(Self(std::array::from_fn(|_| UnsafeCell::new(0))))
    }

    /// Uses the slot of a box.
    fn touch(&self, held: &Held) {
        let place = SlabBox::as_ptr(held).addr().get() % SLAB_BYTES / 320;
        // SAFETY: the box is borrowed, and no other box has the slot, if all is well.
        self.0[place].with_mut(|content| unsafe { *content += 1 });
    }
}

fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 10_000;
    // Loom's own words are for `loom::model` alone.
    let interleavings = std::sync::Arc::new(AtomicUsize::new(0));
    let count = interleavings.clone();
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        BLOCKS.set(0);
        run();
        assert_eq!(BLOCKS.get(), 0, "each block came back once");
    });
    println!("Completed in {} iterations", interleavings.load(Ordering::Relaxed));
}

#[test]
fn a_slot_freed_elsewhere_serves_again() {
    model(|| {
        let contents = Contents::new();
        let cache = Cache::with_config_in(Counting).expect("memory");
        let held = cache.alloc([1; 40]).expect("memory");
        let place = SlabBox::as_ptr(&held);
        let other = {
            let (contents, cache) = (Arc::clone(&contents), cache.clone());
            thread::spawn(move || {
                let slots = Cache::SLOTS_PER_SLAB as usize;
                let more: Vec<_> = (0..slots).map(|_| cache.alloc([2; 40]).ok()).collect();
                let again = more.iter().flatten().find(|held| SlabBox::as_ptr(held) == place);
                again.inspect(|held| contents.touch(held));
                again.is_some()
            })
        };
        contents.touch(&held);
        drop(held);
        let served_again = other.join().expect("no panic");
        SERVED_AGAIN.set(SERVED_AGAIN.get() || served_again);
        assert_eq!(cache.stats().live, 0);
    });
    assert!(SERVED_AGAIN.get(), "in some order it did");
}

#[test]
fn frees_meet_a_slab_that_is_given_back() {
    model(|| {
        let cache = Cache::with_config_in(Counting).expect("memory");
        let slots = Cache::SLOTS_PER_SLAB as usize;
        let mut held: Vec<_> = (0..slots).map(|_| cache.alloc([1; 40]).expect("memory")).collect();
        // Now the slab is full, and not the front.
        let front = cache.alloc([2; 40]).expect("memory");
        let mine = held.pop().expect("there are some");
        let other = thread::spawn(move || drop(held));
        drop(mine);
        cache.reclaim();
        other.join().expect("no panic");
        drop(front);
        cache.reclaim();
        assert_eq!(cache.stats().slabs, 0, "there is no value left");
    });
}

#[test]
fn a_free_meets_the_end_of_the_last_handle() {
    model(|| {
        let cache = Cache::with_config_in(Counting).expect("memory");
        let held = cache.alloc([1; 40]).expect("memory");
        let other = thread::spawn(move || drop(held));
        drop(cache);
        other.join().expect("no panic");
    });
}

#[test]
fn the_last_two_boxes_meet_after_the_last_handle() {
    model(|| {
        let cache = Cache::with_config_in(Counting).expect("memory");
        let [one, two] = [(); 2].map(|()| cache.alloc([1; 40]).expect("memory"));
        drop(cache);
        let other = thread::spawn(move || drop(one));
        drop(two);
        other.join().expect("no panic");
    });
}

#[test]
fn two_frees_meet_an_allocation() {
    model(|| {
        let cache = Cache::with_config_in(Counting).expect("memory");
        let slots = Cache::SLOTS_PER_SLAB as usize;
        let mut held: Vec<_> = (0..slots).map(|_| cache.alloc([1; 40]).expect("memory")).collect();
        let (one, two) = (held.pop(), held.pop());
        let first = thread::spawn(move || drop(one));
        let second = thread::spawn(move || drop(two));
        held.push(cache.alloc([2; 40]).expect("memory"));
        first.join().expect("no panic");
        second.join().expect("no panic");
        assert_eq!(cache.stats().live, held.len() as u64);
    });
}

/// A value of which loom sees each use.
struct Content(UnsafeCell<u64>);

// SAFETY: owners read it, and one that is alone writes it; loom reports uses that nothing orders.
unsafe impl Sync for Content {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for Content {}

impl Content {
    fn read(&self) -> u64 {
        // SAFETY: loom reports a write at the same time.
        self.0.with(|content| unsafe { *content })
    }

    fn add(&mut self) {
        // SAFETY: the value is borrowed mutably, and loom reports other uses.
        self.0.with_mut(|content| unsafe { *content += 1 });
    }
}

impl Clone for Content {
    fn clone(&self) -> Self {
        Self(UnsafeCell::new(self.read()))
    }
}

/// Dropping is a write.
impl Drop for Content {
    fn drop(&mut self) {
        self.add();
        DROPS.set(DROPS.get() + 1);
    }
}

std::thread_local! {
    static DROPS: Cell<usize> = const { Cell::new(0) };
}

type Owner = SlabCounted<Content, With<Watched, Counting, SLAB_BYTES, Checked>, AtomicCount>;

/// Runs an action on each of two threads, with an owner each, and checks that the value is dropped once, and each of
/// the copies that the actions make. The cache has no handle.
fn two_owners(mine: fn(Owner) -> usize, other: fn(Owner) -> usize) {
    model(move || {
        DROPS.set(0);
        let config = SlabCache::<Counted<Content>, With<Watched, Counting, SLAB_BYTES, Checked>>::with_config_in(Counting);
        let cache = config.expect("memory");
        let owner: Owner = cache.alloc_arc(Content(UnsafeCell::new(1))).expect("memory");
        drop(cache);
        let second = owner.clone();
        let thread = thread::spawn(move || other(second));
        let copies = mine(owner) + thread.join().expect("no panic");
        assert_eq!(DROPS.get(), 1 + copies);
    });
}

fn read_and_drop(owner: Owner) -> usize {
    assert!(owner.read() > 0);
    0
}

#[test]
fn the_last_owner_drops_the_value_after_all_reads() {
    two_owners(read_and_drop, read_and_drop);
}

#[test]
fn an_owner_that_is_alone_writes_after_all_reads() {
    two_owners(
        |mut owner| {
            if let Some(content) = SlabCounted::get_mut(&mut owner) {
                content.add();
            }
            0
        },
        |owner| {
            let clone = owner.clone();
            drop(owner);
            read_and_drop(clone)
        },
    );
}

#[test]
fn one_of_the_last_owners_gets_the_value() {
    fn take(owner: Owner) -> usize {
        if let Some(mut content) = SlabCounted::into_inner(owner) {
            content.add();
        }
        0
    }
    two_owners(take, take);
}

#[test]
fn an_owner_unwraps_the_value_or_copies_it() {
    two_owners(
        |mut owner| {
            let before = SlabCounted::as_ptr(&owner);
            SlabCounted::make_mut(&mut owner).expect("memory").add();
            let is_copied = before != SlabCounted::as_ptr(&owner);
            match SlabCounted::try_unwrap(owner) {
                Ok(mut content) => content.add(),
                Err(_) => unreachable!("make_mut left one owner"),
            }
            usize::from(is_copied)
        },
        read_and_drop,
    );
}
