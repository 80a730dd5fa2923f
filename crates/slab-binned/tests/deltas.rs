//! Deltas: what a peer has after one is what the sender has; and what was changed or made up is refused.

mod steps;

use slab_binned::{
    BinnedError, BlockAllocator, BlockId, Config, Delta, DeltaError, Fingerprinted,
    FingerprintedAllocator, Global, Journal, Logged, LoggedAllocator, Rewindable,
    RollbackAllocator, RollbackError, SizeClasses, Untracked,
};
use slab_testkit::{FailingSource, for_each_failure};
use steps::{random, step};

const BUDGET: usize = 64 << 20;

/// Sends a delta as bytes.
fn sent<J: Journal>(
    from: &BlockAllocator<Global, Rewindable<J>>,
    base: slab_binned::Checkpoint,
) -> Delta {
    let delta = from.delta_since(base).expect("kept");
    let read = Delta::from_bytes(delta.as_bytes()).expect("unchanged");
    assert_eq!(read, delta);
    read
}

/// A sender, and peers that follow it by deltas alone, some of them from two checkpoints ago.
fn programs<J: Journal>() {
    let (seeds, rounds, steps) = if cfg!(miri) { (2, 3, 10) } else { (30, 60, 40) };
    let mut undone = 0;
    for seed in 0..seeds {
        let classes = [SizeClasses::Standard, SizeClasses::Fine][seed as usize % 2];
        let config = Config::new().chunk_bytes(65_536).classes(classes).cap_bytes(4 << 20);
        let mut sender = BlockAllocator::<Global, Rewindable<J>>::new_in(config, Global);
        let mut rewinding = BlockAllocator::<Global, Rewindable<J>>::new_in(config, Global);
        let mut plain = BlockAllocator::<Global, J>::new_in(config, Global);
        let (mut live, mut state) = (Vec::new(), seed + 100);
        let mut base = sender.checkpoint().expect("memory");
        let mut older = base;
        for round in 0..rounds {
            for _ in 0..random(&mut state, steps) {
                step(&mut sender, &mut live, &mut state);
                if random(&mut state, 12) == 0 {
                    sender.checkpoint().expect("memory");
                    sender.set_checkpoint_limit(1000);
                }
            }
            let expected = sender.snapshot().expect("memory");
            plain.apply_delta(&sent(&sender, base), BUDGET).expect("the state of the base");
            if round % 2 == 1 {
                let before = rewinding.snapshot().expect("memory");
                let checkpoint = rewinding.checkpoint().expect("memory");
                let delta = sent(&sender, older);
                rewinding.apply_delta(&delta, BUDGET).expect("the state of the base");
                assert_eq!(rewinding.snapshot().as_ref(), Ok(&expected));
                rewinding.rollback(checkpoint).expect("kept");
                rewinding.validate().unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(rewinding.snapshot(), Ok(before));
                rewinding.apply_delta(&delta, BUDGET).expect("the state of the base");
                assert_eq!(rewinding.snapshot().as_ref(), Ok(&expected));
                older = sender.checkpoint().expect("memory");
                undone += 1;
            }
            assert_eq!(plain.snapshot().as_ref(), Ok(&expected));
            plain.validate().unwrap_or_else(|error| panic!("{error}"));
            base = sender.checkpoint().expect("memory");
        }
        let mut other_live = live.clone();
        let mut other_state = state;
        for _ in 0..2 * steps {
            step(&mut sender, &mut live, &mut state);
            step(&mut plain, &mut other_live, &mut other_state);
            assert_eq!(live, other_live);
        }
        assert_eq!(sender.snapshot(), plain.snapshot());
    }
    assert!(undone >= seeds);
}

#[test]
fn a_peer_that_applies_deltas_is_where_the_sender_is() {
    programs::<Fingerprinted>();
}

#[test]
#[cfg_attr(miri, ignore = "the same code as with a fingerprint")]
fn without_a_fingerprint_and_with_a_log() {
    programs::<Untracked>();
    programs::<Logged>();
}

