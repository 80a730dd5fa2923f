//! A memory source that refuses each request in turn: nothing is lost, and nothing changes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use slab_binned::{BinnedAllocator, BinnedError, BlockAllocator, BlockId, Config, Fingerprinted};
use slab_testkit::{FailingSource, for_each_failure};

type Blocks<'a> = BlockAllocator<&'a FailingSource<allocator_api2::alloc::Global>, Fingerprinted>;

/// The state that a refused allocation must not change.
fn state(blocks: &Blocks<'_>) -> (u64, u64, usize, usize, usize) {
    let counts = (blocks.live_count(), blocks.free_block_count(), blocks.total_blocks());
    (blocks.fingerprint(), blocks.alloc_count(), counts.0, counts.1, counts.2)
}

#[test]
#[cfg_attr(miri, ignore = "megabytes are compared, once for each request")]
fn every_request_refused_in_turn() {
    let config = Config::new().chunk_bytes(65_536);
    let mut refusals = 0;
    let injected = for_each_failure(|source| {
        let mut blocks = Blocks::new_in(config, source);
        let mut live: Vec<(BlockId, u8)> = Vec::new();
        for step in 0..60_u8 {
            let size = [16, 60, 700, 2048, 5000, 30_000, 100_000][usize::from(step) % 7];
            let before = state(&blocks);
            match blocks.alloc(size) {
                Ok(id) => {
                    blocks.update(id, |bytes| bytes.fill(step)).expect("live");
                    live.push((id, step));
                }
                Err(error) => {
                    assert!(matches!(error, BinnedError::OutOfMemory { bytes } if bytes > 0));
                    assert_eq!(state(&blocks), before, "a refusal changes nothing");
                    refusals += 1;
                }
            }
            if step % 3 == 0 && !live.is_empty() {
                let (id, fill) = live.swap_remove(usize::from(step) % live.len());
                assert!(blocks.get(id).expect("live").iter().all(|&byte| byte == fill));
                blocks.free(id).expect("live");
            }
            if step == 40 {
                blocks.trim().expect("no log");
            }
            blocks.validate().unwrap();
        }
        for (id, fill) in live {
            assert!(blocks.get(id).expect("live").iter().all(|&byte| byte == fill));
        }
    });
    assert!(injected > 10 && refusals > injected, "{injected} requests, {refusals} refusals");
}

#[test]
fn a_snapshot_is_restored_whole_or_not_at_all() {
    let mut blocks = BinnedAllocator::new();
    // Miri takes its time over every byte that a snapshot looks at.
    let sizes: &[usize] = if cfg!(miri) { &[10, 100] } else { &[10, 100, 5000, 100_000] };
    for &size in sizes {
        blocks.alloc(size).expect("memory");
    }
    let saved = blocks.snapshot().expect("memory");
    let mut restored = 0;
    let injected = for_each_failure(|source| {
        let outcome: Result<BinnedAllocator<_>, _> =
            BinnedAllocator::restore_in(&saved, 1 << 20, source);
        if let Ok(blocks) = outcome {
            blocks.validate().unwrap();
            restored += 1;
        }
    });
    assert!(injected >= 4);
    assert_eq!(restored, 1, "only where nothing is refused");
}

#[test]
fn the_cap_is_kept_and_named() {
    let mut blocks = BinnedAllocator::with_config(Config::new().cap_bytes(100_000));
    let large = blocks.alloc(60_000).expect("within the cap");
    let refusal =
        BinnedError::OverCap { size: 40_000, needed: 65_536, storage: 98_304, cap: 98_304 };
    assert_eq!(blocks.alloc(40_000), Err(refusal));
    assert!(blocks.alloc(8192).is_ok(), "what the cap leaves is used");
    // Larger than a chunk, which is cut to what the cap leaves.
    let refusal =
        BinnedError::OverCap { size: 1 << 20, needed: 1 << 20, storage: 98_304, cap: 98_304 };
    assert_eq!(blocks.alloc(1 << 20), Err(refusal));
    assert_eq!(blocks.storage_bytes(), 98_304);
    blocks.free(large).expect("live");
    assert!(blocks.alloc(60_000).is_ok());
    assert_eq!(blocks.alloc_count() - blocks.free_count(), 2);
}

#[test]
fn a_refusal_leaves_no_trace_in_the_statistics() {
    let steps_max = |refusals: usize| {
        let mut blocks = BinnedAllocator::with_config(Config::new().cap_bytes(300_000));
        let live = [70_000; 3].map(|size| blocks.alloc(size).expect("within the cap"));
        blocks.free(live[1]).expect("live");
        for _ in 0..refusals {
            assert!(matches!(blocks.alloc(200_000), Err(BinnedError::OverCap { .. })));
        }
        blocks.alloc(66_000).expect("there is a hole");
        blocks.steps_max()
    };
    assert_eq!(steps_max(100), steps_max(0));
}

/// Blocks in separate chunks, all freed; and one that stays.
fn freed_chunks<'a>(
    source: &'a FailingSource<allocator_api2::alloc::Global>,
) -> (Blocks<'a>, BlockId) {
    let mut blocks = Blocks::new_in(Config::new().chunk_bytes(65_536), source);
    let kept = blocks.alloc(100).expect("memory");
    let ids: Vec<_> = (0..4).map(|_| blocks.alloc(100_000).expect("memory")).collect();
    ids.into_iter().for_each(|id| blocks.free(id).expect("live"));
    (blocks, kept)
}

#[test]
fn a_source_that_unwinds_from_a_release_gets_everything_back() {
    let sound = FailingSource::new(allocator_api2::alloc::Global);
    let (mut blocks, _) = freed_chunks(&sound);
    let trimmed_bytes = blocks.trim().expect("no log");
    let (expected, releases_of_trim) = (state(&blocks), sound.releases());
    drop(blocks);
    let releases = sound.releases();
    assert!(releases_of_trim >= 4 && releases > releases_of_trim + 2, "{releases}");
    for nth in 1..=releases {
        let source = FailingSource::panicking_at_release(allocator_api2::alloc::Global, nth);
        let (mut blocks, kept) = freed_chunks(&source);
        let held_bytes = blocks.storage_bytes();
        let trimmed = catch_unwind(AssertUnwindSafe(|| blocks.trim()));
        assert_eq!(trimmed.is_err(), nth <= releases_of_trim);
        // The trim has happened, whether it returned or unwound.
        assert_eq!(state(&blocks), expected);
        assert_eq!(blocks.storage_bytes(), held_bytes - trimmed_bytes);
        assert_eq!(source.releases(), releases_of_trim);
        blocks.validate().unwrap();
        assert_eq!(blocks.get(kept).expect("live").len(), 100);
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(blocks)));
        assert_eq!(dropped.is_err(), nth > releases_of_trim);
        assert_eq!(source.releases(), releases, "release {nth} panicked");
        assert_eq!(source.live_blocks(), 0, "release {nth} panicked");
    }
}
