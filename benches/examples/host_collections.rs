//! `hashbrown` maps and `allocator-api2` vectors in a region, beside the global heap, a bump arena and a rival in the
//! same region.
//!
//! `cargo run --release -p slab-benches --example host_collections [-- --quick] [--json]`
//!
//! Three programs are generic over the allocator: words of a text are counted, values are kept until they are the least
//! recently used, a graph loses and gains edges while it is searched. All have to give the same answer on every
//! allocator. Shown are the time, and for the regions the most bytes that were used, beside those that the program
//! asked for. `bumpalo` takes memory from the global heap alone; it frees nothing before the end, which is where it wins
//! and where its memory goes.
#![expect(unsafe_code, reason = "gives regions to heaps, and counts what passes")]

mod hosts;

use std::alloc::Layout;
use std::cell::Cell;
use std::hash::{DefaultHasher, Hasher};
use std::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator, Global};
use allocator_api2::boxed::Box;
use allocator_api2::vec::Vec;
use bumpalo::Bump;
use hashbrown::{DefaultHashBuilder, HashMap};
use hosts::{Host, Random, mebibytes, rows, timed, turn};
use slab_bytes::SlabByteAllocator;
use slab_peers::Talc;
use slab_testkit::Arena;
use slab_traits::{ByteAllocator, Local, Locked};

const REGION_BYTES: usize = 128 << 20;
const GLOBAL: &str = "Global";

type Map<K, V, A> = HashMap<K, V, DefaultHashBuilder, A>;

/// The input of the programs.
struct Input {
    words: std::vec::Vec<u8>,
    steps: usize,
}

impl Input {
    /// Words of a text: a few are frequent, most are rare.
    fn new(bytes: usize) -> Self {
        let mut random = Random(0x5eed);
        let mut words = std::vec::Vec::with_capacity(bytes + 32);
        while words.len() < bytes {
            // Three throws: the lower a number, the more frequent.
            let rank = {
                let limit = 1 + random.skewed(200_000);
                random.below(limit)
            };
            words.extend_from_slice(b"etaoinshrdlcumwf"[..4 + rank % 12].as_ref());
            words.extend_from_slice(rank.to_string().as_bytes());
            words.push(b' ');
        }
        Self { words, steps: bytes / 40 }
    }
}

/// Counts each word, and finds the most frequent.
fn count_words<A: Allocator + Copy>(input: &Input, memory: A) -> u64 {
    let mut counts: Map<Box<[u8], A>, u32, A> = Map::new_in(memory);
    for word in input.words.split(|&byte| byte == b' ') {
        match counts.get_mut(word) {
            Some(count) => *count += 1,
            None => {
                let mut key = Vec::with_capacity_in(word.len(), memory);
                key.extend_from_slice(word);
                counts.insert(key.into_boxed_slice(), 1);
            }
        }
    }
    let mut sorted = Vec::with_capacity_in(counts.len(), memory);
    sorted.extend(counts.iter().map(|(word, &count)| (count, word)));
    sorted.sort_unstable();
    let mut hasher = DefaultHasher::new();
    for (count, word) in sorted.iter().rev().take(1000) {
        hasher.write_u32(*count);
        hasher.write(word);
    }
    hasher.finish()
}

/// Values of 20 to 2000 bytes behind keys; 4000 are kept, and the one not used for longest goes. A value that is used
/// gets longer now and then.
fn keep_recent<A: Allocator + Copy>(input: &Input, memory: A) -> u64 {
    const KEPT: usize = 4000;
    struct Entry<A: Allocator> {
        value: Vec<u8, A>,
        used: usize,
    }
    let mut random = Random(0xcafe);
    let mut entries: Map<usize, Entry<A>, A> = Map::new_in(memory);
    let mut queue: Vec<(usize, usize), A> = Vec::new_in(memory);
    let mut oldest = 0;
    let mut found = 0_u64;
    for step in 0..input.steps {
        let key = random.skewed(40_000);
        let entry = entries.entry(key).or_insert_with(|| {
            let bytes = 20 + random.skewed(1980);
            let mut value = Vec::with_capacity_in(bytes, memory);
            value.resize(bytes, key as u8);
            Entry { value, used: 0 }
        });
        if step % 8 == 0 {
            entry.value.extend_from_slice(&[key as u8; 60]);
        }
        assert!(
            [entry.value.first(), entry.value.last()]
                .iter()
                .all(|&byte| byte == Some(&(key as u8)))
        );
        found = found.wrapping_mul(31).wrapping_add(entry.value.len() as u64);
        entry.used = step;
        queue.push((key, step));
        while entries.len() > KEPT {
            let (key, used) = queue[oldest];
            oldest += 1;
            if entries.get(&key).is_some_and(|entry| entry.used == used) {
                entries.remove(&key);
            }
        }
        if oldest > queue.len() / 2 && oldest > KEPT {
            queue.drain(..oldest);
            oldest = 0;
        }
    }
    found
}

