//! Buffer pools and mimalloc, side by side:
//! `cargo bench -p slab-benches --bench pool [-- WORD…]` runs parts: `pairs`, `zeroed`, `scaling`, `handover`, `memory`.
//!
//! All take turns round by round in a rotated order, and the tables show medians. Only where one thread releases what
//! another acquired, the cost of the harness is subtracted. A buffer is opaque to the optimiser between acquire and
//! release, and so is its size. The contenders are in `pool_rivals.rs`.

mod pool_handover;
mod pool_rivals;

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pool_handover::{BUFFERS, Handover, handed_over};
use pool_rivals::{
    ALIGNMENT, Arithmetic, Bytesbuf, Clean, ForWrite, LockFree, Mimalloc, MimallocZeroed, Nothing,
    ObjectPool, Opool, SeedScheme, Source, VecMaker, Zeropool, ZeropoolZeroed, write_block,
};
use slab_pool::{BufferPool, Zeroing};
use slab_testkit::{Contender, Results, race};

/// Many short rounds: on a machine with other work, a long round is rarely undisturbed.
const ROUNDS: usize = 101;
const PAIRS: usize = 10_000;
/// Where threads take part, rounds are longer than it takes to start them.
const THREAD_ROUNDS: usize = 15;
const THREAD_PAIRS: usize = 200_000;
const HANDOVER_ROUNDS: usize = 21;

/// A source and the work of a round.
struct Racer<S, F>(&'static str, S, F);

impl<S, F: FnMut(&S, usize) -> Duration> Contender<usize> for Racer<S, F> {
    fn name(&self) -> &str {
        self.0
    }

    fn round(&mut self, &bytes: &usize) -> Duration {
        self.2(&self.1, bytes)
    }
}

fn boxed<'a, S: 'a, F: FnMut(&S, usize) -> Duration + 'a>(
    name: &'static str,
    source: S,
    action: F,
) -> Box<dyn Contender<usize> + 'a> {
    Box::new(Racer(name, source, action))
}

/// Acquires and releases one buffer after the other.
fn pairs<S: Source>(source: &S, bytes: usize) -> Duration {
    let count = if bytes < 1 << 20 { PAIRS } else { PAIRS / 10 };
    drop(source.acquire(bytes));
    let start = Instant::now();
    for _ in 0..count {
        drop(black_box(source.acquire(black_box(bytes))));
    }
    start.elapsed() * (PAIRS / count) as u32
}

fn pool_of(zeroing: Zeroing) -> BufferPool {
    BufferPool::builder().zeroing(zeroing).build().expect("sound")
}

/// A pool that zeroes nothing, with a dirty buffer.
fn unzeroed(bytes: usize) -> Clean {
    let pool = pool_of(Zeroing::Never);
    pool.acquire(bytes).fill(1);
    Clean(pool)
}

