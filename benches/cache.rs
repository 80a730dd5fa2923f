//! Object caches and allocators, side by side: 64-byte objects, each in a box that frees itself.
//! `cargo bench -p slab-benches --bench cache [-- WORD…]` runs the lines that contain all words.
//!
//! All take turns round by round in a rotated order, and the table shows medians. Nothing is
//! subtracted. Times are processor times of the threads, which a busy machine disturbs less; a thread
//! that waits for a spin lock is on the processor. If one thread makes objects and another drops them,
//! the times of both are added. `no allocator` is the cost of the objects alone: they are written to a
//! buffer, and nothing is freed. Each contender keeps its cache over the rounds, as a program would. A
//! box is opaque to the optimiser once it is made. attachable-slab-allocator returns boxes without a
//! value, which is then assigned.
#![expect(unsafe_code, reason = "a counter of bytes that is a raw allocator")]

#[path = "cache_heaps.rs"]
mod heaps;

use std::alloc::Layout;
use std::hint::black_box;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use attachable_slab_allocator::locks;
use heaps::{
    Attachable, Boxes, Buffer, By, HELD, Heap, Mi, Object, On, Ours, Plurality, Spin, object,
};
use lock_api::RawMutex;
use slab_cache::{
    Checked, Global, NoLock, SharedConfig, SlabBox, SlabCache, Unchecked, WithLock, WithSlots,
    coerce,
};
use slab_testkit::{Contender, race};

/// Rounds of a line, but for short rounds.
const ROUNDS: usize = 15;
const ROUNDS_SHORT: usize = 201;
const PAIRS: usize = 100_000;
/// Pairs of each thread, where there are several.
const PAIRS_EACH: usize = 2_000_000;
/// Boxes that go from one thread to another together.
const PARCEL: usize = 256;
const PARCELS: usize = 1000;

/// Returns the processor time of this thread.
#[cfg(target_os = "linux")]
fn processor_time() -> Duration {
    #[repr(C)]
    struct Time {
        seconds: std::ffi::c_long,
        nanoseconds: std::ffi::c_long,
    }
    unsafe extern "C" {
        fn clock_gettime(clock: std::ffi::c_int, time: *mut Time) -> std::ffi::c_int;
    }
    const THREAD_CPUTIME: std::ffi::c_int = 3;
    let mut time = Time { seconds: 0, nanoseconds: 0 };
    // SAFETY: the C library writes the time into `time`.
    let outcome = unsafe { clock_gettime(THREAD_CPUTIME, &raw mut time) };
    assert_eq!(outcome, 0, "every kernel has this clock");
    Duration::new(time.seconds as u64, time.nanoseconds as u32)
}

/// Returns the time since the first call.
#[cfg(not(target_os = "linux"))]
fn processor_time() -> Duration {
    use std::time::Instant;
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pairs,
    InOrder,
    AtRandom,
}

struct Work {
    kind: Kind,
    order: Vec<u32>,
}

impl Work {
    fn new(kind: Kind) -> Self {
        let mut order: Vec<u32> = (0..HELD as u32).collect();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for last in (1..order.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            order.swap(last, (state >> 33) as usize % (last + 1));
        }
        Self { kind, order }
    }

    fn rounds(&self) -> usize {
        if self.kind == Kind::Pairs { ROUNDS_SHORT } else { ROUNDS }
    }

    fn ops(&self) -> u64 {
        if self.kind == Kind::Pairs { PAIRS as u64 } else { HELD as u64 }
    }
}

struct Racer<H: Heap> {
    name: &'static str,
    heap: H,
}

impl<H: Heap> Contender<Work> for Racer<H> {
    fn name(&self) -> &str {
        self.name
    }

    fn round(&mut self, work: &Work) -> Duration {
        if work.kind == Kind::Pairs {
            let start = processor_time();
            for number in 0..PAIRS {
                drop(black_box(self.heap.make(object(number))));
            }
            return processor_time() - start;
        }
        let mut held: Vec<Option<H::Held>> = Vec::with_capacity(HELD);
        let start = processor_time();
        for number in 0..HELD {
            held.push(Some(self.heap.make(object(number))));
        }
        let mut time = processor_time() - start;
        black_box(&mut held);
        if work.kind == Kind::AtRandom {
            // The boxes change places, so that the loop below is the same for both orders.
            for (place, &other) in work.order.iter().enumerate() {
                held.swap(place, other as usize);
            }
        }
        let start = processor_time();
        for held in &mut held {
            drop(held.take());
        }
        time += processor_time() - start;
        time
    }
}

