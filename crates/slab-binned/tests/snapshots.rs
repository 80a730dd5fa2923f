//! Snapshots through serde: what is put back, and everything that is refused.
#![cfg(feature = "serde")]

use serde_json::{Value, json};
use slab_binned::{
    BinnedAllocator, BinnedError, BlockId, FingerprintedAllocator, LoggedAllocator, Snapshot,
    SnapshotError,
};

const BUDGET: usize = 4 << 20;

/// Live blocks of every kind, dead ones, free runs, an index without a block.
fn sample() -> Result<(LoggedAllocator, Vec<BlockId>), BinnedError> {
    let mut blocks = LoggedAllocator::new();
    let sizes = [16, 40, 300, 3000, 20_000, 70_000, 100, 16, 90_000];
    let ids = sizes.map(|size| blocks.alloc(size).expect("memory"));
    for id in ids {
        blocks.write(id, b"kept")?;
    }
    for id in [ids[1], ids[3], ids[5]] {
        blocks.free(id)?;
    }
    blocks.alloc_aligned(50, 64)?;
    blocks.free(ids[8])?;
    Ok((blocks, vec![ids[0], ids[2], ids[4], ids[6], ids[7]]))
}

fn sample_json() -> Value {
    let (blocks, _) = sample().expect("memory");
    serde_json::to_value(blocks.snapshot().expect("memory")).expect("a value")
}

fn parse(value: &Value) -> Result<Snapshot, serde_json::Error> {
    serde_json::from_value(value.clone())
}

/// Gives a value that was changed the checksum of what it holds, as somebody would who makes a snapshot up.
fn seal(value: &mut Value) {
    let Ok(snapshot) = parse(value) else { return };
    if let Err(SnapshotError::Checksum { found, .. }) =
        FingerprintedAllocator::restore(&snapshot, BUDGET)
    {
        value["checksum"] = json!(found);
    }
}

fn restore(value: &Value) -> Result<FingerprintedAllocator, SnapshotError> {
    let mut value = value.clone();
    seal(&mut value);
    FingerprintedAllocator::restore(&parse(&value).expect("a snapshot's shape"), BUDGET)
}

#[test]
fn an_allocator_goes_on_where_it_was() -> Result<(), BinnedError> {
    let (mut blocks, ids) = sample()?;
    let text = serde_json::to_string(&blocks.snapshot()?).expect("text");
    let snapshot: Snapshot = serde_json::from_str(&text).expect("a snapshot");
    let mut restored = LoggedAllocator::restore(&snapshot, BUDGET).expect("whole");
    restored.validate().unwrap();
    for id in ids {
        assert_eq!(restored.try_get(id)?, blocks.try_get(id)?);
        assert_eq!(restored.locate(id)?, blocks.locate(id)?);
    }
    blocks.clear_log();
    for size in [40, 41, 3000, 70_000, 90_000, 16, 2000] {
        let (one, other) = (blocks.alloc_dirty(size)?, restored.alloc_dirty(size)?);
        assert_eq!(one, other);
        assert_eq!(blocks.try_get(one)?, restored.try_get(other)?);
    }
    assert_eq!(blocks.fingerprint(), restored.fingerprint());
    assert_eq!(blocks.log(), restored.log());
    assert_eq!(blocks.occupancy(), restored.occupancy());
    Ok(())
}

#[test]
fn what_is_asked_of_a_snapshot_has_to_be_in_it() -> Result<(), BinnedError> {
    let plain = BinnedAllocator::new().snapshot()?;
    assert_eq!(
        FingerprintedAllocator::restore(&plain, BUDGET).map(|_| ()),
        Err(SnapshotError::NoFingerprint)
    );
    assert!(BinnedAllocator::restore(&plain, 0).is_ok());
    let mut other = serde_json::to_value(&plain).expect("a value");
    other["version"] = json!(2);
    let version = SnapshotError::Version { found: 2, supported: 3 };
    assert_eq!(restore(&other).map(|_| ()), Err(version));
    Ok(())
}

#[test]
fn memory_is_bounded_before_it_is_acquired() {
    let mut value = sample_json();
    let needed = restore(&value).map(|_| ()).map(|()| BUDGET).expect("within the budget");
    assert!(needed > 0);
    let chunk =
        json!({ "pages": 262_144, "room_pages": 262_144, "touched_pages": 0, "content": [] });
    value["chunks"] = json!([chunk, chunk, chunk]);
    let refused = restore(&value).map(|_| ());
    assert!(matches!(refused, Err(SnapshotError::OverBudget { bytes, .. }) if bytes > 3 << 30));
}

