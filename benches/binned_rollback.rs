//! The cost of a rollback beside a full snapshot: `cargo bench -p slab-benches --bench binned_rollback [-- [ROUNDS]]`.
//!
//! Each heap holds 64 MiB in blocks of mixed sizes. A round changes one per cent of the bytes, by writes to whole
//! pages or to scattered blocks. It is timed how long it takes
//!
//! * to take a full snapshot and to restore it;
//! * to take a checkpoint and to roll back, with what the copies of changed pages add to the writes themselves;
//! * to take a delta and to apply it to a peer.
//!
//! Rounds of all kinds take turns; medians are printed. The ratio is that of both sums. The bytes of a delta are shown
//! beside those of the pages that changed.

use std::hint::black_box;
use std::time::{Duration, Instant};

use slab_binned::{BlockId, FingerprintedAllocator, RollbackAllocator};

const HEAP_BYTES: usize = 64 << 20;
const DIRTY_BYTES: usize = HEAP_BYTES / 100;

fn random(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 20) as usize
}

/// One per cent of the bytes, as blocks to be written from their start to their end.
fn dirty(ids: &[(BlockId, usize)], state: &mut u64, scattered: bool) -> Vec<(BlockId, usize)> {
    let (mut chosen, mut bytes) = (Vec::new(), 0);
    let mut at = random(state) % ids.len();
    while bytes < DIRTY_BYTES {
        let (id, len) = ids[at];
        chosen.push((id, len));
        bytes += len;
        at = if scattered { random(state) } else { at + 1 } % ids.len();
    }
    chosen
}

struct Round {
    full: Duration,
    plain_writes: Duration,
    writes: Duration,
    checkpoint: Duration,
    rollback: Duration,
    delta: Duration,
    apply: Duration,
    delta_bytes: usize,
    dirty_bytes: usize,
}

fn round(
    plain: &mut FingerprintedAllocator,
    blocks: &mut RollbackAllocator,
    peer: &mut RollbackAllocator,
    work: &[(BlockId, usize)],
    bytes: &[u8],
) -> Round {
    let start = Instant::now();
    let snapshot = plain.snapshot().expect("memory for the bench");
    let restored = FingerprintedAllocator::restore(&snapshot, usize::MAX).expect("a snapshot");
    let full = start.elapsed();
    drop(black_box(restored));

    let start = Instant::now();
    for &(id, len) in work {
        plain.write(id, &bytes[..len]).expect("live");
    }
    let plain_writes = start.elapsed();

    let start = Instant::now();
    let saved = blocks.checkpoint().expect("memory for the bench");
    let checkpoint = start.elapsed();
    let start = Instant::now();
    for &(id, len) in work {
        blocks.write(id, &bytes[..len]).expect("live");
    }
    let writes = start.elapsed();

    let start = Instant::now();
    let sent = blocks.delta_since(saved).expect("memory for the bench");
    let delta = start.elapsed();
    let before = peer.checkpoint().expect("memory for the bench");
    let start = Instant::now();
    peer.apply_delta(&sent, usize::MAX).expect("the state of the checkpoint");
    let apply = start.elapsed();
    assert_eq!(peer.fingerprint(), blocks.fingerprint());
    peer.rollback(before).expect("the last one");

    let start = Instant::now();
    blocks.rollback(saved).expect("the last one");
    let rollback = start.elapsed();
    let (delta_bytes, dirty_bytes) = (sent.as_bytes().len(), sent.page_count() * 4096);
    Round {
        full,
        plain_writes,
        writes,
        checkpoint,
        rollback,
        delta,
        apply,
        delta_bytes,
        dirty_bytes,
    }
}

fn median<T: Ord + Copy>(rounds: &[Round], of: impl Fn(&Round) -> T) -> T {
    let mut values: Vec<_> = rounds.iter().map(of).collect();
    values.sort_unstable();
    values[values.len() / 2]
}

fn micros(rounds: &[Round], of: impl Fn(&Round) -> Duration) -> f64 {
    median(rounds, of).as_secs_f64() * 1e6
}

fn main() {
    let rounds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(15);
    let (mut plain, mut blocks) = (FingerprintedAllocator::new(), RollbackAllocator::new());
    let (mut state, mut ids, mut total) = (0x9E37_79B9_7F4A_7C15, Vec::new(), 0);
    let bytes: Vec<u8> = (0..16_392).map(|at| (at * 37 + 1) as u8).collect();
    while total < HEAP_BYTES {
        let len = match random(&mut state) % 10 {
            0..=4 => 16 + random(&mut state) % 240,
            5..=8 => 256 + random(&mut state) % 3840,
            _ => 4096 + random(&mut state) % 12_288,
        };
        let id = plain.alloc(len).expect("memory for the bench");
        assert_eq!(blocks.alloc(len), Ok(id));
        plain.write(id, &bytes[..len]).expect("live");
        blocks.write(id, &bytes[..len]).expect("live");
        ids.push((id, len));
        total += len;
    }
    println!("{} blocks, {} MiB of storage", ids.len(), blocks.storage_bytes() >> 20);
    println!(
        "1 % of the bytes        full  checkpoint  copies  rollback  ratio  copied bytes    delta     apply  \
         delta bytes  of dirty pages"
    );
    for (name, scattered) in [("adjacent blocks", false), ("scattered blocks", true)] {
        blocks.drop_checkpoints();
        blocks.checkpoint().expect("memory for the bench");
        let before = blocks.checkpoint_bytes();
        let work = dirty(&ids, &mut state, scattered);
        for &(id, len) in &work {
            blocks.write(id, &bytes[..len]).expect("live");
        }
        let copied = blocks.checkpoint_bytes() - before;
        let mut peer = blocks.clone();
        let done: Vec<_> = (0..rounds)
            .map(|nth| {
                let work = dirty(&ids, &mut state, scattered);
                // Other bytes than those that are there.
                round(&mut plain, &mut blocks, &mut peer, &work, &bytes[nth % 7 + 1..])
            })
            .collect();
        let full = micros(&done, |round| round.full);
        let checkpoint = micros(&done, |round| round.checkpoint);
        let rollback = micros(&done, |round| round.rollback);
        let copies = micros(&done, |round| round.writes.saturating_sub(round.plain_writes));
        let ratio = (checkpoint + copies + rollback) / full * 100.0;
        let (delta, apply) =
            (micros(&done, |round| round.delta), micros(&done, |round| round.apply));
        let delta_bytes = median(&done, |round| round.delta_bytes);
        let dirty_bytes = median(&done, |round| round.dirty_bytes);
        println!(
            "{name:<18} {full:>7.0} µs {checkpoint:>8.1} µs {copies:>4.0} µs {rollback:>6.0} µs {ratio:>4.1} % \
             {copied:>13} {delta:>5.0} µs {apply:>6.0} µs {delta_bytes:>12} {dirty_bytes:>15}"
        );
    }
}