fn best_of<'a>(results: &'a Results, names: &[&'a str]) -> &'a str {
    names.iter().min_by_key(|name| results.median(name)).expect("there are some")
}

fn hot_pairs() {
    for bytes in [4 << 10, 64 << 10, 1 << 20] {
        let rivals = ["zeropool", "object-pool", "lockfree-object-pool", "opool", "bytesbuf"];
        let objects = object_pool::Pool::new(1, || vec![0; bytes]);
        let linear = lockfree_object_pool::LinearObjectPool::new(move || vec![0; bytes], |_| {});
        let mut contenders = [
            boxed("slab-pool, clean", Clean(pool_of(Zeroing::OnAcquire)), pairs),
            boxed("slab-pool, unzeroed", unzeroed(bytes), pairs),
            boxed("slab-pool, for write", ForWrite(pool_of(Zeroing::OnAcquire)), pairs),
            boxed("mimalloc", Mimalloc::<ALIGNMENT>, pairs),
            boxed("mimalloc, aligned to 16", Mimalloc::<16>, pairs),
            boxed(rivals[0], Zeropool(zeropool::ZeroPool::new()), pairs),
            boxed(rivals[1], ObjectPool(objects), pairs),
            boxed(rivals[2], LockFree(linear), pairs),
            boxed(rivals[3], Opool(opool::Pool::new(64, VecMaker(bytes))), pairs),
            boxed(rivals[4], Bytesbuf(bytesbuf::mem::GlobalPool::new()), pairs),
        ];
        let results = race(&mut contenders, &bytes, ROUNDS).against("mimalloc");
        println!("acquire + release, one thread, {bytes} bytes\n{}", results.table(PAIRS as u64));
        let best = best_of(&results, &rivals);
        let ratio =
            results.median("slab-pool, clean").as_secs_f64() / results.median(best).as_secs_f64();
        println!("slab-pool, clean, over the best rival pool, {best}: {ratio:.2}\n");
    }
}

/// Writes a hundred bytes into each buffer, then releases it and acquires a zeroed one.
fn dirtied<S: Source>(
    source: &S,
    bytes: usize,
    mut write: impl FnMut(&mut S::Buffer<'_>, &[u8; 100]),
) -> Duration {
    let count = PAIRS / (bytes >> 12).min(4);
    let contents = black_box([7; 100]);
    drop(source.acquire(bytes));
    let start = Instant::now();
    for _ in 0..count {
        let mut buffer = source.acquire(black_box(bytes));
        write(&mut buffer, &contents);
        drop(black_box(buffer));
    }
    start.elapsed() * (PAIRS / count) as u32
}

fn zeroed_after_writing() {
    for bytes in [4 << 10, 64 << 10] {
        let mut contenders = [
            boxed("slab-pool", Clean(pool_of(Zeroing::OnAcquire)), |source, bytes| {
                dirtied(source, bytes, |buffer, contents| {
                    buffer.write_at(0, contents).expect("inside");
                })
            }),
            boxed("seed scheme", SeedScheme::new(), |source, bytes| {
                dirtied(source, bytes, |buffer, contents| {
                    buffer.bytes[..100].copy_from_slice(contents);
                })
            }),
            boxed("mimalloc, zeroed", MimallocZeroed, |source, bytes| {
                dirtied(source, bytes, write_block)
            }),
            boxed(
                "zeropool, zeroed",
                ZeropoolZeroed(zeropool::ZeroPool::new()),
                |source, bytes| {
                    dirtied(source, bytes, |buffer, contents| {
                        buffer[..100].copy_from_slice(contents)
                    })
                },
            ),
        ];
        let results = race(&mut contenders, &bytes, ROUNDS).against("seed scheme");
        println!("zeroed acquire, 100 bytes written, release, {bytes} bytes");
        print!("{}", results.table(PAIRS as u64));
        let ratio = results.ratio("slab-pool").expect("the scheme takes time");
        println!("slab-pool over the seed scheme: {ratio:.4}\n");
    }
}

/// Runs threads with their own buffers; returns the time of the slowest.
fn on_threads<S: Source>(source: &S, bytes: usize, threads: usize) -> Duration {
    let barrier = Barrier::new(threads);
    let work = || {
        drop(source.acquire(bytes));
        barrier.wait();
        let start = Instant::now();
        for _ in 0..THREAD_PAIRS {
            drop(black_box(source.acquire(black_box(bytes))));
        }
        start.elapsed()
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().expect("no panic")).max().expect("threads")
    })
}

fn scaling() {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let counts = (0..).map(|bits| 1_usize << bits).take_while(|&count| count <= cores);
    let counts: Vec<usize> = counts.collect();
    let pool = Clean(pool_of(Zeroing::OnAcquire));
    let mut contenders = Vec::new();
    for &threads in &counts {
        let name = |of: &str| &*format!("{of}, {threads} thread(s)").leak();
        contenders.extend([
            boxed(name("slab-pool"), &pool, move |source: &&Clean, bytes| {
                on_threads(*source, bytes, threads)
            }),
            boxed(name("mimalloc"), Mimalloc::<ALIGNMENT>, move |source, bytes| {
                on_threads(source, bytes, threads)
            }),
            boxed(name("arithmetic"), Arithmetic, move |source, bytes| {
                on_threads(source, bytes, threads)
            }),
        ]);
    }
    let results = race(&mut contenders, &4096, THREAD_ROUNDS);
    println!(
        "threads on their own buffers, 4096 bytes: time of the slowest for the same work each"
    );
    println!("{}", results.table(THREAD_PAIRS as u64));
    for of in ["slab-pool", "mimalloc", "arithmetic"] {
        let time = |threads| results.median(&format!("{of}, {threads} thread(s)")).as_secs_f64();
        let speeds = counts.iter().map(|&count| format!("{:.2} x {count}", time(1) / time(count)));
        println!("{of}, in times of one thread: {}", speeds.collect::<Vec<_>>().join(", "));
    }
    println!();
}