/// Each number of a snapshot, changed to others: refused, or restored to something whole.
#[test]
#[cfg_attr(miri, ignore = "thousands of snapshots")]
fn no_change_of_a_number_breaks_anything() {
    fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
        match value {
            Value::Array(items) if !at.ends_with("/content") => {
                for (index, item) in items.iter().enumerate() {
                    leaves(item, &format!("{at}/{index}"), found);
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    leaves(field, &format!("{at}/{name}"), found);
                }
            }
            Value::Number(_) | Value::Null => found.push(at.to_owned()),
            _ => {}
        }
    }
    let value = sample_json();
    let mut found = Vec::new();
    leaves(&value, "", &mut found);
    let (mut refused, mut restored) = (0, 0);
    for path in &found {
        let old = value.pointer(path).and_then(Value::as_u64);
        for new in [0, 255, u64::from(u32::MAX), old.unwrap_or(9) + 1] {
            if old == Some(new) {
                continue;
            }
            let mut changed = value.clone();
            *changed.pointer_mut(path).expect("it was found") = json!(new);
            let Ok(snapshot) = parse(&changed) else { continue };
            let plain = FingerprintedAllocator::restore(&snapshot, BUDGET).map(|_| ());
            assert!(
                matches!(
                    plain,
                    Err(SnapshotError::Checksum { .. } | SnapshotError::Version { .. })
                ),
                "{path} = {new}: {plain:?}"
            );
            seal(&mut changed);
            let snapshot = parse(&changed).expect("sealed");
            match FingerprintedAllocator::restore(&snapshot, BUDGET) {
                Ok(mut blocks) => {
                    blocks.validate().unwrap_or_else(|error| panic!("{path} = {new}: {error}"));
                    for size in [10, 3000, 100_000] {
                        blocks.alloc(size).expect("memory");
                    }
                    blocks.validate().unwrap_or_else(|error| panic!("{path} = {new}: {error}"));
                    restored += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(found.len() > 55 && refused > 150, "{} numbers, {refused} refused", found.len());
    // Fingerprints, steps and generations can be any.
    assert!(restored > 5, "{restored}");
}

#[test]
fn contradictions_are_refused_with_what_is_wrong() {
    let what = |change: &dyn Fn(&mut Value)| {
        let mut value = sample_json();
        change(&mut value);
        match restore(&value) {
            Err(SnapshotError::Broken { what, number }) => (what, number),
            outcome => panic!("{outcome:?}"),
        }
    };
    let overlap = what(&|value| {
        value["indices"][6]["block"]["granule"] = value["indices"][2]["block"]["granule"].clone();
    });
    assert_eq!(overlap.0, "blocks do not overlap");
    let twice = what(&|value| value["spare"] = json!([8, 8]));
    assert_eq!(twice, ("a list holds what belongs there, once", 8));
    assert_eq!(what(&|value| value["spare"] = json!([])), ("what is free is in a list", 8));
    assert_eq!(what(&|value| value["alloc_count"] = json!(100)).0, "live blocks are counted");
    let outside = what(&|value| value["indices"][4]["block"]["granule"] = json!(256 * 63));
    assert_eq!(outside, ("a block lies in its chunk", 4));
    let shown = what(&|value| value["indices"][0]["block"]["shown"] = json!([0, 17]));
    assert_eq!(shown, ("a block holds what it shows", 0));
    let gap = what(&|value| value["small_page"][2] = json!(255));
    assert_eq!(gap.0, "pages are cut without gaps");
    let endless = what(&|value| {
        value["alloc_count"] = json!(u64::MAX);
        value["free_count"] = json!(u64::MAX - 5);
    });
    assert_eq!(endless, ("allocations can still be counted", u64::MAX));
    let runs = what(&|value| value["free_runs"] = json!([]));
    assert_eq!(runs, ("all unused pages are in free runs", 0));
    let inside = what(&|value| value["free_runs"][0] = json!(2));
    assert_eq!(inside, ("a free run starts where pages are unused", 2));
}

#[test]
fn free_runs_are_in_the_order_of_their_tree() -> Result<(), BinnedError> {
    let mut blocks = FingerprintedAllocator::new();
    let ids: Vec<_> = (0..8).map(|_| blocks.alloc(66_000)).collect::<Result<_, _>>()?;
    for id in [ids[0], ids[2], ids[4]] {
        blocks.free(id)?;
    }
    let mut value = serde_json::to_value(blocks.snapshot()?).expect("a value");
    let runs = value["free_runs"].as_array_mut().expect("a list");
    assert!(runs.len() >= 3, "{runs:?}");
    runs.reverse();
    let what = "free runs are in the order of their tree";
    assert_eq!(restore(&value).map(|_| ()), Err(SnapshotError::Broken { what, number: 0 }));
    Ok(())
}

/// A configuration that no method makes is none.
#[test]
fn chunks_of_no_size_are_refused() {
    let config = |pages: u32| {
        let mut value = sample_json();
        value["config"]["chunk_pages"] = json!(pages);
        parse(&value).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(config(16), Ok(()));
    for pages in [0, 15, 262_145, u32::MAX] {
        let error = config(pages).expect_err("no chunk has that size");
        assert!(error.contains("16 to 262144 pages"), "{error}");
    }
}

/// As `sample`, with few bytes written.
fn small_sample() -> Result<Snapshot, BinnedError> {
    let mut blocks = LoggedAllocator::new();
    let ids = [17, 40, 30, 3000, 20_000, 70_000, 90_000].map(|size| blocks.alloc(size));
    for id in &ids[..3] {
        blocks.write(id.clone()?, b"kept, and counted")?;
    }
    for nth in [1, 3, 6] {
        blocks.free(ids[nth].clone()?)?;
    }
    blocks.alloc_aligned(50, 64)?;
    blocks.snapshot()
}

/// Every flip of one bit is refused, or the text still says the same: in another case, with other blanks.
#[test]
#[cfg_attr(miri, ignore = "thousands of snapshots")]
fn no_flip_of_a_bit_is_restored() {
    let snapshot = small_sample().expect("memory");
    let (mut refused, mut same) = (0, 0);
    let mut check = |read: Option<Snapshot>| match read {
        None => refused += 1,
        Some(read) if read == snapshot => same += 1,
        Some(read) => {
            let restored = FingerprintedAllocator::restore(&read, BUDGET).map(|_| ());
            restored.expect_err("one bit is another");
            refused += 1;
        }
    };
    let json = serde_json::to_vec(&snapshot).expect("text");
    for_each_flip(&json, |bytes| check(serde_json::from_slice(bytes).ok()));
    let mut cbor = Vec::new();
    ciborium::into_writer(&snapshot, &mut cbor).expect("a vector takes everything");
    for_each_flip(&cbor, |bytes| check(ciborium::from_reader(bytes).ok()));
    let flips = 8 * (json.len() + cbor.len());
    assert_eq!(refused + same, flips);
    assert!(same < flips / 100, "{same} of {flips} are not seen");
}

fn for_each_flip(bytes: &[u8], mut check: impl FnMut(&[u8])) {
    let mut flipped = bytes.to_vec();
    for bit in 0..8 * bytes.len() {
        flipped[bit / 8] ^= 1 << (bit % 8);
        check(&flipped);
        flipped[bit / 8] ^= 1 << (bit % 8);
    }
}

/// The free runs are in the same tree, so that even the steps of later operations are the same.
#[test]
#[cfg_attr(miri, ignore = "thousands of operations")]
fn a_restored_allocator_takes_the_same_steps() -> Result<(), BinnedError> {
    let mut blocks = LoggedAllocator::new();
    let large = |step: usize| 65_537 + step * 7919 % 60_000;
    let live =
        (0..300).map(|step| blocks.alloc_dirty(large(step))).collect::<Result<Vec<_>, _>>()?;
    for (step, id) in live.into_iter().enumerate() {
        if step % 3 != 0 {
            blocks.free(id)?;
        }
    }
    let saved = blocks.snapshot()?;
    let mut restored = LoggedAllocator::restore(&saved, 64 << 20).expect("whole");
    assert!(blocks.free_run_count() > 50 && blocks.steps_max() > 0);
    assert_eq!(restored.steps_max(), blocks.steps_max());
    for step in 0..400 {
        let size = [5000, 30_000, large(step), 200_000][step % 4];
        for peer in [&mut blocks, &mut restored] {
            let id = peer.alloc_dirty(size)?;
            if step % 3 == 0 {
                peer.free(id)?;
            }
        }
        assert_eq!(restored.steps_max(), blocks.steps_max(), "step {step}");
    }
    assert_eq!(restored.snapshot()?, blocks.snapshot()?);
    Ok(())
}

/// An index is retired before its generation would come again.
#[test]
fn an_index_has_a_last_life() -> Result<(), BinnedError> {
    for (size, stays) in [(16, true), (5000, false), (70_000, false)] {
        let mut blocks = FingerprintedAllocator::new();
        let first = blocks.alloc(size)?;
        let mut value = serde_json::to_value(blocks.snapshot()?).expect("a value");
        value["indices"][0]["generation"] = json!(u32::MAX - 2);
        let mut blocks = restore(&value).expect("any odd generation is one");
        let last = BlockId::from_bits(u64::from(u32::MAX - 2) << 32).expect("odd");
        assert!(blocks.free(first).is_err());
        blocks.free(last)?;
        assert_eq!((blocks.retired_count(), blocks.free_block_count()), (1, 0));
        assert!(blocks.free(last).is_err());
        blocks.validate().unwrap();
        let next = blocks.alloc(size)?;
        assert_eq!((next.index(), next.generation()), (1, 1));
        let saved = serde_json::to_value(blocks.snapshot()?).expect("a value");
        restore(&saved).expect("retired indices are saved").validate().unwrap();
        blocks.free(next)?;
        assert_eq!(saved["indices"][0]["block"].is_null(), !stays);
        blocks.trim()?;
        assert_eq!(blocks.storage_bytes(), 0, "nothing is lost with the index");
        blocks.validate().unwrap();
    }
    Ok(())
}
