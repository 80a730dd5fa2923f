//! Checkpoints and rollbacks against full snapshots: what a rollback leaves is what a restored snapshot is, and
//! both go on alike.

mod steps;

use std::panic::{AssertUnwindSafe, catch_unwind};

use slab_binned::{
    BinnedError, BlockAllocator, BlockId, Checkpoint, Config, Fingerprinted,
    FingerprintedAllocator, Global, Journal, Logged, Rewindable, RollbackAllocator, RollbackError,
    SizeClasses, Snapshot, Untracked,
};
use slab_testkit::FailingSource;
use steps::{random, step};

struct Saved {
    checkpoint: Checkpoint,
    snapshot: Snapshot,
    live: Vec<BlockId>,
}

fn programs<J: Journal>(limit: usize) {
    let (seeds, steps) = if cfg!(miri) { (1, 150) } else { (30, 3000) };
    let (mut rollbacks, mut undone) = (0, 0);
    for seed in 0..seeds {
        let classes = [SizeClasses::Standard, SizeClasses::Fine][seed as usize % 2];
        let config = Config::new().chunk_bytes(65_536).classes(classes).cap_bytes(4 << 20);
        let mut blocks = BlockAllocator::<Global, Rewindable<J>>::new_in(config, Global);
        blocks.set_checkpoint_limit(limit);
        let (mut live, mut state) = (Vec::new(), seed);
        let mut saved: Vec<Saved> = Vec::new();
        for _ in 0..steps {
            step(&mut blocks, &mut live, &mut state);
            match random(&mut state, 60) {
                0..=2 => {
                    let checkpoint = blocks.checkpoint().expect("memory");
                    let snapshot = blocks.snapshot().expect("memory");
                    saved.push(Saved { checkpoint, snapshot, live: live.clone() });
                    if saved.len() > limit {
                        let dropped = saved.remove(0).checkpoint;
                        let refusal =
                            RollbackError::Dropped { number: dropped.number(), kept: limit, limit };
                        assert_eq!(blocks.rollback(dropped), Err(refusal));
                    }
                }
                3 | 4 if !saved.is_empty() => {
                    let to = random(&mut state, saved.len());
                    undone += saved.len() - 1 - to;
                    saved.truncate(to + 1);
                    let to = &saved[to];
                    blocks.rollback(to.checkpoint).expect("kept");
                    live.clone_from(&to.live);
                    assert_eq!(blocks.snapshot().as_ref(), Ok(&to.snapshot));
                    blocks.validate().unwrap_or_else(|error| panic!("{error}"));
                    rollbacks += 1;
                    same_future(&blocks, to, state);
                }
                5 if random(&mut state, 8) == 0 => {
                    blocks.drop_checkpoints();
                    saved.clear();
                }
                _ => {}
            }
            let kept: Vec<_> = saved.iter().map(|saved| saved.checkpoint).collect();
            assert_eq!(blocks.checkpoints().collect::<Vec<_>>(), kept);
        }
        blocks.validate().unwrap_or_else(|error| panic!("{error}"));
    }
    assert!(rollbacks > seeds as usize && (cfg!(miri) || undone > 100), "{rollbacks}, {undone}");
}

/// Goes on from a rollback and from a restored snapshot, in a clone: the same happens.
fn same_future<J: Journal>(
    rolled_back: &BlockAllocator<Global, Rewindable<J>>,
    to: &Saved,
    mut state: u64,
) {
    let mut clone = rolled_back.clone();
    let mut restored =
        BlockAllocator::<Global, J>::restore(&to.snapshot, usize::MAX).expect("a whole snapshot");
    let (mut ours, mut theirs) = (to.live.clone(), to.live.clone());
    let mut other_state = state;
    for _ in 0..20 {
        step(&mut clone, &mut ours, &mut state);
        step(&mut restored, &mut theirs, &mut other_state);
        assert_eq!(ours, theirs);
    }
    assert_eq!(clone.snapshot(), restored.snapshot());
}