fn racer<H: Heap + 'static>(name: &'static str, heap: H) -> Box<dyn Contender<Work>> {
    Box::new(Racer { name, heap })
}

fn alone() -> Vec<Box<dyn Contender<Work>>> {
    vec![
        racer("slab-cache", Ours::<NoLock, Checked>::new()),
        racer("slab-cache, unchecked", Ours::<NoLock, Unchecked>::new()),
        racer("attachable", Attachable::<locks::NoLock>::new()),
        racer("plurality", Plurality::new()),
        racer("Box", Boxes),
        racer("mimalloc", On::<Mi>::new()),
        racer("no allocator", Buffer::new()),
    ]
}

fn locked() -> Vec<Box<dyn Contender<Work>>> {
    vec![
        racer("slab-cache, spin", Ours::<Spin, Checked>::new()),
        racer("slab-cache, parking_lot", Ours::<parking_lot::RawMutex, Checked>::new()),
        racer("slab-cache, thread caches", Ours::<Spin, Checked>::with_thread_caches()),
        racer("attachable, spin", Attachable::<locks::SpinLock>::new()),
        racer("plurality", Plurality::new()),
        racer("Box", Boxes),
        racer("mimalloc", On::<Mi>::new()),
    ]
}

/// Pointers that count their owners, in caches for one thread and for several.
fn counted() -> Vec<Box<dyn Contender<Work>>> {
    let local = SlabCache::new().expect("memory");
    let shared = SlabCache::<_, SharedConfig>::with_thread_caches().expect("memory");
    let (rcs, arcs) = (plurality::Pool::<Object>::new(), plurality::Pool::<Object>::new());
    vec![
        racer("SlabRc", By(move |value| local.alloc_rc(value).expect("memory"))),
        racer("SlabArc, thread caches", By(move |value| shared.alloc_arc(value).expect("memory"))),
        racer("plurality, Rc", By(move |value| rcs.alloc_rc(value))),
        racer("plurality, Arc", By(move |value| arcs.alloc_arc(value))),
        racer("Rc", By(std::rc::Rc::new)),
        racer("Arc", By(std::sync::Arc::new)),
    ]
}

/// Trait objects of a cache whose slots several types share.
fn erased() -> Vec<Box<dyn Contender<Work>>> {
    trait Any {}
    impl Any for Object {}
    let cache = SlabCache::<(), WithSlots<64>>::with_config().expect("memory");
    let pool = plurality::MultiPool::new();
    vec![
        racer(
            "slab-cache",
            By(move |value: Object| {
                SlabBox::unsize(cache.of().alloc(value).expect("memory"), coerce!(dyn Any))
            }),
        ),
        racer(
            "plurality",
            By(move |value: Object| {
                plurality::Box::unsize(pool.alloc_box(value), plurality::coerce!(dyn Any))
            }),
        ),
        racer("Box", By(|value: Object| Box::new(value) as Box<dyn Any>)),
    ]
}

/// Threads that all allocate and drop on one cache.
struct Crowd<'a, R: RawMutex + Send + Sync + 'static> {
    name: String,
    cache: &'a SlabCache<Object, WithLock<R>>,
    threads: usize,
}

impl<R: RawMutex + Send + Sync + 'static> Contender<()> for Crowd<'_, R> {
    fn name(&self) -> &str {
        &self.name
    }

    fn round(&mut self, (): &()) -> Duration {
        let barrier = std::sync::Barrier::new(self.threads);
        let work = || {
            barrier.wait();
            let start = processor_time();
            for number in 0..PAIRS_EACH {
                drop(black_box(self.cache.alloc(object(number)).expect("memory")));
            }
            processor_time() - start
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads).map(|_| scope.spawn(work)).collect();
            let times = threads.into_iter().map(|thread| thread.join().expect("no panic"));
            times.max().expect("there is a thread")
        })
    }
}

/// One thread makes objects, another drops them.
struct Relay<H> {
    name: &'static str,
    heap: H,
}

impl<H: Heap> Contender<()> for Relay<H>
where
    H::Held: Send + 'static,
{
    fn name(&self) -> &str {
        self.name
    }

    fn round(&mut self, (): &()) -> Duration {
        type Ends<T> = (SyncSender<T>, Receiver<T>);
        let (full, from): Ends<Vec<H::Held>> = sync_channel(16);
        let (empty, back): Ends<Vec<H::Held>> = sync_channel(32);
        let other = std::thread::spawn(move || {
            let start = processor_time();
            for mut parcel in from {
                parcel.clear();
                // The other thread takes none back once all objects are made.
                let _ = empty.try_send(parcel);
            }
            processor_time() - start
        });
        let start = processor_time();
        for parcel in 0..PARCELS {
            let mut held = back.try_recv().unwrap_or_else(|_| Vec::with_capacity(PARCEL));
            for number in 0..PARCEL {
                held.push(self.heap.make(object(parcel + number)));
            }
            full.send(held).expect("the other thread takes it");
        }
        drop(full);
        let time = processor_time() - start;
        time + other.join().expect("no panic")
    }
}

