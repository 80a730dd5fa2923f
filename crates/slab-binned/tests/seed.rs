//! The behaviour that users of the published system rely on, and each of its defects.

use slab_binned::{BinnedAllocator, BinnedError, Config, SizeClasses};

#[test]
fn sizes_get_their_classes() {
    let classes = SizeClasses::Standard;
    let cases = [(1, 16), (16, 16), (17, 32), (48, 48), (65, 128), (65_536, 65_536)];
    for (size, bytes) in cases {
        assert_eq!(classes.block_bytes(size), Some(bytes), "{size}");
    }
    assert_eq!(classes.block_bytes(65_537), None);
    let table = [16, 32, 48, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384, 65_536];
    assert_eq!(classes.sizes(), table);
}

#[test]
fn what_is_written_is_read() -> Result<(), BinnedError> {
    let mut blocks = BinnedAllocator::new();
    let id = blocks.alloc(8)?;
    blocks.write(id, &[1, 2, 3, 4, 5, 6, 7, 8])?;
    assert_eq!(blocks.try_get(id)?, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(blocks.usable_size(id), Ok(16));
    Ok(())
}

#[test]
fn the_block_freed_last_is_used_first() -> Result<(), BinnedError> {
    let mut blocks = BinnedAllocator::new();
    let ids = [blocks.alloc(32)?, blocks.alloc(32)?, blocks.alloc(32)?];
    let places = ids.map(|id| blocks.locate(id).expect("live"));
    for id in ids {
        blocks.free(id)?;
    }
    for nth in [2, 1, 0] {
        let id = blocks.alloc(32)?;
        assert_eq!((id.index(), id.generation()), (ids[nth].index(), 3));
        assert_eq!(blocks.locate(id)?, places[nth]);
    }
    Ok(())
}

#[test]
fn a_trim_keeps_the_order_of_what_stays_dead() -> Result<(), BinnedError> {
    let mut blocks = BinnedAllocator::new();
    let ids = [(); 4].map(|()| blocks.alloc(64));
    // The last one stays, and so does its page.
    for id in &ids[..3] {
        blocks.free(id.clone()?)?;
    }
    blocks.trim()?;
    for nth in [2, 1, 0] {
        assert_eq!(blocks.alloc(64)?.index(), nth);
    }
    Ok(())
}

#[test]
fn classes_do_not_mix() -> Result<(), BinnedError> {
    let mut blocks = BinnedAllocator::new();
    let ids = [blocks.alloc(8)?, blocks.alloc(256)?, blocks.alloc(4096)?];
    for id in ids {
        blocks.free(id)?;
    }
    for (size, id) in [8, 256, 4096].into_iter().zip(ids) {
        assert_eq!(blocks.alloc(size)?.index(), id.index());
    }
    Ok(())
}

#[test]
fn the_same_operations_give_the_same_ids() -> Result<(), BinnedError> {
    let (mut one, mut other) = (BinnedAllocator::new(), BinnedAllocator::new());
    for step in 0..300_usize {
        let (left, right) = (one.alloc(step * 7 % 900 + 1)?, other.alloc(step * 7 % 900 + 1)?);
        assert_eq!(left, right);
        assert_eq!(one.locate(left)?, other.locate(right)?);
        if step % 3 == 0 {
            one.free(left)?;
            other.free(right)?;
        }
    }
    Ok(())
}

#[test]
fn storage_does_not_shrink_by_itself() -> Result<(), BinnedError> {
    let mut blocks = BinnedAllocator::new();
    for _ in 0..2 {
        for _ in 0..100 {
            let id = blocks.alloc(64)?;
            blocks.free(id)?;
        }
        assert_eq!(blocks.storage_bytes(), 256 * 1024);
    }
    assert_eq!((blocks.live_count(), blocks.alloc_count(), blocks.free_count()), (0, 200, 200));
    Ok(())
}

#[test]
fn counts_follow_the_blocks() -> Result<(), BinnedError> {
    let mut blocks = BinnedAllocator::new();
    let ids = [blocks.alloc(16)?, blocks.alloc(32)?, blocks.alloc(64)?];
    assert_eq!((blocks.live_count(), blocks.total_blocks()), (3, 3));
    blocks.free(ids[0])?;
    blocks.free(ids[1])?;
    assert_eq!((blocks.live_count(), blocks.free_block_count()), (1, 2));
    Ok(())
}

#[test]
fn large_blocks_have_their_bytes() -> Result<(), BinnedError> {
    let mut blocks = BinnedAllocator::new();
    let id = blocks.alloc(100_000)?;
    blocks.write(id, &[0xAB; 100])?;
    assert_eq!(blocks.try_get(id)?.len(), 100_000);
    assert_eq!(blocks.try_get(id)?[99..101], [0xAB, 0]);
    Ok(())
}

// Defects of the published system.

/// The seed returns a block of no bytes for `usize::MAX - 3`.
#[test]
fn sizes_that_overflow_are_refused() {
    let mut blocks = BinnedAllocator::new();
    for size in [usize::MAX, usize::MAX - 3, usize::MAX / 2, (1 << 30) + 1] {
        let refused = Err(BinnedError::TooLarge { size, max: 1 << 30 });
        assert_eq!(blocks.alloc(size), refused);
        assert_eq!(blocks.alloc_dirty(size), refused);
    }
    assert_eq!(blocks.alloc(0), Err(BinnedError::ZeroSize));
    assert_eq!((blocks.alloc_count(), blocks.storage_bytes()), (0, 0));
}

/// The seed reads and frees the new owner's block.
#[test]
fn a_stale_id_is_refused_after_reuse() -> Result<(), BinnedError> {
    let mut blocks = BinnedAllocator::new();
    let old = blocks.alloc(16)?;
    blocks.free(old)?;
    let already = BinnedError::AlreadyFreed { index: 0, generation: 1 };
    assert_eq!(blocks.free(old), Err(already.clone()), "a double free");
    assert_eq!(blocks.try_get(old), Err(already));
    let new = blocks.alloc(16)?;
    assert_eq!(new.index(), old.index());
    let stale = BinnedError::Stale { index: 0, generation: 1, current: 3 };
    assert_eq!(blocks.try_get(old), Err(stale.clone()));
    assert_eq!(blocks.try_get_mut(old), Err(stale.clone()));
    assert_eq!(blocks.write(old, &[1]), Err(stale.clone()));
    assert_eq!(blocks.free(old), Err(stale));
    assert_eq!(blocks.free_count(), 1);
    assert_eq!(blocks.try_get(new)?, [0; 16]);
    Ok(())
}

/// The seed looks at the last entry of its overflow list alone.
#[test]
fn a_freed_large_block_is_found_behind_others() -> Result<(), BinnedError> {
    let mut blocks = BinnedAllocator::new();
    let large = blocks.alloc(1 << 20)?;
    let _between = blocks.alloc(70_000)?;
    let small = blocks.alloc(70_000)?;
    let place = blocks.locate(large)?;
    blocks.free(large)?;
    blocks.free(small)?;
    let storage = blocks.storage_bytes();
    let again = blocks.alloc(1 << 20)?;
    assert_eq!(blocks.locate(again)?, place);
    assert_eq!(blocks.storage_bytes(), storage);
    Ok(())
}

/// The seed hands out a freed block of any size that fits, whole.
#[test]
fn a_large_block_is_split_and_merged_again() -> Result<(), BinnedError> {
    let mut blocks = BinnedAllocator::new();
    let whole = blocks.alloc(1 << 20)?;
    blocks.free(whole)?;
    let storage = blocks.storage_bytes();
    let parts: Vec<_> = (0..10).map(|_| blocks.alloc(100_000)).collect::<Result<_, _>>()?;
    assert_eq!(blocks.storage_bytes(), storage, "ten fit where one was");
    for part in parts {
        blocks.free(part)?;
    }
    assert_eq!(blocks.free_run_count(), 1);
    assert_eq!(blocks.locate(whole).is_err(), blocks.alloc(1 << 20).is_ok());
    assert_eq!(blocks.storage_bytes(), storage);
    Ok(())
}

/// The seed's storage is one vector, which is copied when it grows.
#[test]
fn growth_moves_no_block() -> Result<(), BinnedError> {
    let mut blocks = BinnedAllocator::new();
    let first = blocks.alloc(64)?;
    let address = blocks.try_get(first)?.as_ptr();
    for _ in 0..2000 {
        blocks.alloc(if cfg!(miri) { 64 } else { 4096 })?;
    }
    assert_eq!(blocks.try_get(first)?.as_ptr(), address);
    Ok(())
}

/// The seed returns whatever was in the block.
#[test]
fn the_visible_bytes_are_zero() -> Result<(), BinnedError> {
    let mut blocks = BinnedAllocator::new();
    for size in [1, 16, 100, 5000, 70_000] {
        let id = blocks.alloc(size)?;
        blocks.try_get_mut(id)?.fill(0xEE);
        blocks.free(id)?;
        let dirty = blocks.alloc_dirty(size)?;
        assert_eq!(blocks.try_get(dirty)?, vec![0xEE; size], "dirty bytes are those left behind");
        blocks.free(dirty)?;
        let id = blocks.alloc(size)?;
        assert_eq!(blocks.try_get(id)?, vec![0; size]);
    }
    Ok(())
}

/// The seed cuts what does not fit, and says that it was written.
#[test]
fn a_write_that_does_not_fit_is_refused() -> Result<(), BinnedError> {
    let mut blocks = BinnedAllocator::new();
    let id = blocks.alloc(3)?;
    let refused =
        BinnedError::WriteTooLong { len: 4, offset: 0, block_len: 3, index: 0, generation: 1 };
    assert_eq!(blocks.write(id, &[1; 4]), Err(refused));
    assert_eq!(blocks.try_get(id)?, [0; 3]);
    Ok(())
}

/// The seed moved its whole heap when that grew: one allocation took as long as the heap was large.
#[test]
fn growth_takes_few_steps() -> Result<(), BinnedError> {
    let count = if cfg!(miri) { 20 } else { 800_usize };
    let mut blocks = BinnedAllocator::with_config(Config::new().chunk_bytes(1 << 20));
    let size = |step: usize| 65_537 + step * 7919 % 60_000;
    let live =
        (0..count).map(|step| blocks.alloc_dirty(size(step))).collect::<Result<Vec<_>, _>>()?;
    for id in live.into_iter().step_by(2) {
        blocks.free(id)?;
    }
    let runs = blocks.free_run_count();
    assert!(runs >= count / 2, "{runs} free runs");
    for step in 0..count {
        blocks.alloc_dirty([5000, 30_000, size(step), 1_000_000][step % 4])?;
    }
    let (levels, steps) = (3 * u64::from((runs + 2).ilog2() + 1) / 2, blocks.steps_max());
    assert!(steps <= 50 * levels, "{steps} steps among {runs} free runs");
    Ok(())
}
