//! This program's global allocator is a heap over a static array: the test harness, its threads and
//! everything below run on it. Miri would take hours over the array.
#![cfg(not(miri))]
#![expect(unsafe_code, reason = "gives a static array to the heap")]

use std::alloc::{GlobalAlloc, Layout};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Write;
use std::ptr::NonNull;
use std::sync::mpsc;
use std::thread;

use slab_bytes::SlabByteAllocator;
use slab_traits::Locked;

type Heap = Locked<spin::Mutex<()>, SlabByteAllocator>;

/// Bytes given when the first request finds no memory, and each time after that.
const REGION_BYTES: usize = 4 << 20;
const REGION_COUNT: usize = 4;

#[repr(align(4096))]
#[expect(dead_code, reason = "read and written through the heap alone")]
struct Arena([u8; REGION_BYTES * REGION_COUNT]);

static mut ARENA: Arena = Arena([0; REGION_BYTES * REGION_COUNT]);

/// Gives the heap the next part of the array, as a kernel would map more pages.
fn more_memory(heap: &Heap, _: Layout) -> bool {
    let given = heap.total_bytes();
    if given == REGION_BYTES * REGION_COUNT {
        return false;
    }
    let start = (&raw mut ARENA).cast::<u8>();
    // SAFETY: a multiple of the part's size below the array's.
    let part = unsafe { start.add(given) };
    let region = NonNull::slice_from_raw_parts(NonNull::new(part).unwrap(), REGION_BYTES);
    // SAFETY: no part is given twice while the total grows, and nothing else names the array; should
    // two threads come here at once, the heap refuses the second as overlapping.
    unsafe { heap.add_region(region) }.is_ok() || heap.total_bytes() > given
}

#[global_allocator]
static HEAP: Heap = Locked::with_hook(SlabByteAllocator::new(), more_memory);

fn validate() {
    // SAFETY: the heap is only looked at. Nothing is allocated under the lock: an inconsistency is
    // plain data.
    let outcome = unsafe { HEAP.with_inner(|heap| heap.validate()) };
    assert_eq!(outcome, Ok(()));
}

#[test]
fn collections_and_strings_live_on_the_static_array() {
    let mut words: HashMap<String, usize> = HashMap::new();
    let text = include_str!("../src/heap.rs");
    for word in text.split_whitespace() {
        *words.entry(word.to_owned()).or_default() += 1;
    }
    let sorted: BTreeMap<_, _> =
        words.iter().map(|(word, count)| (word.as_str(), *count)).collect();
    assert_eq!(sorted.values().sum::<usize>(), text.split_whitespace().count());
    let mut report = String::new();
    for (word, count) in &sorted {
        writeln!(report, "{word} {count}").unwrap();
    }
    assert_eq!(report.lines().count(), sorted.len());
    let used = HEAP.used_bytes();
    assert!(used > report.len(), "{used} bytes used");
    let inside = (&raw const ARENA).addr()..(&raw const ARENA).addr() + size_of::<Arena>();
    assert!(inside.contains(&report.as_ptr().addr()));
    validate();
}

#[test]
fn threads_pass_memory_to_one_another() {
    let (sender, receiver) = mpsc::channel::<Vec<u64>>();
    let producers: Vec<_> = (0..4)
        .map(|producer| {
            let sender = sender.clone();
            thread::spawn(move || {
                for length in 1..400_u64 {
                    sender.send((0..length * 3 % 701).map(|n| n ^ producer).collect()).unwrap();
                }
            })
        })
        .collect();
    drop(sender);
    let mut kept = VecDeque::new();
    let mut received = 0;
    for numbers in receiver {
        received += 1;
        kept.push_back(numbers);
        if kept.len() > 50 {
            drop(kept.pop_front());
        }
    }
    producers.into_iter().for_each(|producer| producer.join().unwrap());
    assert_eq!(received, 4 * 399);
    validate();
}

#[test]
fn what_no_region_can_hold_is_refused_and_the_heap_goes_on() {
    // The hook gives what it has, one region after the other, until it has no more.
    let layout = Layout::from_size_align(REGION_BYTES * 2, 1).unwrap();
    // SAFETY: the layout is not empty.
    let block = unsafe { HEAP.alloc(layout) };
    assert!(block.is_null());
    assert_eq!(HEAP.total_bytes(), REGION_BYTES * REGION_COUNT);
    let mut bytes: Vec<u8> = Vec::new();
    bytes.try_reserve(REGION_BYTES / 2).expect("half a region");
    validate();
}
