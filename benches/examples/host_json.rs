//! `serde_json` with the whole program on one heap: the system's, mimalloc, and `slab-bytes` behind a lock.
//!
//! `cargo run --release -p slab-benches --example host_json [-- --quick] [--json]`
//!
//! Documents are parsed into trees, changed, printed and parsed again into structures, on one thread and on two. Each
//! heap runs in a separate process, started in turns, as the global allocator from the first allocation on; all
//! have to print the same. Shown are the time of the work and the most memory that the process had resident.
//! Ours is one heap behind one lock: the second table is what that costs.
#![expect(unsafe_code, reason = "a global allocator")]

mod hosts;

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::process::Command;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use hosts::{Host, Random, mebibytes, resident_bytes, rows, timed, turn};
use mimalloc::MiMalloc;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use slab_bytes::SlabByteAllocator;
use slab_core::Unchecked;
use slab_traits::{ByteAllocator, Locked};

const SYSTEM: &str = "system";
const HEAPS: [&str; 4] = [SYSTEM, "mimalloc", "slab-bytes", "slab-bytes/unchecked"];
/// Names the heap of a child; the variable is read before the first allocation, so it is C's to read.
const VARIABLE: &std::ffi::CStr = c"SLAB_HOST_JSON_HEAP";

type Heap<M> = Locked<spin::Mutex<()>, SlabByteAllocator<M>>;

static CHECKED: Heap<slab_core::Checked> = Locked::with_hook(SlabByteAllocator::new(), grow);
static UNCHECKED: Heap<Unchecked> = Locked::with_hook(SlabByteAllocator::new(), grow);

/// Takes memory from the system: as much as there is already, so that there are few regions.
fn grow<A: ByteAllocator>(heap: &Locked<spin::Mutex<()>, A>, layout: Layout) -> bool {
    let needed_bytes = layout.size().saturating_add(layout.align()).saturating_mul(2);
    let bytes = needed_bytes.max(heap.total_bytes()).max(4 << 20).next_multiple_of(4096);
    let Ok(pages) = Layout::from_size_align(bytes, 4096) else { return false };
    // SAFETY: the size is not zero.
    let Some(start) = NonNull::new(unsafe { System.alloc(pages) }) else { return false };
    // SAFETY: the pages are fresh from the system, used by nothing else, and never freed.
    unsafe { heap.add_region(NonNull::slice_from_raw_parts(start, bytes)) }.is_ok()
}

/// One of [`HEAPS`], chosen at the first allocation and kept. Choosing costs all of them one load and one branch.
struct Chosen(AtomicU8);

#[global_allocator]
static HEAP: Chosen = Chosen(AtomicU8::new(UNKNOWN));

const UNKNOWN: u8 = u8::MAX;

impl Chosen {
    #[inline]
    fn with<T>(&self, action: impl FnOnce(&dyn GlobalAlloc) -> T) -> T {
        let mut choice = self.0.load(Ordering::Relaxed);
        if choice == UNKNOWN {
            choice = self.choose();
        }
        match choice {
            1 => action(&MiMalloc),
            2 => action(&CHECKED),
            3 => action(&UNCHECKED),
            _ => action(&System),
        }
    }

    #[cold]
    fn choose(&self) -> u8 {
        // SAFETY: the name ends with a zero, and no other thread exists that could change the environment.
        let value = unsafe { libc::getenv(VARIABLE.as_ptr()) };
        // SAFETY: a value is not empty: its first byte is its terminating zero at the latest.
        let digit = if value.is_null() { b'0' } else { unsafe { value.cast::<u8>().read() } };
        let choice = digit.wrapping_sub(b'0');
        self.0.store(choice, Ordering::Relaxed);
        choice
    }
}

// SAFETY: all calls go to one and the same lawful allocator, chosen at the first.
unsafe impl GlobalAlloc for Chosen {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller meets the precondition of this method, and every block is of the chosen heap.
        self.with(|heap| unsafe { heap.alloc(layout) })
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller meets the precondition of this method, and every block is of the chosen heap.
        self.with(|heap| unsafe { heap.alloc_zeroed(layout) })
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller meets the precondition of this method, and every block is of the chosen heap.
        self.with(|heap| unsafe { heap.dealloc(block, layout) });
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller meets the precondition of this method, and every block is of the chosen heap.
        self.with(|heap| unsafe { heap.realloc(block, layout, new_size) })
    }
}

/// A document, read strictly.
#[derive(Serialize, Deserialize)]
struct Order {
    id: u64,
    customer: String,
    tags: Vec<String>,
    lines: Vec<Line>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    article: String,
    count: u32,
    price: f64,
}

