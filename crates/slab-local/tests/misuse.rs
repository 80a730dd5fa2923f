//! Wrong frees of whole programs: each ends a child process with one line that names the mistake, from any thread.
#![cfg(all(feature = "std", not(any(miri, loom))))]
#![expect(unsafe_code, reason = "makes mistakes with raw blocks")]

mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;
use std::sync::{Barrier, mpsc};
use std::thread;

use common::{Heap, alloc, free, heap, layout, region};
use slab_bytes::SlabByteAllocator;
use slab_core::Hardened;
use slab_local::LocalHeap;
use slab_testkit::Misuse;
use slab_testkit::child::{self, mistake, run_child};

slab_local::thread_seat! {
    struct TestSeat;
}
static HEAP: Heap<TestSeat> = LocalHeap::new(SlabByteAllocator::new(), TestSeat);

/// Sizes of a block in a magazine and of one that the heap below knows.
const SIZES: [usize; 2] = [100, 20_000];

/// A pointer that goes to another thread.
#[derive(Clone, Copy)]
struct Sent(NonNull<u8>);
// SAFETY: the tests share pointers on purpose.
unsafe impl Send for Sent {}
// SAFETY: the tests share pointers on purpose.
unsafe impl Sync for Sent {}

fn name(misuse: Misuse) -> &'static str {
    match misuse {
        Misuse::DoubleFree => "double free of block",
        Misuse::Interior | Misuse::AlignedInterior | Misuse::Unaligned => "pointer into a block",
        Misuse::Foreign | Misuse::Stack => "foreign pointer",
        Misuse::NeverHandedOut => "not allocated",
        _ => "wrong layout: block",
    }
}

/// All but the free of a block whose memory another one has: that is the free of a live block.
fn found() -> impl Iterator<Item = Misuse> {
    Misuse::ALL.into_iter().filter(|&misuse| misuse != Misuse::DoubleFreeAfterReuse)
}

/// In a child: makes one mistake, on this thread or on another one.
#[test]
fn acts() {
    let Some(cell) = child::cell() else { return };
    let region = region(1 << 20);
    // SAFETY: the heap alone uses the memory, which is never freed.
    unsafe { HEAP.add_region(region) }.expect("a fresh region");
    let foreign = NonNull::from(Box::leak(Box::new([0_u64; 16]))).cast();
    for misuse in found() {
        for size in SIZES {
            for is_elsewhere in [false, true] {
                if cell != format!("{misuse:?} {size} {is_elsewhere}") {
                    continue;
                }
                let (sender, receiver) = mpsc::channel::<(Sent, Layout)>();
                // Registered before the block is freed, so that its magazines do not get that memory.
                let (ready, is_ready) = mpsc::channel();
                let other = thread::spawn(move || {
                    free(&HEAP, alloc(&HEAP, layout(16, 8)).expect("room"), layout(16, 8));
                    ready.send(()).expect("the parent waits");
                    receiver.into_iter().for_each(|(sent, layout)| act(sent, layout));
                });
                is_ready.recv().expect("the thread registers");
                let (block, layout) = misuse.prepare(
                    size,
                    region,
                    foreign,
                    |layout| alloc(&HEAP, layout).expect("room"),
                    |block, layout| free(&HEAP, block, layout),
                );
                if is_elsewhere {
                    sender.send((Sent(block), layout)).expect("the thread waits");
                } else {
                    act(Sent(block), layout);
                }
                drop(sender);
                other.join().expect("ends");
            }
        }
    }
}

fn act(Sent(block): Sent, layout: Layout) {
    // SAFETY: not met; this is the mistake that the heap must find.
    mistake(|| unsafe { HEAP.dealloc(block.as_ptr(), layout) });
}

#[test]
fn wrong_frees_end_in_words() {
    let mut ended = 0;
    for misuse in found() {
        for size in SIZES {
            for is_elsewhere in [false, true] {
                let ending = run_child("acts", &format!("{misuse:?} {size} {is_elsewhere}"));
                ending.assert_ended(&["slabworks: ", name(misuse)]);
                ended += 1;
            }
        }
    }
    assert_eq!(ended, 40);
}

/// In a child: two threads free each of many blocks at the same time.
#[test]
fn races() {
    let Some(_) = child::cell() else { return };
    let heap = heap!(1 << 20, Hardened);
    let blocks: Vec<_> =
        (0..30).map(|_| Sent(alloc(heap, layout(100, 8)).expect("room"))).collect();
    let barrier = Barrier::new(2);
    mistake(|| {
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    // Registers the thread, so that the frees come close together.
                    free(heap, alloc(heap, layout(16, 8)).expect("room"), layout(16, 8));
                    for sent in &blocks {
                        barrier.wait();
                        free(heap, sent.0, layout(100, 8));
                    }
                });
            }
        });
    });
}

#[test]
fn frees_at_the_same_time_end_in_words_in_a_hardened_heap() {
    for _ in 0..10 {
        run_child("races", "race").assert_ended(&["double free of block"]);
    }
}

/// In a child: resizes a block that was freed.
#[test]
fn resizes() {
    let Some(_) = child::cell() else { return };
    let heap = heap!(1 << 20);
    let block = alloc(heap, layout(100, 8)).expect("room");
    free(heap, block, layout(100, 8));
    // SAFETY: not met; this is the mistake that the heap must find.
    mistake(|| unsafe { heap.realloc(block.as_ptr(), layout(100, 8), 500) });
}

#[test]
fn a_resize_of_a_freed_block_ends_in_words() {
    run_child("resizes", "resize").assert_ended(&["double free of block"]);
}
