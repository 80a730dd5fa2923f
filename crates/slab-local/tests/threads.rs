//! Several threads: blocks that are freed elsewhere, threads that come and go, and memory that is short.
#![cfg(not(loom))]

mod common;

use std::ptr::NonNull;
use std::sync::mpsc;
use std::thread;

use common::{alloc, assert_all_free, free, heap, layout};

/// A block that travels.
struct Block(NonNull<u8>);
// SAFETY: the block belongs to the thread that has it.
#[expect(unsafe_code, reason = "sends raw blocks")]
unsafe impl Send for Block {}

const ROUNDS: usize = if cfg!(miri) { 40 } else { 20_000 };

fn fill(block: NonNull<u8>, size: usize, byte: u8) {
    // SAFETY: the callers own a block of so many bytes.
    #[expect(unsafe_code, reason = "writes a raw block")]
    unsafe {
        block.write_bytes(byte, size);
    }
}

fn check(block: NonNull<u8>, size: usize, byte: u8) {
    // SAFETY: the callers own a filled block of so many bytes.
    #[expect(unsafe_code, reason = "reads a raw block")]
    let bytes = unsafe { NonNull::slice_from_raw_parts(block, size).as_ref() };
    assert!(bytes.iter().all(|&found| found == byte), "a block has one owner");
}

#[test]
fn blocks_are_freed_by_another_thread() {
    let heap = heap!(4 << 20);
    let (sender, receiver) = mpsc::sync_channel::<(Block, usize, u8)>(256);
    let producer = thread::spawn(move || {
        for round in 0..ROUNDS {
            let size = 1 + round * 7 % 600;
            let block = alloc(heap, layout(size, 8)).expect("room");
            fill(block, size, round as u8);
            sender.send((Block(block), size, round as u8)).unwrap();
        }
    });
    let consumer = thread::spawn(move || {
        for (Block(block), size, byte) in receiver {
            check(block, size, byte);
            free(heap, block, layout(size, 8));
        }
    });
    producer.join().unwrap();
    consumer.join().unwrap();
    assert_all_free(heap, 400 << 10);
}

#[test]
fn threads_that_come_and_go_leave_memory_flat() {
    let heap = heap!(1 << 20);
    let threads = if cfg!(miri) { 8 } else { 1000 };
    let mut peak_early = 0;
    for number in 0..threads {
        thread::spawn(move || {
            let blocks: Vec<_> = (0..100)
                .map(|index| (alloc(heap, layout(16 + index, 8)).expect("room"), index))
                .collect();
            for (block, index) in blocks {
                free(heap, block, layout(16 + index, 8));
            }
        })
        .join()
        .unwrap();
        if number == 5 {
            peak_early = heap.used_bytes();
        }
    }
    assert_eq!(heap.used_bytes(), peak_early, "each thread takes over what the last one left");
    assert_all_free(heap, 400 << 10);
}

#[test]
fn threads_share_a_heap_that_is_always_full() {
    let heap = heap!(192 << 10);
    let threads: Vec<_> = (0..4_u8)
        .map(|number| {
            thread::spawn(move || {
                let mut blocks = Vec::new();
                let mut refused = 0;
                for round in 0..ROUNDS {
                    let size = 16 + round * 13 % 2000;
                    match alloc(heap, layout(size, 8)) {
                        Some(block) => {
                            fill(block, size, number);
                            blocks.push((block, size));
                        }
                        None => {
                            refused += 1;
                            for (block, size) in blocks.drain(..) {
                                check(block, size, number);
                                free(heap, block, layout(size, 8));
                            }
                        }
                    }
                }
                for (block, size) in blocks {
                    free(heap, block, layout(size, 8));
                }
                refused
            })
        })
        .collect();
    let refused: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert!(refused > 0 || cfg!(miri), "memory was short");
    assert_all_free(heap, 192 << 10);
}

#[test]
fn destructors_of_thread_locals_may_free() {
    let heap = heap!(1 << 20);
    struct Last(NonNull<u8>, &'static dyn Fn(NonNull<u8>));
    impl Drop for Last {
        fn drop(&mut self) {
            self.1(self.0);
        }
    }
    thread_local! {
        static LAST: std::cell::RefCell<Vec<Last>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    type End = dyn Fn(NonNull<u8>) + Send + Sync;
    static END: std::sync::OnceLock<Box<End>> = std::sync::OnceLock::new();
    let end = END.get_or_init(|| {
        Box::new(move |block| {
            free(heap, block, layout(100, 8));
            // A request of a thread without magazines.
            let other = alloc(heap, layout(50, 8)).expect("room");
            free(heap, other, layout(50, 8));
        })
    });
    for _ in 0..3 {
        thread::spawn(move || {
            // Registered before the seat's end, so dropped after it.
            LAST.with(|_| ());
            let block = alloc(heap, layout(100, 8)).expect("room");
            LAST.with(|last| last.borrow_mut().push(Last(block, end)));
        })
        .join()
        .unwrap();
    }
    assert_all_free(heap, 400 << 10);
}
