//! One buffer acquired and released, over and over, for counting its instructions: `benches/count_pool.sh`.
//!
//! `pool_pair WORK BYTES PAIRS`; the work `nothing` does what the others do around the pair.

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;

use mimalloc::MiMalloc;
use slab_pool::{BufferPool, Zeroing};

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
        _ => panic!("no such work"),
    }
}
