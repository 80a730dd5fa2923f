//! Frees and allocates blocks of mixed sizes, for `benches/count_binned.sh`, which counts the
//! instructions with callgrind: run it with two numbers of pairs; the difference is what they cost.

use std::hint::black_box;
use std::process::ExitCode;

use cjc_runtime::binned_alloc::BinnedAllocator as Seed;
use slab_binned::{
    BinnedAllocator, BlockAllocator, BlockId, FingerprintedAllocator, Global, Journal,
    LoggedAllocator,
};

const LIVE: usize = 1000;

/// Replaces one of a thousand blocks, again and again.
fn run<Id: Copy>(pairs: usize, mut replace: impl FnMut(Option<Id>, usize) -> Id) {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut live: Vec<Id> = (0..LIVE).map(|_| replace(None, 64)).collect();
    for _ in 0..pairs {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let (which, random) = ((state >> 20) as usize % LIVE, (state >> 40) as usize);
        let size = if random % 4 == 0 { 1 + random % 4000 } else { 1 + random % 200 };
        live[which] = replace(Some(live[which]), size);
    }
}

fn replace<J: Journal>(
    blocks: &mut BlockAllocator<Global, J>,
    old: Option<BlockId>,
    size: usize,
) -> BlockId {
    if let Some(old) = old {
        blocks.free(old).expect("live");
    }
    blocks.alloc_dirty(size).expect("memory for the bench")
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let pairs = arguments.get(1).and_then(|pairs| pairs.parse().ok());
    let (Some(name), Some(pairs)) = (arguments.first(), pairs) else {
        eprintln!("usage: binned harness|cjc-runtime|off|fingerprint|log PAIRS");
        return ExitCode::from(2);
    };
    match name.as_str() {
        "harness" => run(pairs, |_, size| black_box(size)),
        "cjc-runtime" => {
            let mut blocks = Seed::new();
            run(pairs, |old, size| {
                if let Some(old) = old {
                    blocks.free(old);
                }
                blocks.alloc(size)
            });
        }
        "off" => {
            let mut blocks = BinnedAllocator::new();
            run(pairs, |old, size| replace(&mut blocks, old, size));
        }
        "fingerprint" => {
            let mut blocks = FingerprintedAllocator::new();
            run(pairs, |old, size| replace(&mut blocks, old, size));
            black_box(blocks.fingerprint());
        }
        "log" => {
            let mut blocks = LoggedAllocator::new();
            run(pairs, |old, size| replace(&mut blocks, old, size));
            black_box(blocks.log().len());
        }
        _ => return ExitCode::from(2),
    }
    ExitCode::SUCCESS
}