#[test]
#[cfg_attr(miri, ignore = "megabytes")]
fn a_delta_is_as_large_as_the_pages_that_changed() -> Result<(), BinnedError> {
    let mut blocks = RollbackAllocator::new();
    let ids = (0..1000).map(|_| blocks.alloc(4096)).collect::<Result<Vec<_>, _>>()?;
    let noise = |salt: usize| -> Vec<u8> {
        (0..4096).map(|at: usize| ((at + salt).wrapping_mul(0x9E37_79B9) >> 13) as u8).collect()
    };
    ids.iter().try_for_each(|&id| blocks.write(id, &noise(0)))?;
    let base = blocks.checkpoint()?;
    for &id in &ids[..200] {
        blocks.write(id, &noise(7))?;
    }
    let bytes = sent(&blocks, base).as_bytes().len();
    assert!(bytes <= 200 * 4096 * 101 / 100, "{bytes} bytes for 200 whole pages");

    let base = blocks.checkpoint()?;
    for &id in &ids {
        blocks.write_at(id, 77, b"a few bytes of each page")?;
    }
    let delta = sent(&blocks, base);
    assert_eq!(delta.page_count(), 1000);
    let bytes = delta.as_bytes().len();
    assert!(bytes < 1000 * 48, "{bytes} bytes for 24 in each of 1000 pages");

    let base = blocks.checkpoint()?;
    blocks.write(ids[3], blocks.try_get(ids[3])?.to_vec().as_slice())?;
    assert_eq!(sent(&blocks, base).page_count(), 0, "what is written again is not sent");
    Ok(())
}

/// Every part of a delta has something in it.
fn sample() -> Result<(FingerprintedAllocator, Delta, FingerprintedAllocator), BinnedError> {
    let mut blocks = RollbackAllocator::with_config(Config::new().chunk_bytes(65_536));
    let ids = [17, 40, 3000, 20_000, 70_000, 90_000].map(|size| blocks.alloc(size));
    blocks.write(ids[0].clone()?, b"kept")?;
    blocks.free(ids[5].clone()?)?;
    let base = blocks.checkpoint()?;
    let before = blocks.snapshot()?;
    blocks.trim()?;
    for nth in [1, 4] {
        blocks.free(ids[nth].clone()?)?;
    }
    let large = blocks.alloc(150_000)?;
    // Miri takes a second for each snapshot with as many bytes.
    let at = if cfg!(miri) { 100 } else { 149_990 };
    blocks.write_at(large, at, b"at the end")?;
    blocks.write_at(ids[0].clone()?, 1, b"changed")?;
    blocks.alloc_aligned(50, 64)?;
    blocks.alloc(80_000)?;
    let restored =
        |snapshot| FingerprintedAllocator::restore(snapshot, BUDGET).expect("whole snapshots");
    let delta = blocks.delta_since(base).expect("kept");
    Ok((restored(&before), delta, restored(&blocks.snapshot()?)))
}

