//! Restores forged snapshots: a real one with some numbers replaced, or any text. `restore` must refuse the
//! snapshot, or return an allocator that is consistent and works.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use slab_binned::{FingerprintedAllocator, Snapshot, SnapshotError};

const BUDGET: usize = 4 << 20;
/// The first bytes of the input are a program, which runs before the snapshot is taken.
const PROGRAM_BYTES: usize = 24;
/// Bytes of input for one replaced number: they choose the number and its new value.
const CHANGE_BYTES: usize = 7;

fuzz_target!(|bytes: &[u8]| {
    if bytes.first() == Some(&b'{') {
        if let Ok(snapshot) = serde_json::from_slice::<Snapshot>(bytes) {
            try_restore(&snapshot);
        }
        return;
    }
    let (program, changes) = bytes.split_at(bytes.len().min(PROGRAM_BYTES));
    let mut value = serde_json::to_value(taken(program)).expect("a value");
    for change in changes.chunks_exact(CHANGE_BYTES) {
        let which = usize::from(u16::from_le_bytes([change[0], change[1]]));
        let number = u32::from_le_bytes([change[3], change[4], change[5], change[6]]);
        let number = if change[2] % 2 == 0 { u64::from(number) } else { u64::from(number % 300) };
        let count = numbers(&mut value, usize::MAX, 0).1;
        if let (Some(place), _) = numbers(&mut value, which % count.max(1), 0) {
            *place = if change[2] == 255 { Value::Null } else { json!(number) };
        }
    }
    seal(&mut value);
    if let Ok(snapshot) = serde_json::from_value::<Snapshot>(value) {
        try_restore(&snapshot);
    }
});

/// Corrects the checksum of a changed snapshot, so that the other checks are reached.
fn seal(value: &mut Value) {
    let Ok(snapshot) = serde_json::from_value::<Snapshot>(value.clone()) else { return };
    if let Err(SnapshotError::Checksum { found, .. }) =
        FingerprintedAllocator::restore(&snapshot, BUDGET)
    {
        value["checksum"] = json!(found);
    }
}

/// Runs a short program and returns a snapshot of the result.
fn taken(program: &[u8]) -> Snapshot {
    let mut blocks = FingerprintedAllocator::new();
    let mut live = Vec::new();
    slab_fuzz::run_on_ids(&mut blocks, &mut live, program);
    blocks.snapshot().expect("memory")
}

/// Returns the number at the position `wanted` among all numbers of a value, or else `None` and their count.
fn numbers(value: &mut Value, wanted: usize, mut seen: usize) -> (Option<&mut Value>, usize) {
    let children: Vec<&mut Value> = match value {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Object(fields) => fields.iter_mut().map(|(_, field)| field).collect(),
        Value::Number(_) | Value::Null => {
            return (if seen == wanted { Some(value) } else { None }, seen + 1);
        }
        _ => return (None, seen),
    };
    for child in children {
        let (found, count) = numbers(child, wanted, seen);
        if found.is_some() {
            return (found, count);
        }
        seen = count;
    }
    (None, seen)
}

/// Restores a snapshot. If it is accepted, checks that the allocator is consistent and works on.
fn try_restore(snapshot: &Snapshot) {
    slab_fuzz::count(1);
    let Ok(mut blocks) = FingerprintedAllocator::restore(snapshot, BUDGET) else { return };
    assert!(blocks.storage_bytes() <= BUDGET);
    blocks.validate().expect("an accepted snapshot restores a consistent allocator");
    let again = blocks.snapshot().expect("memory");
    assert_eq!(&again, snapshot, "the restored allocator gives the same snapshot");
    let mut live = Vec::new();
    for size in [1, 40, 600, 2000, 9000, 100_000, 40] {
        live.extend(blocks.alloc(size));
    }
    for id in live {
        assert!(blocks.get(id).expect("live").iter().all(|&byte| byte == 0), "{id}");
        blocks.free(id).expect("live");
    }
    blocks.validate().expect("the allocator stays consistent");
    blocks.trim().expect("no log");
    blocks.validate().expect("the allocator stays consistent");
}