/// Returns a document of about so many bytes.
fn document(bytes: usize) -> String {
    let mut random = Random(0x5eed);
    let mut word = |least: usize| -> String {
        let length = least + random.below(14);
        (0..length).map(|_| (b'a' + random.below(26) as u8) as char).collect()
    };
    let mut text = String::from("[");
    let mut id = 0;
    while text.len() < bytes {
        let lines: Vec<_> = (0..1 + id % 7)
            .map(|n| json!({ "article": word(6), "count": n + 1, "price": (id * 7 + n) as f64 / 4.0 }))
            .collect();
        let tags: Vec<_> = (0..id % 5).map(|_| word(3)).collect();
        let order = json!({
            "id": id, "customer": word(8), "tags": tags, "lines": lines,
            "address": { "street": word(10), "town": word(4), "zip": id % 90_000 + 10_000 },
            "note": if id % 3 == 0 { Value::Null } else { word(30).into() },
        });
        text.push_str(&order.to_string());
        text.push(',');
        id += 1;
    }
    text.pop();
    text.push(']');
    text
}

/// Parses a document into a tree, drops a fifth of the sales, adds a total to the others, prints them, reads them into
/// structures, sorts and prints again.
fn work(text: &str) -> String {
    let mut tree: Value = serde_json::from_str(text).expect("the document is JSON");
    let sales = tree.as_array_mut().expect("the document is a list");
    sales.retain(|order| order["id"].as_u64().is_some_and(|id| id % 5 != 0));
    for order in sales {
        let lines = order["lines"].as_array().expect("an order has lines");
        let amount = |line: &Value| Some(line["price"].as_f64()? * line["count"].as_f64()?);
        let total: f64 = lines.iter().filter_map(amount).sum();
        let order: &mut Map<_, _> = order.as_object_mut().expect("an order is an object");
        order.insert("total".to_owned(), total.into());
        order.remove("note");
    }
    let printed = tree.to_string();
    drop(tree);
    let mut sales: Vec<Order> = serde_json::from_str(&printed).expect("what was printed is JSON");
    sales.sort_by(|one, other| one.customer.cmp(&other.customer));
    serde_json::to_string_pretty(&sales).expect("sales can be printed")
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// A child's part: nanoseconds of the work, peak of resident bytes, what was printed.
fn child(threads: usize, bytes: usize) {
    let text = document(bytes);
    let mut printed = Vec::new();
    let time = timed(|| {
        std::thread::scope(|scope| {
            let workers: Vec<_> =
                (0..threads).map(|_| scope.spawn(|| hash(&work(&text)))).collect();
            printed.extend(workers.into_iter().map(|worker| worker.join().expect("no panic")));
        });
    });
    assert!(printed.iter().all(|&hash| hash == printed[0]), "two threads printed different text");
    let ours_bytes = CHECKED.total_bytes() + UNCHECKED.total_bytes();
    println!("{} {} {} {ours_bytes}", time.as_nanos(), resident_bytes().1, printed[0]);
}

/// The output of a child.
#[derive(Default)]
struct Answer {
    time: Duration,
    peak_bytes: usize,
    printed: u64,
}

fn answer(heap: usize, threads: usize, bytes: usize) -> Answer {
    let program = std::env::current_exe().expect("a program has a path");
    let output = Command::new(program)
        .args(["--child", &threads.to_string(), &bytes.to_string()])
        .env(VARIABLE.to_str().expect("ASCII"), heap.to_string())
        .output()
        .expect("the example can start itself");
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [nanoseconds, peak_bytes, printed, ours_bytes] = numbers[..] else {
        panic!(
            "{} ended with {}: {}",
            HEAPS[heap],
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    };
    assert_eq!(ours_bytes > 0, heap >= 2, "{} did not get its heap", HEAPS[heap]);
    Answer { time: Duration::from_nanos(nanoseconds), peak_bytes: peak_bytes as usize, printed }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [child, threads, bytes] = &arguments[..]
        && child == "--child"
    {
        let number = |text: &String| text.parse().expect("a number");
        return self::child(number(threads), number(bytes));
    }
    let mut host = Host::new("host_json");
    let bytes = host.pick(200 << 10, 3 << 20);
    let expected = answer(0, 1, bytes).printed;
    for threads in [1, 2] {
        let mut peaks = [0; HEAPS.len()];
        let turns = peaks.iter_mut().enumerate().map(|(heap, peak_bytes)| {
            turn(HEAPS[heap], move || {
                let answer = answer(heap, threads, bytes);
                assert_eq!(answer.printed, expected, "{} printed something else", HEAPS[heap]);
                *peak_bytes = answer.peak_bytes.max(*peak_bytes);
                answer.time
            })
        });
        let mut table = rows(turns.collect(), host.pick(1, 5), SYSTEM);
        for ((_, numbers), peak_bytes) in table.iter_mut().zip(peaks) {
            numbers.push(mebibytes(peak_bytes));
        }
        let threads =
            if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") };
        let title = format!("serde_json, a document of {} KiB on {threads}", bytes >> 10);
        host.table(&title, &["ms", "ratio", "peak, MiB"], &table);
    }
}