/// A graph whose nodes lose all their edges and gain others, and a search of what can be reached, now and then.
fn search_graph<A: Allocator + Copy>(input: &Input, memory: A) -> u64 {
    let nodes = 1 + input.steps / 10;
    let mut random = Random(0xbeef);
    let mut edges: Vec<Vec<u32, A>, A> = Vec::with_capacity_in(nodes, memory);
    edges.extend((0..nodes).map(|_| Vec::new_in(memory)));
    let mut reached = 0_u64;
    for step in 0..input.steps {
        let node = random.below(nodes);
        if step % 4 == 0 {
            edges[node] = Vec::new_in(memory);
        }
        for _ in 0..1 + random.below(8) {
            edges[node].push(random.below(nodes) as u32);
        }
        if step % (input.steps / 8) == input.steps / 16 {
            let mut seen = Vec::new_in(memory);
            seen.resize(nodes, false);
            let mut waiting = Vec::new_in(memory);
            waiting.push(node as u32);
            while let Some(next) = waiting.pop() {
                if !std::mem::replace(&mut seen[next as usize], true) {
                    reached += 1;
                    waiting.extend_from_slice(&edges[next as usize]);
                }
            }
        }
    }
    reached
}

/// Passes requests on and notes the most bytes that are requested at one time.
#[derive(Clone, Copy)]
struct Asked<'a> {
    now_bytes: &'a Cell<usize>,
    most_bytes: &'a Cell<usize>,
}

// SAFETY: every call goes to the global allocator.
unsafe impl Allocator for Asked<'_> {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        self.now_bytes.update(|bytes| bytes + layout.size());
        self.most_bytes.update(|bytes| bytes.max(self.now_bytes.get()));
        Global.allocate(layout)
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        self.now_bytes.update(|bytes| bytes - layout.size());
        // SAFETY: the caller passes a live block of `allocate` with its layout; the inner allocator made it.
        unsafe { Global.deallocate(block, layout) };
    }
}

/// As [`Asked`], for a heap in a region: the most used bytes by its own count.
struct Used<'h, R, A> {
    heap: &'h Locked<R, A>,
    most_bytes: &'h Cell<usize>,
}

impl<R, A> Clone for Used<'_, R, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R, A> Copy for Used<'_, R, A> {}

// SAFETY: every call goes to the heap.
unsafe impl<R: lock_api::RawMutex, A: ByteAllocator> Allocator for Used<'_, R, A> {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        let block = self.heap.allocate(layout);
        self.most_bytes.update(|bytes| bytes.max(self.heap.used_bytes()));
        block
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller passes a live block of `allocate` with its layout; the inner allocator made it.
        unsafe { self.heap.deallocate(block, layout) };
    }
}

/// Returns a heap on an arena.
fn in_region<R: lock_api::RawMutex, A: ByteAllocator + Default>(arena: &Arena) -> Locked<R, A> {
    let heap = Locked::new(A::default());
    // SAFETY: the arenas outlive all heaps, and each has one at a time.
    unsafe { heap.add_region(arena.region()) }.expect("the region is large enough");
    heap
}

/// A program on all allocators.
macro_rules! compare {
    ($host:expr, $title:literal, $program:ident, $input:expr, $arenas:expr) => {{
        let (host, input, [one, two, three]): (&mut Host, &Input, &[Arena; 3]) =
            ($host, $input, $arenas);
        let (now_bytes, asked_bytes) = (Cell::new(0), Cell::new(0));
        let expected = $program(input, Asked { now_bytes: &now_bytes, most_bytes: &asked_bytes });
        let used_bytes = Cell::new(0);
        let heap: Local<SlabByteAllocator> = in_region(one);
        assert_eq!($program(input, Used { heap: &heap, most_bytes: &used_bytes }), expected);
        assert_eq!(heap.used_bytes(), 0, "all is given back");
        let talc_bytes = Cell::new(0);
        let talc: Local<Talc> = in_region(three);
        assert_eq!($program(input, Used { heap: &talc, most_bytes: &talc_bytes }), expected);
        let arena_bytes = {
            let arena = Bump::new();
            assert_eq!($program(input, &arena), expected);
            arena.allocated_bytes()
        };

        let local: Local<SlabByteAllocator> = in_region(one);
        let locked: Locked<spin::Mutex<()>, SlabByteAllocator> = in_region(two);
        let check = |answer: u64| assert_eq!(answer, expected);
        let turns = vec![
            turn(GLOBAL, || timed(|| check($program(input, Global)))),
            turn("bumpalo", || timed(|| check($program(input, &Bump::new())))),
            turn("talc, Local", || timed(|| check($program(input, &talc)))),
            turn("slab-bytes, Local", || timed(|| check($program(input, &local)))),
            turn("slab-bytes, spin", || timed(|| check($program(input, &locked)))),
        ];
        let mut table = rows(turns, host.pick(1, 15), GLOBAL);
        let [asked_bytes, talc_bytes, used_bytes] =
            [asked_bytes, talc_bytes, used_bytes].map(Cell::into_inner);
        let most_bytes = [asked_bytes, arena_bytes, talc_bytes, used_bytes, used_bytes];
        for ((name, numbers), most_bytes) in table.iter_mut().zip(most_bytes) {
            // A heap that keeps no statistics says zero.
            numbers.push(if most_bytes == 0 { f64::NAN } else { mebibytes(most_bytes) });
            if name == GLOBAL {
                name.push_str(" (bytes asked for)");
            }
        }
        host.table($title, &["ms", "ratio", "used, MiB"], &table);
    }};
}

fn main() {
    let mut host = Host::new("host_collections");
    let input = Input::new(host.pick(100_000, 4_000_000));
    let arenas = [(); 3].map(|()| Arena::new(REGION_BYTES, 0));
    let host = &mut host;
    compare!(host, "hashbrown: words of a text, counted", count_words, &input, &arenas);
    compare!(host, "hashbrown: the 4000 values used last", keep_recent, &input, &arenas);
    compare!(host, "allocator-api2: a graph that changes", search_graph, &input, &arenas);
}
