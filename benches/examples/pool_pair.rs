//! One buffer acquired and released, over and over, for counting its instructions: `benches/count_pool.sh`.
//!
//! `pool_pair WORK BYTES PAIRS`; the work `nothing` does what the others do around the pair. The works `slice…`, `split…` and
//! `chain…` take parts of filled buffers instead: of ours, of `bytes` and of `bytesbuf`.

use std::alloc::{GlobalAlloc, Layout};
use std::collections::VecDeque;
use std::hint::black_box;
use std::io::IoSlice;

use bytes::{Buf, Bytes};
use bytesbuf::BytesView;
use bytesbuf::mem::GlobalPool;
use mimalloc::MiMalloc;
use slab_pool::{ArenaSettings, BufferChain, BufferPool, SharedBuffer, Zeroing};

fn repeat(pairs: usize, mut pair: impl FnMut()) {
    for _ in 0..pairs {
        pair();
    }
}

#[expect(unsafe_code, reason = "an allocator's own interface")]
fn mimalloc(bytes: usize) {
    let layout = Layout::from_size_align(black_box(bytes), 4096).expect("small");
    // SAFETY: the size is not zero.
    let block = black_box(unsafe { MiMalloc.alloc(layout) });
    // SAFETY: the block was just allocated with this layout.
    unsafe { MiMalloc.dealloc(block, layout) };
}

/// The parts of a message.
const PARTS: usize = 4;
/// Bytes that a writer takes at a time.
const STEP: usize = 1000;

/// Gathers parts, and drops what a writer took of them: the list that servers write around `Bytes`.
fn chain_of_bytes(parts: &[Bytes; PARTS]) {
    let mut list: VecDeque<Bytes> = VecDeque::new();
    list.extend(parts.iter().cloned());
    let mut left: usize = list.iter().map(Bytes::len).sum();
    while left > 0 {
        let mut slices = [IoSlice::new(&[]); PARTS];
        let filled = slices.iter_mut().zip(&list).map(|(slice, part)| *slice = IoSlice::new(part));
        black_box(filled.count());
        black_box(&slices);
        let mut count = STEP.min(left);
        left -= count;
        while let Some(first) = list.front_mut()
            && count > 0
        {
            if count < first.len() {
                first.advance(count);
                break;
            }
            count -= first.len();
            list.pop_front();
        }
    }
}

fn chain(parts: &[SharedBuffer; PARTS]) {
    let mut chain: BufferChain = parts.iter().cloned().collect();
    while !chain.is_empty() {
        let mut slices = [IoSlice::new(&[]); PARTS];
        black_box(chain.chunks_vectored(&mut slices));
        black_box(&slices);
        chain.advance(STEP.min(chain.len()));
    }
}

fn chain_of_bytesbuf(parts: &[BytesView; PARTS]) {
    let mut view = BytesView::from_views(parts.iter().cloned());
    while !view.is_empty() {
        let mut slices = [IoSlice::new(&[]); PARTS];
        let filled = slices.iter_mut().zip(view.slices());
        black_box(filled.map(|(slice, (part, _))| *slice = IoSlice::new(part)).count());
        black_box(&slices);
        view.advance(STEP.min(view.len()));
    }
}

/// Runs the works on parts of buffers; returns whether there is such a work.
fn parts(work: &str, bytes: usize, pairs: usize, pool: &BufferPool) -> bool {
    let ours = [(); PARTS].map(|()| pool.acquire_zeroed(bytes).freeze());
    // The first clone of a `Bytes` moves its count to the heap.
    let theirs = [(); PARTS].map(|()| Bytes::from(vec![0; bytes]));
    black_box(theirs.clone());
    let memory = GlobalPool::new();
    let views = [(); PARTS].map(|()| {
        let mut buffer = memory.reserve(bytes);
        buffer.put_byte_repeated(0, bytes);
        buffer.consume_all()
    });
    match work {
        "slice" => repeat(pairs, || _ = black_box(ours[0].slice(black_box(10)..20))),
        "slice-bytes" => repeat(pairs, || _ = black_box(theirs[0].slice(black_box(10)..20))),
        "slice-bytesbuf" => repeat(pairs, || _ = black_box(views[0].range(black_box(10)..20))),
        "split" => repeat(pairs, || {
            let mut whole = black_box(&ours[0]).clone();
            black_box((whole.split_to(black_box(10)), whole));
        }),
        "split-bytes" => repeat(pairs, || {
            let mut whole = black_box(&theirs[0]).clone();
            black_box((whole.split_to(black_box(10)), whole));
        }),
        "chain" => repeat(pairs, || chain(black_box(&ours))),
        "chain-bytes" => repeat(pairs, || chain_of_bytes(black_box(&theirs))),
        "chain-bytesbuf" => repeat(pairs, || chain_of_bytesbuf(black_box(&views))),
        _ => return false,
    }
    true
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [work, bytes, pairs] = &arguments[..] else { panic!("pool_pair WORK BYTES PAIRS") };
    let (bytes, pairs): (usize, usize) =
        (bytes.parse().expect("bytes"), pairs.parse().expect("pairs"));
    let zeroing = if work == "unzeroed" { Zeroing::Never } else { Zeroing::OnAcquire };
    let pool = BufferPool::builder().zeroing(zeroing).build().expect("sound");
    drop(pool.acquire(bytes));
    match work.as_str() {
        "nothing" => repeat(pairs, || _ = black_box(black_box(bytes))),
        "clean" => repeat(pairs, || drop(black_box(pool.acquire(black_box(bytes))))),
        "unzeroed" => {
            pool.acquire(bytes)[0] = 1;
            repeat(pairs, || drop(black_box(pool.acquire(black_box(bytes)))));
        }
        "zeroed" => {
            let contents = black_box([7; 100]);
            repeat(pairs, || {
                let mut buffer = pool.acquire(black_box(bytes));
                buffer.write_at(0, &contents).expect("inside");
                drop(black_box(buffer));
            });
        }
        "for-write" => repeat(pairs, || drop(black_box(pool.acquire_for_write(black_box(bytes))))),
        "mimalloc" => repeat(pairs, || mimalloc(bytes)),
        "bytesbuf" => {
            let memory = GlobalPool::new();
            repeat(pairs, || drop(black_box(memory.reserve(black_box(bytes)))));
        }
        "arena" | "index" => {
            let pool = BufferPool::builder().arena(ArenaSettings::new(2)).build().expect("sound");
            repeat(pairs, || {
                let buffer = black_box(pool.acquire(black_box(bytes)));
                if work == "index" {
                    black_box(buffer.arena_index());
                }
            });
        }
        _ => assert!(parts(work, bytes, pairs, &pool), "no such work"),
    }
}