#[test]
#[cfg_attr(miri, ignore = "thousands of deltas")]
fn no_flip_of_a_bit_is_read() {
    let (_, delta, _) = sample().expect("memory");
    let mut bytes = delta.as_bytes().to_vec();
    for bit in 0..8 * bytes.len() {
        bytes[bit / 8] ^= 1 << (bit % 8);
        Delta::from_bytes(&bytes).expect_err("one bit is another");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    for len in 0..bytes.len() {
        Delta::from_bytes(&bytes[..len]).expect_err("bytes are missing");
    }
    bytes.push(0);
    Delta::from_bytes(&bytes).expect_err("there is a byte more");
}

#[test]
fn a_delta_goes_through_serde_as_its_bytes() {
    let (_, delta, _) = sample().expect("memory");
    let mut json = serde_json::to_value(&delta).expect("numbers");
    let read: Delta = serde_json::from_value(json.clone()).expect("unchanged");
    assert_eq!(read, delta);
    json[100] = (json[100].as_u64().expect("a byte") ^ 1).into();
    serde_json::from_value::<Delta>(json).expect_err("one bit is another");
    let mut cbor = Vec::new();
    ciborium::into_writer(&delta, &mut cbor).expect("a vector takes everything");
    assert_eq!(ciborium::from_reader::<Delta, _>(&cbor[..]).ok(), Some(delta));
}

/// Returns a delta whose checksum is that of its contents, if they can be read.
fn seal(bytes: &mut [u8]) -> Option<Delta> {
    if let Err(DeltaError::Checksum { found, .. }) = Delta::from_bytes(bytes) {
        let start = bytes.len() - 8;
        bytes[start..].copy_from_slice(&found.to_le_bytes());
    }
    Delta::from_bytes(bytes).ok()
}

/// Whoever makes up a delta gets a refusal that changes nothing, or an allocator in order.
#[test]
#[cfg_attr(miri, ignore = "thousands of deltas")]
fn no_change_of_a_number_breaks_anything() {
    let (base, delta, end) = sample().expect("memory");
    let (before, after) = (base.snapshot().expect("memory"), end.snapshot().expect("memory"));
    let (mut refused, mut other) = (0, 0);
    let restore = || FingerprintedAllocator::restore(&before, BUDGET).expect("whole");
    let mut peer = restore();
    for at in 0..delta.as_bytes().len() {
        for change in [1, 0x80, 0xFF] {
            let mut bytes = delta.as_bytes().to_vec();
            bytes[at] = if change == 0xFF { 0xFF } else { bytes[at] ^ change };
            let Some(made_up) = seal(&mut bytes) else {
                refused += 1;
                continue;
            };
            let mut outcome = peer.apply_delta(&made_up, BUDGET);
            if let Err(DeltaError::Content { found, .. }) = outcome {
                let start = bytes.len() - 16;
                bytes[start..start + 8].copy_from_slice(&found.to_le_bytes());
                outcome = peer.apply_delta(&seal(&mut bytes).expect("sealed"), BUDGET);
            }
            match outcome {
                Err(_) => {
                    refused += 1;
                    assert_eq!(peer.snapshot().as_ref(), Ok(&before), "byte {at}");
                }
                Ok(()) => {
                    other += usize::from(peer.snapshot().as_ref() != Ok(&after));
                    peer.validate().unwrap_or_else(|error| panic!("byte {at}: {error}"));
                    let id = peer.alloc(5000).expect("memory");
                    peer.free(id).expect("live");
                    peer.trim().expect("memory");
                    peer = restore();
                }
            }
        }
    }
    // The bytes of blocks, the fingerprint and the most steps can be anything.
    assert!(refused > 500 && other > 10, "{refused} refused, {other} led elsewhere");
    peer.apply_delta(&delta, BUDGET).expect("the state of the base");
    assert_eq!(peer.snapshot(), Ok(after));
}

#[test]
fn each_refusal_names_its_numbers() -> Result<(), BinnedError> {
    let (mut base, delta, _) = sample()?;
    let before = base.snapshot()?;
    match base.apply_delta(&delta, 1000) {
        Err(DeltaError::OverBudget { bytes, budget: 1000 }) => assert!(bytes > 150_000),
        other => panic!("{other:?}"),
    }
    let mut elsewhere = FingerprintedAllocator::new();
    match elsewhere.apply_delta(&delta, BUDGET) {
        Err(DeltaError::Base { expected, .. }) => assert_eq!(expected, delta.base_digest()),
        other => panic!("{other:?}"),
    }
    let mut version = delta.as_bytes().to_vec();
    version[8] = 9;
    let refusal = DeltaError::Version { found: 9, supported: slab_binned::DELTA_VERSION };
    assert_eq!(Delta::from_bytes(&version), Err(refusal));
    assert_eq!(base.snapshot(), Ok(before));
    base.apply_delta(&delta, BUDGET).expect("the state of the base");
    assert_eq!(Some(base.fingerprint()), delta.fingerprint());
    match base.apply_delta(&delta, BUDGET) {
        Err(DeltaError::Base { found, .. }) => assert_eq!(found, delta.end_digest()),
        other => panic!("{other:?}"),
    }
    let mut blocks = RollbackAllocator::new();
    let checkpoint = blocks.checkpoint()?;
    blocks.drop_checkpoints();
    let refusal = RollbackError::Dropped { number: 0, kept: 0, limit: 8 };
    assert_eq!(blocks.delta_since(checkpoint), Err(DeltaError::Checkpoint(refusal)));
    Ok(())
}

/// A byte that changed without an operation is noticed by a delta that changes its page.
#[test]
fn damage_in_a_page_that_changes_is_noticed() -> Result<(), BinnedError> {
    let mut sender = BlockAllocator::<Global, Rewindable<Untracked>>::new_in(Config::new(), Global);
    let mut peer = slab_binned::BinnedAllocator::new();
    let ids = (sender.alloc(3000)?, peer.alloc(3000)?);
    assert_eq!(ids.0, ids.1);
    let base = sender.checkpoint()?;
    sender.write(ids.0, b"changed")?;
    let delta = sent(&sender, base);
    peer.try_get_mut(ids.1)?[2999] ^= 4;
    let outcome = peer.apply_delta(&delta, BUDGET);
    assert!(matches!(outcome, Err(DeltaError::Content { .. })), "{outcome:?}");
    assert_eq!(peer.try_get(ids.1)?[0], 0);
    peer.try_get_mut(ids.1)?[2999] ^= 4;
    assert_eq!(peer.apply_delta(&delta, BUDGET), Ok(()));
    assert_eq!(&peer.try_get(ids.1)?[..7], b"changed");
    Ok(())
}

/// Where the source refuses, nothing has changed.
#[test]
#[cfg_attr(miri, ignore = "tens of allocators")]
fn a_source_that_refuses_changes_nothing() {
    let (base, delta, end) = sample().expect("memory");
    let (before, after) = (base.snapshot().expect("memory"), end.snapshot().expect("memory"));
    let mut refused = 0;
    let failures = for_each_failure(|source| {
        let restored = BlockAllocator::<_, Fingerprinted>::restore_in(&before, BUDGET, source);
        let Ok(mut peer) = restored else { return };
        match peer.apply_delta(&delta, BUDGET) {
            Ok(()) => assert_eq!(peer.snapshot().as_ref(), Ok(&after)),
            Err(error) => {
                assert!(matches!(error, DeltaError::OutOfMemory { .. }), "{error}");
                assert_eq!(peer.snapshot().as_ref(), Ok(&before));
                refused += 1;
            }
        }
        peer.validate().unwrap_or_else(|error| panic!("{error}"));
    });
    assert!(failures > 0 && refused > 0, "{refused} of {failures}");
}

/// Where the source unwinds as it gets chunks back, the delta is applied, and nothing is lost.
#[test]
fn a_source_that_unwinds_gets_everything_back() {
    let (base, delta, end) = sample().expect("memory");
    let (before, after) = (base.snapshot().expect("memory"), end.snapshot().expect("memory"));
    for nth in 1.. {
        let source = FailingSource::panicking_at_release(allocator_api2::alloc::Global, nth);
        let restored = BlockAllocator::<_, Fingerprinted>::restore_in(&before, BUDGET, &source);
        let mut peer = restored.expect("memory");
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            peer.apply_delta(&delta, BUDGET).expect("the state of the base");
        }));
        assert_eq!(
            peer.snapshot().as_ref(),
            Ok(&after),
            "it was applied, whether it unwound or not"
        );
        // The release that panics is one of the delta or one of the drop.
        let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(peer)));
        assert!(caught.is_err() != dropped.is_err());
        assert_eq!(source.live_blocks(), 0);
        if caught.is_ok() {
            assert!(nth > 1, "a chunk goes back");
            break;
        }
    }
}

/// A log starts anew where the delta leads, and replays from there.
#[test]
fn a_log_goes_on_where_the_delta_leads() -> Result<(), BinnedError> {
    let mut sender = BlockAllocator::<Global, Rewindable<Logged>>::new();
    let mut peer = LoggedAllocator::new();
    let base = sender.checkpoint()?;
    let id: BlockId = sender.alloc(10)?;
    sender.write(id, b"here")?;
    peer.apply_delta(&sent(&sender, base), BUDGET).expect("a fresh one");
    assert!(peer.log().is_empty());
    assert_eq!(peer.log().start_fingerprint(), sender.fingerprint());
    sender.clear_log();
    sender.write(id, b"more")?;
    peer.write(id, b"more")?;
    assert_eq!(peer.log(), sender.log());
    Ok(())
}