fn producer_and_consumer() {
    for bytes in [4 << 10, 64 << 10] {
        let pool = BufferPool::builder().capacity_per_class(1024).build().expect("sound");
        let pool = Clean(pool);
        let zeropool = Zeropool(zeropool::ZeroPool::new());
        let contenders = |pick: fn(Handover) -> Duration| {
            [
                boxed("harness", Nothing, move |source, bytes| pick(handed_over(source, bytes))),
                boxed("slab-pool", &pool, move |&source, bytes| pick(handed_over(source, bytes))),
                boxed("mimalloc", Mimalloc::<ALIGNMENT>, move |source, bytes| {
                    pick(handed_over(source, bytes))
                }),
                boxed("mimalloc, aligned to 16", Mimalloc::<16>, move |source, bytes| {
                    pick(handed_over(source, bytes))
                }),
                boxed("zeropool", &zeropool, move |&source, bytes| {
                    pick(handed_over(source, bytes))
                }),
            ]
        };
        let results = race(&mut contenders(|it| it.busy), &bytes, HANDOVER_ROUNDS)
            .less("harness")
            .against("mimalloc");
        println!("acquired here, released there, {bytes} bytes: both sides' work without waiting");
        println!("{}", results.table(BUFFERS as u64));
        let results =
            race(&mut contenders(|it| it.elapsed), &bytes, HANDOVER_ROUNDS).against("mimalloc");
        println!("the same from the first acquire to the last release, the ring included");
        println!("{}", results.table(BUFFERS as u64));
    }
}

/// The system's allocator, and the bytes of its live large blocks.
struct Counting;

static HELD_BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator; counting changes no block.
#[expect(unsafe_code, reason = "a global allocator")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= 4096 {
            HELD_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        }
        // SAFETY: the caller passes a layout that is not empty.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= 4096 {
            HELD_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        }
        // SAFETY: the caller passes a layout that is not empty.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if layout.size() >= 4096 {
            HELD_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        }
        // SAFETY: the caller passes a live block with its layout.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

fn memory_after_a_burst() {
    const LIMIT: usize = 4 << 20;
    let builder = BufferPool::builder().capacity_per_class(1 << 20).retained_bytes_max(LIMIT);
    let pool = builder.build().expect("sound");
    let before = HELD_BYTES.load(Ordering::Relaxed);
    let held = || HELD_BYTES.load(Ordering::Relaxed).saturating_sub(before) >> 10;
    let buffers: Vec<_> = (0..10 * LIMIT / (64 << 10)).map(|_| pool.acquire(64 << 10)).collect();
    println!(
        "bytes held, limit {} KiB\nin a burst of ten times the limit: {} KiB",
        LIMIT >> 10,
        held()
    );
    drop(buffers);
    println!("after it: {} KiB", held());
    for _ in 0..2 {
        pool.decay(Instant::now());
    }
    println!("after two decays: {} KiB", held());
    pool.trim();
    println!("after trim: {} KiB\n", held());
}

type Part = (&'static str, fn());

fn main() {
    let words: Vec<_> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let parts: [Part; 5] = [
        ("pairs", hot_pairs),
        ("zeroed", zeroed_after_writing),
        ("scaling", scaling),
        ("handover", producer_and_consumer),
        ("memory", memory_after_a_burst),
    ];
    for (name, part) in parts {
        if words.is_empty() || words.iter().any(|word| name == word) {
            part();
        }
    }
}
