//! The work of the firmware: collections, strings, fragmentation, memory that runs out, and a double free. Each
//! part frees all that it allocated.
#![expect(unsafe_code, reason = "reads the heap behind its lock, and misuses it")]

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::fmt;
use core::ptr::NonNull;

use slab_traits::ByteAllocator;

use crate::{Heap, REGION_BYTES};

/// How much work was done, so that a run that did nothing is noticed.
pub struct Report {
    entries: usize,
    words: usize,
    fragments: usize,
    largest_bytes: usize,
    refused: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entries, words, fragments, largest_bytes, refused } = self;
        write!(
            f,
            "{entries} entries, {words} words, {fragments} fragments merged to {largest_bytes} bytes, "
        )?;
        write!(f, "{refused} misuses refused")
    }
}

/// Runs every part.
pub fn run(heap: &Heap) -> Report {
    let whole = largest_free(heap);
    let entries = in_order(heap, collections);
    let words = in_order(heap, strings);
    let fragments = in_order(heap, || fragments(whole));
    assert_eq!(heap.total_bytes(), REGION_BYTES, "one region is enough for the first parts");
    in_order(heap, || end_of_memory(heap));
    let refused = in_order(heap, || double_free(heap));
    Report { entries, words, fragments, largest_bytes: whole, refused }
}

/// Runs a part, then checks that the heap is consistent and that every block was freed.
fn in_order<T>(heap: &Heap, part: impl FnOnce() -> T) -> T {
    let result = part();
    // SAFETY: the closure only reads the heap.
    let outcome = unsafe { heap.with_inner(|heap| heap.validate()) };
    assert_eq!(outcome, Ok(()));
    assert_eq!(heap.used_bytes(), 0, "everything was freed");
    result
}

fn largest_free(heap: &Heap) -> usize {
    // SAFETY: the closure only reads the heap.
    unsafe { heap.with_inner(|heap| heap.largest_free()) }
}

/// A map and a queue that grow and shrink.
fn collections() -> usize {
    let mut squares = BTreeMap::new();
    let mut recent = VecDeque::new();
    let mut inserted = 0;
    for n in 0_u32..200 {
        squares.insert(n * 7919 % 211, n * n);
        recent.push_back(n);
        if recent.len() > 20 {
            let old = recent.pop_front().expect("not empty");
            assert_eq!(squares.remove(&(old * 7919 % 211)), Some(old * old));
        }
        inserted += 1;
    }
    assert_eq!(squares.len(), 20);
    assert!(
        squares
            .iter()
            .all(|(&key, &square)| (180..200).any(|n| n * n == square && n * 7919 % 211 == key))
    );
    inserted
}

/// Strings that are split, sorted, joined and formatted.
fn strings() -> usize {
    let text = "the quick brown fox jumps over the lazy dog while the heap looks on";
    let mut words: Vec<String> = text.split(' ').map(String::from).collect();
    words.sort();
    words.dedup();
    let joined = words.join("-");
    assert_eq!(joined, "brown-dog-fox-heap-jumps-lazy-looks-on-over-quick-the-while");
    let numbered: Vec<String> =
        words.iter().enumerate().map(|(n, word)| format!("{n:02} {word}")).collect();
    assert_eq!(numbered.last().map(String::as_str), Some("11 while"));
    words.len()
}

/// Blocks of many sizes, freed in an order that leaves holes. Afterwards the free memory is one piece again.
fn fragments(whole: usize) -> usize {
    let mut count = 0;
    for stride in [3, 5, 2] {
        let mut blocks: Vec<Option<Vec<u8>>> = Vec::new();
        let mut spent = 0;
        while spent < whole / 3 {
            let size = 40 + count * 97 % 300;
            let mut block = Vec::new();
            block.resize(size, count as u8);
            blocks.push(Some(block));
            spent += size;
            count += 1;
        }
        for start in 0..stride {
            for place in (start..blocks.len()).step_by(stride) {
                let block = blocks[place].take().expect("freed once");
                assert!(
                    block.iter().all(|&byte| byte == block[0]),
                    "a write to another block changed this one"
                );
            }
        }
    }
    let mut everything: Vec<u8> = Vec::new();
    everything
        .try_reserve_exact(whole)
        .expect("the memory that was free at the start is free again, in one piece");
    everything.resize(whole, 0xA5);
    assert!(everything.iter().all(|&byte| byte == 0xA5));
    count
}

/// Allocates until memory runs out. When the first region is full, the heap calls the hook, which adds memory. When
/// that is full too, the allocation fails, and the contents of all blocks are intact.
fn end_of_memory(heap: &Heap) {
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut block: Vec<u8> = Vec::new();
        if blocks.try_reserve(1).is_err() || block.try_reserve_exact(900).is_err() {
            break;
        }
        block.resize(900, blocks.len() as u8);
        blocks.push(block);
    }
    assert!(heap.total_bytes() > REGION_BYTES, "the hook added memory");
    let filled_bytes = blocks.len() * 900;
    assert!(filled_bytes > heap.total_bytes() / 2, "{} blocks", blocks.len());
    for (nth, block) in blocks.iter().enumerate() {
        assert!(
            block.iter().all(|&byte| byte == nth as u8),
            "a write to another block changed this one"
        );
    }
}

/// Frees a pointer into a block, then frees the block twice. The heap must refuse the first and the last of these.
fn double_free(heap: &Heap) -> usize {
    let layout = Layout::new::<[u8; 100]>();
    // SAFETY: the heap stays in place. `try_free` refuses the wrong frees, and the block is not used after its free.
    unsafe {
        heap.with_inner(|heap| {
            let block: NonNull<u8> = heap.alloc(layout).expect("the heap has room for 100 bytes");
            let refused = heap.try_free(block.add(16), layout).is_err();
            heap.try_free(block, layout).expect("live");
            let refused_again = heap.try_free(block, layout).is_err();
            assert!(refused && refused_again);
        })
    };
    2
}
