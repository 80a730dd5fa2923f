//! A committed log gives its committed fingerprint on every platform. Small, and without help from
//! other crates, so that Miri can run it for any target:
//! `cargo +nightly miri test -p slab-binned --target s390x-unknown-linux-gnu --test fingerprint`.

use slab_binned::{
    BinnedError, BlockId, Config, DivergenceSearch, LoggedAllocator, OpLog, RollbackAllocator,
    SizeClasses,
};

const COMMITTED: &str = include_str!("data/operations.log");
const FINGERPRINT: u64 = 0x3923_cf9b_f079_6ea5;
const DELTA_SUM: (usize, u64) = (341, 5_746_554_302_893_729_814);
const MESSAGES_SUM: (usize, u64) = (738, 8_142_077_666_170_404_352);

/// Operations of every kind: all classes, alignments, large blocks, writes, reuse, a trim.
fn program() -> Result<LoggedAllocator, BinnedError> {
    let config = Config::new().classes(SizeClasses::Standard).cap_bytes(4 << 20);
    let mut blocks = LoggedAllocator::with_config(config);
    let mut live: Vec<BlockId> = Vec::new();
    for step in 0..64_usize {
        let size = [1, 24, 48, 100, 300, 1000, 3000, 9000, 40_000, 66_000, 150_000][step * 7 % 11];
        live.push(match step % 4 {
            0 => blocks.alloc(size)?,
            1 => blocks.alloc_aligned(size, 1 << (step % 13))?,
            _ => blocks.alloc_dirty(size)?,
        });
        let last = live[live.len() - 1];
        let bytes: Vec<u8> = (0..size.min(step)).map(|at| (at * 37 + step) as u8).collect();
        blocks.write(last, &bytes)?;
        if step % 3 == 2 {
            blocks.free(live.swap_remove(step * 5 % live.len()))?;
            blocks.free(live.swap_remove(step * 11 % live.len()))?;
        }
        if step == 40 {
            blocks.trim()?;
        }
        assert!(blocks.alloc(usize::MAX).is_err(), "refusals are not part of it");
    }
    Ok(blocks)
}

#[test]
fn the_committed_log_gives_the_committed_fingerprint() {
    let log: OpLog = COMMITTED.parse().expect("a log");
    let replayed = log.replay().expect("the same operations");
    assert_eq!(replayed.fingerprint(), FINGERPRINT);
    assert_eq!(replayed.fingerprint(), log.end_fingerprint());
    replayed.validate().unwrap();
}

#[test]
fn the_program_gives_the_committed_log() {
    let blocks = program().expect("memory");
    assert_eq!(blocks.log().to_string(), COMMITTED);
    assert_eq!(blocks.log().len(), 171);
}