#[test]
fn a_rollback_equals_a_restored_snapshot() {
    programs::<Fingerprinted>(5);
}

#[test]
#[cfg_attr(miri, ignore = "the same code as with a fingerprint")]
fn a_rollback_without_a_fingerprint_and_with_a_log() {
    programs::<Untracked>(3);
    programs::<Logged>(9);
}

#[test]
fn a_log_ends_where_it_ended_at_the_checkpoint() -> Result<(), BinnedError> {
    let mut blocks = BlockAllocator::<Global, Rewindable<Logged>>::new();
    let id = blocks.alloc(100)?;
    blocks.write(id, b"kept")?;
    let checkpoint = blocks.checkpoint()?;
    let log = blocks.log().clone();
    // More than a part of the log holds.
    let writes = if cfg!(miri) { 1100 } else { 3000_u32 };
    for step in 0..writes {
        blocks.write_at(id, 1, &step.to_le_bytes())?;
    }
    blocks.rollback(checkpoint).expect("kept");
    assert_eq!(blocks.log(), &log);
    let replayed = blocks.log().replay().expect("the same operations");
    assert_eq!(replayed.try_get(id)?, blocks.try_get(id)?);
    blocks.write(id, b"more")?;
    let taken = blocks.take_log();
    assert_eq!(taken.len(), 3);
    blocks.rollback(checkpoint).expect("kept");
    assert!(blocks.log().is_empty(), "the operations before the checkpoint were given away");
    assert_eq!(blocks.log().start_fingerprint(), log.end_fingerprint());
    Ok(())
}

