//! Random operations on an allocator with any journal.

use allocator_api2::alloc::Allocator;
use slab_binned::{BlockAllocator, BlockId, Journal};

/// Returns a random number below another.
pub fn random(state: &mut u64, below: usize) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize % below
}

/// One random operation: the same for equal random numbers and equal live blocks.
pub fn step<A: Allocator, J: Journal>(
    blocks: &mut BlockAllocator<A, J>,
    live: &mut Vec<BlockId>,
    state: &mut u64,
) {
    let (kind, size) = (random(state, 40), random(state, 1 << 20));
    let large = if cfg!(miri) { 9000 } else { 140_000 };
    let size = match size % 16 {
        0 => size % large + 1,
        1..=3 => size % 5000 + 1,
        _ => size % 300 + 1,
    };
    match kind {
        0..=7 => live.extend(blocks.alloc(size).ok()),
        8..=13 => live.extend(blocks.alloc_dirty(size).ok()),
        14 => live.extend(blocks.alloc_aligned(size, 1 << (size % 13)).ok()),
        15..=26 if !live.is_empty() => {
            let id = live.swap_remove(random(state, live.len()));
            blocks.free(id).expect("live");
        }
        27..=37 if !live.is_empty() => {
            let id = live[random(state, live.len())];
            let len = blocks.get(id).expect("live").len();
            let offset = random(state, len);
            let bytes = vec![random(state, 256) as u8; (len - offset).min(size)];
            blocks.write_at(id, offset, &bytes).expect("inside");
        }
        38 => {
            blocks.trim().expect("memory for the log");
        }
        _ => {
            assert!(blocks.alloc(0).is_err());
            assert!(blocks.alloc(usize::MAX).is_err());
        }
    }
}