/// The bytes of a delta and of the messages of a search are the same on every platform.
#[test]
fn peers_of_all_platforms_send_the_same() -> Result<(), BinnedError> {
    // FNV-1a, with the length.
    let sum = |bytes: &[u8]| {
        let step = |sum: u64, &byte: &u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        (bytes.len(), bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
    };
    let config = Config::new().chunk_bytes(65_536);
    let mut blocks = RollbackAllocator::with_config(config);
    let ids = [17, 5000, 70_000].map(|size| blocks.alloc(size));
    let base = blocks.checkpoint()?;
    blocks.free(ids[2].clone()?)?;
    blocks.write_at(ids[1].clone()?, 4090, b"across two pages")?;
    blocks.alloc(100)?;
    let delta = blocks.delta_since(base).expect("kept");
    assert_eq!(sum(delta.as_bytes()), DELTA_SUM);

    let (mut ours, mut theirs) = (LoggedAllocator::new(), LoggedAllocator::new());
    for (peer, byte) in [(&mut ours, 1), (&mut theirs, 2)] {
        let id = peer.alloc_aligned(300, 64)?;
        peer.write_at(id, 7, &[byte; 200])?;
        peer.free(id)?;
    }
    let (mut here, mut there) =
        (DivergenceSearch::new(ours.log()), DivergenceSearch::new(theirs.log()));
    let mut all = Vec::new();
    while let (Some(sent), Some(received)) = (here.message(), there.message()) {
        let (sent, received) = (sent.to_vec(), received.to_vec());
        here.receive(&received).expect("an honest peer");
        there.receive(&sent).expect("an honest peer");
        all.extend([sent, received].concat());
    }
    assert_eq!(sum(&all), MESSAGES_SUM);
    Ok(())
}

/// A write of numbers and the same with other signs, in other places or with one bit changed are told apart.
#[test]
fn written_numbers_that_differ_a_little_are_told_apart() -> Result<(), BinnedError> {
    let fingerprint = |numbers: &[f64]| {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let mut blocks = LoggedAllocator::new();
        let id = blocks.alloc(bytes.len())?;
        blocks.write(id, &bytes)?;
        Ok(blocks.fingerprint())
    };
    let (x, y) = (1.5, -7.25);
    let mut all = Vec::new();
    for pair in [[x, y], [-x, -y], [x, -y], [-x, y], [y, x], [-y, -x]] {
        all.push(fingerprint(&pair)?);
    }
    let matrix: [f64; 9] = [2.0, -1.0, 0.0, -1.0, 2.0, -1.0, 0.0, -1.0, 2.0];
    let mut turned = matrix;
    turned.reverse();
    turned[0] = 3.0;
    for matrix in [matrix, matrix.map(|number| -number), turned, turned.map(|number| -number)] {
        all.push(fingerprint(&matrix)?);
    }
    let bits: &[u32] = if cfg!(miri) { &[63] } else { &[0, 31, 62, 63] };
    for &bit in bits {
        let changed = f64::from_bits(x.to_bits() ^ 1 << bit);
        all.push(fingerprint(&[changed, y, 0.0])?);
        all.push(fingerprint(&[changed, y, f64::from_bits(1 << bit)])?);
    }
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "each is another");
    Ok(())
}

#[test]
fn what_the_fingerprint_covers_changes_it() -> Result<(), BinnedError> {
    let fingerprint = |act: &dyn Fn(&mut LoggedAllocator) -> Result<(), BinnedError>| {
        let mut blocks = LoggedAllocator::new();
        let id = blocks.alloc(40)?;
        assert_eq!(id.index(), 0);
        act(&mut blocks)?;
        Ok(blocks.fingerprint())
    };
    let id = BlockId::from_bits(1 << 32).expect("index 0, generation 1");
    let mut all = vec![
        fingerprint(&|_| Ok(()))?,
        fingerprint(&|blocks| blocks.alloc(8).map(|_| ()))?,
        fingerprint(&|blocks| blocks.alloc(9).map(|_| ()))?,
        fingerprint(&|blocks| blocks.alloc_dirty(8).map(|_| ()))?,
        fingerprint(&|blocks| blocks.alloc_aligned(8, 2).map(|_| ()))?,
        fingerprint(&|blocks| blocks.free(id))?,
        fingerprint(&|blocks| blocks.trim().map(|_| ()))?,
        fingerprint(&|blocks| blocks.write(id, &[]))?,
        fingerprint(&|blocks| blocks.write(id, &[0]))?,
        fingerprint(&|blocks| blocks.write(id, &[0, 0]))?,
        fingerprint(&|blocks| blocks.write(id, &[0; 16]))?,
        fingerprint(&|blocks| blocks.write(id, &[0; 17]))?,
        fingerprint(&|blocks| blocks.write(id, &[1; 17]))?,
        fingerprint(&|blocks| blocks.write_at(id, 1, &[0]))?,
        fingerprint(&|blocks| blocks.write_at(id, 2, &[0]))?,
        fingerprint(&|blocks| blocks.write_at(id, 2, &[0, 0]))?,
        fingerprint(&|blocks| blocks.update(id, |bytes| bytes.fill(7)))?,
    ];
    let unchanged = fingerprint(&|blocks| {
        assert!(blocks.alloc(0).is_err());
        Ok(())
    })?;
    assert_eq!(unchanged, all[0], "a refusal changes nothing");
    for config in [
        Config::new(),
        Config::new().classes(SizeClasses::Fine),
        Config::new().chunk_bytes(65_536),
        Config::new().cap_bytes(65_536),
    ] {
        all.push(LoggedAllocator::with_config(config).fingerprint());
    }
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "each is another");
    Ok(())
}