#[test]
fn each_refusal_names_its_numbers() -> Result<(), BinnedError> {
    let (mut blocks, mut other) = (RollbackAllocator::new(), RollbackAllocator::new());
    blocks.set_checkpoint_limit(2);
    let mut taken = Vec::new();
    for step in 0..4 {
        blocks.alloc(10 + step)?;
        taken.push(blocks.checkpoint()?);
    }
    assert_eq!(taken.iter().map(|taken| taken.number()).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let before = blocks.snapshot()?;
    let dropped = |number| Err(RollbackError::Dropped { number, kept: 2, limit: 2 });
    assert_eq!(blocks.rollback(taken[0]), dropped(0));
    assert_eq!(blocks.rollback(taken[1]), dropped(1));
    let made_up = Checkpoint::from_parts(4, taken[3].digest());
    assert_eq!(blocks.rollback(made_up), Err(RollbackError::Unknown { number: 4, next: 4 }));
    other.alloc(1000)?;
    for _ in 0..4 {
        other.checkpoint()?;
    }
    let foreign = other.checkpoints().last().expect("taken");
    let refusal =
        RollbackError::Foreign { number: 3, expected: taken[3].digest(), found: foreign.digest() };
    assert_eq!(blocks.rollback(foreign), Err(refusal));
    let made_up = Checkpoint::from_parts(3, taken[3].digest() ^ 1);
    assert!(matches!(blocks.rollback(made_up), Err(RollbackError::Foreign { number: 3, .. })));
    assert_eq!(blocks.snapshot(), Ok(before), "a refusal changes nothing");

    blocks.rollback(taken[2]).expect("kept");
    assert_eq!(blocks.rollback(taken[3]), Err(RollbackError::Undone { number: 3, last: 2 }));
    assert_eq!(blocks.checkpoint()?.number(), 4, "no number is used again");
    assert_eq!(
        blocks.clone().rollback(taken[2]),
        Err(RollbackError::Unknown { number: 2, next: 0 })
    );
    blocks.drop_checkpoints();
    let refusal = RollbackError::Dropped { number: 2, kept: 0, limit: 2 };
    assert_eq!(blocks.rollback(taken[2]), Err(refusal));
    blocks.set_checkpoint_limit(0);
    let checkpoint = blocks.checkpoint()?;
    assert!(matches!(blocks.rollback(checkpoint), Err(RollbackError::Dropped { .. })));
    Ok(())
}

/// A replica that did the same takes an equal checkpoint.
#[test]
fn equal_replicas_take_equal_checkpoints() -> Result<(), BinnedError> {
    let (mut ours, mut theirs) = (RollbackAllocator::new(), RollbackAllocator::new());
    for peer in [&mut ours, &mut theirs] {
        let id = peer.alloc(5000)?;
        peer.write(id, b"state")?;
    }
    let checkpoint = ours.checkpoint()?;
    assert_eq!(theirs.checkpoint()?, checkpoint);
    theirs.alloc(1)?;
    theirs.rollback(checkpoint).expect("the same state");
    assert_eq!(ours.snapshot(), theirs.snapshot());
    Ok(())
}

#[test]
fn a_trim_can_be_undone() -> Result<(), BinnedError> {
    let source = FailingSource::new(allocator_api2::alloc::Global);
    let mut blocks: BlockAllocator<_, Rewindable> =
        BlockAllocator::new_in(Config::new().chunk_bytes(65_536), &source);
    let small = blocks.alloc(100)?;
    let large = blocks.alloc(200_000)?;
    blocks.write_at(large, 150_000, b"deep")?;
    blocks.free(large)?;
    let (before, held_bytes) = (blocks.snapshot()?, blocks.held_bytes());
    let checkpoint = blocks.checkpoint()?;
    let again = blocks.alloc_dirty(200_000)?;
    blocks.write_at(again, 150_000, b"else")?;
    blocks.free(again)?;
    let storage = blocks.storage_bytes();
    let trimmed = blocks.trim().expect("no log");
    assert!(trimmed >= 200_000);
    assert_eq!(blocks.storage_bytes(), storage - trimmed);
    assert_eq!(blocks.held_bytes(), held_bytes, "the chunk is kept for the checkpoint");
    let other = blocks.alloc(180_000)?;
    blocks.write_at(other, 150_000, b"new")?;
    blocks.rollback(checkpoint).expect("kept");
    assert_eq!(blocks.snapshot(), Ok(before));
    assert_eq!(blocks.held_bytes(), held_bytes);
    blocks.validate().unwrap();
    let dirty = blocks.alloc_dirty(200_000)?;
    assert_eq!(&blocks.try_get(dirty)?[150_000..150_004], b"deep");

    blocks.free(dirty)?;
    blocks.trim().expect("no log");
    blocks.drop_checkpoints();
    assert!(blocks.held_bytes() < held_bytes - 200_000, "nothing needs the chunk any more");
    assert_eq!(blocks.try_get(small)?.len(), 100);
    drop(blocks);
    assert_eq!(source.live_blocks(), 0);
    Ok(())
}

#[test]
fn pages_that_were_first_touched_after_a_checkpoint_are_zero_again() -> Result<(), BinnedError> {
    let mut blocks = RollbackAllocator::new();
    blocks.alloc(100)?;
    let checkpoint = blocks.checkpoint()?;
    let predicted = blocks.alloc(10_000)?;
    blocks.write(predicted, &[7; 10_000])?;
    for zeroed in [true, false] {
        blocks.rollback(checkpoint).expect("kept");
        let again = if zeroed { blocks.alloc(10_000)? } else { blocks.alloc_dirty(10_000)? };
        assert_eq!(again, predicted);
        assert!(blocks.try_get(again)?.iter().all(|&byte| byte == 0), "zeroed: {zeroed}");
        blocks.write(again, &[8; 10_000])?;
    }
    Ok(())
}

/// Bytes of a checkpoint follow what changed, not what there is.
#[test]
#[cfg_attr(miri, ignore = "megabytes")]
fn a_checkpoint_costs_what_changed() -> Result<(), BinnedError> {
    let mut blocks = RollbackAllocator::new();
    let ids = (0..1000).map(|_| blocks.alloc(4096)).collect::<Result<Vec<_>, _>>()?;
    ids.iter().try_for_each(|&id| blocks.write(id, &[1; 4096]))?;
    blocks.checkpoint()?;
    blocks.write(ids[999], &[1])?; // The stamps are there from now on.
    let before = blocks.checkpoint_bytes();
    for &id in &ids[..10] {
        blocks.write(id, b"one of a hundred")?;
        blocks.write_at(id, 2000, b"in the same page")?;
    }
    let grown = blocks.checkpoint_bytes() - before;
    assert!((10 * 4096..10 * 4096 + 2048).contains(&grown), "{grown} bytes");
    let large = blocks.alloc(1 << 20)?;
    blocks.write(large, &[1; 1 << 20])?;
    blocks.checkpoint()?;
    let before = blocks.checkpoint_bytes();
    blocks.write_at(large, 500_000, b"one page of 256")?;
    let grown = blocks.checkpoint_bytes() - before;
    assert!(grown < 3 * 4096, "{grown} bytes for a write into a large block");
    Ok(())
}

/// Chunks in every state: acquired, given back and touched since the checkpoint.
fn changed_chunks(
    source: &FailingSource<allocator_api2::alloc::Global>,
) -> (BlockAllocator<&FailingSource<allocator_api2::alloc::Global>, Rewindable>, Checkpoint) {
    let mut blocks = BlockAllocator::new_in(Config::new().chunk_bytes(65_536), source);
    blocks.alloc(100).expect("memory");
    let ids = [100_000; 2].map(|size| blocks.alloc(size).expect("memory"));
    let checkpoint = blocks.checkpoint().expect("memory");
    ids.into_iter().for_each(|id| blocks.free(id).expect("live"));
    blocks.trim().expect("no log");
    for _ in 0..4 {
        blocks.alloc(90_000).expect("memory");
    }
    (blocks, checkpoint)
}

#[test]
fn a_source_that_unwinds_from_a_rollback_gets_everything_back() {
    let sound = FailingSource::new(allocator_api2::alloc::Global);
    let (mut blocks, checkpoint) = changed_chunks(&sound);
    let before_rollback = sound.releases();
    blocks.rollback(checkpoint).expect("kept");
    let in_rollback = sound.releases() - before_rollback;
    let expected = blocks.snapshot().expect("memory");
    drop(blocks);
    let releases = sound.releases();
    assert!(in_rollback >= 4 && before_rollback == 0, "{in_rollback} after {before_rollback}");
    for nth in 1..=releases {
        let source = FailingSource::panicking_at_release(allocator_api2::alloc::Global, nth);
        let (mut blocks, checkpoint) = changed_chunks(&source);
        let outcome = catch_unwind(AssertUnwindSafe(|| blocks.rollback(checkpoint)));
        assert_eq!(outcome.is_err(), nth <= in_rollback);
        // The rollback has happened, whether it returned or unwound.
        assert_eq!(blocks.snapshot().as_ref(), Ok(&expected));
        blocks.validate().unwrap();
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(blocks)));
        assert_eq!(dropped.is_err(), nth > in_rollback);
        assert_eq!((source.releases(), source.live_blocks()), (releases, 0), "release {nth}");
    }
}

#[test]
fn the_fingerprint_after_a_rollback_is_that_of_the_same_operations() -> Result<(), BinnedError> {
    let mut plain = FingerprintedAllocator::new();
    let mut rewound = RollbackAllocator::new();
    for step in 0..50_u8 {
        let size = 10 + usize::from(step) * 40;
        let checkpoint = rewound.checkpoint()?;
        let predicted = rewound.alloc(size * 2)?;
        rewound.write(predicted, &[step])?;
        rewound.rollback(checkpoint).expect("kept");
        let ids = (plain.alloc(size)?, rewound.alloc(size)?);
        assert_eq!(ids.0, ids.1);
        plain.write(ids.0, &[step; 5])?;
        rewound.write(ids.1, &[step; 5])?;
        assert_eq!(plain.fingerprint(), rewound.fingerprint());
    }
    Ok(())
}