/// Counts the bytes that are allocated and not freed.
#[derive(Clone, Copy)]
struct Counting<'a>(&'a AtomicUsize);

// SAFETY: blocks come from `Global` and go back to it.
unsafe impl allocator_api2::alloc::Allocator for Counting<'_> {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, allocator_api2::alloc::AllocError> {
        self.0.fetch_add(layout.size(), Ordering::Relaxed);
        Global.allocate(layout)
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        self.0.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller passes a live block of `allocate`, which `Global` made, with its layout.
        unsafe { Global.deallocate(block, layout) };
    }
}

fn memory() {
    for count in [1_000, 10_000, 100_000, HELD] {
        let bytes = AtomicUsize::new(0);
        let cache = SlabCache::new_in(Counting(&bytes)).expect("memory");
        let held: Vec<_> = (0..count).map(|n| cache.alloc(object(n)).expect("memory")).collect();
        let asked = bytes.load(Ordering::Relaxed) as f64;
        let needed = (held.len() * size_of::<Object>()) as f64;
        println!("{count} objects: {:.2} % beyond them", (asked / needed - 1.0) * 100.0);
    }
    println!();
}

fn main() {
    let words: Vec<_> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let is_wanted = |line: &str| words.iter().all(|word| line.contains(word.as_str()));
    let kinds = [
        (Kind::Pairs, "alloc + drop"),
        (Kind::AtRandom, "200 000 allocs, drop at random"),
        (Kind::InOrder, "200 000 allocs, drop in order"),
    ];
    for (kind, title) in kinds {
        let racers = [
            ("one thread, no lock", alone as fn() -> _, "attachable"),
            ("one thread, locked", locked, "attachable, spin"),
            ("counted pointers", counted, "Arc"),
            ("trait objects", erased, "Box"),
        ];
        for (lock, racers, reference) in racers {
            let line = format!("{title}, {lock}");
            if is_wanted(&line) {
                let work = Work::new(kind);
                let results = race(&mut racers(), &work, work.rounds());
                println!("{line}\n{}", results.against(reference).table(work.ops()));
            }
        }
    }
    let threads = std::thread::available_parallelism().map_or(2, usize::from).max(2);
    let line = format!("{threads} threads, alloc + drop each");
    if is_wanted(&line) {
        crowds(&line, threads);
    }
    let line = "alloc on one thread, drop on another";
    if is_wanted(line) {
        relays(line);
    }
    if is_wanted("memory") {
        memory();
    }
}

fn crowds(line: &str, threads: usize) {
    let cached = SlabCache::with_thread_caches().expect("memory");
    let plain = SlabCache::with_config().expect("memory");
    let crowd = |name: &str, cache, threads| {
        let name = format!("{name}, {threads}");
        Box::new(Crowd::<Spin> { name, cache, threads }) as Box<dyn Contender<()> + '_>
    };
    let mut contenders = vec![
        crowd("thread caches", &cached, 1),
        crowd("thread caches", &cached, threads),
        crowd("spin", &plain, 1),
        crowd("spin", &plain, threads),
    ];
    let results = race(&mut contenders, &(), ROUNDS).against("thread caches, 1");
    println!("{line} (ns for a pair of each thread)\n{}", results.table(PAIRS_EACH as u64));
}

fn relays(line: &str) {
    fn relay<H: Heap + 'static>(name: &'static str, heap: H) -> Box<dyn Contender<()>>
    where
        H::Held: Send,
    {
        Box::new(Relay { name, heap })
    }
    let mut contenders = vec![
        relay("slab-cache, thread caches", Ours::<Spin, Checked>::with_thread_caches()),
        relay("slab-cache, spin", Ours::<Spin, Checked>::new()),
        relay("mimalloc", On::<Mi>::new()),
        relay("plurality", Plurality::new()),
        relay("Box", Boxes),
    ];
    let results = race(&mut contenders, &(), ROUNDS).against("mimalloc");
    println!("{line}\n{}", results.table((PARCEL * PARCELS) as u64));
}
