//! Traits of ids, logs, snapshots and allocators.
#![cfg(feature = "alloc")]

use slab_binned::{
    BinnedAllocator, BlockId, Config, FingerprintedAllocator, LoggedAllocator, SNAPSHOT_VERSION,
};

#[test]
fn an_id_is_a_number() {
    let mut blocks = BinnedAllocator::new();
    let id = blocks.alloc(16).expect("memory");
    assert_eq!((id.index(), id.generation(), id.to_bits()), (0, 1, 1 << 32));
    assert_eq!(BlockId::from_bits(id.to_bits()), Some(id));
    assert_eq!(BlockId::from_bits(2 << 32), None, "even generations belong to no block");
    assert_eq!((id.to_string(), format!("{id:?}")), ("0:1".into(), "BlockId(0:1)".into()));
    assert!(blocks.contains(id));
    blocks.free(id).expect("live");
    assert!(!blocks.contains(id));
    let next = blocks.alloc(16).expect("memory");
    assert_eq!((next.index(), next.generation()), (0, 3));
}

#[test]
fn allocators_say_what_they_hold() {
    let mut blocks = BinnedAllocator::new();
    assert_eq!(blocks.config(), Config::default());
    assert_eq!(Config::default(), Config::new());
    let id = blocks.alloc(100).expect("memory");
    blocks.alloc(128).expect("memory");
    blocks.alloc(100_000).expect("memory");
    blocks.free(id).expect("live");
    let said = format!("{blocks:?}");
    assert!(said.starts_with("BlockAllocator { config: Config"), "{said}");
    assert!(said.contains(&format!("live_count: {}", blocks.live_count())), "{said}");

    let occupancy = blocks.occupancy();
    assert!(occupancy.requested_bytes() >= 100_128);
    assert!(occupancy.live_bytes() >= occupancy.requested_bytes());
    let table = occupancy.to_string();
    let rows: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    let class = rows.iter().find(|row| row[0] == "128").expect("the class in use");
    assert_eq!(class[1..4], ["1", "1", "128"], "{table}");
    let larger = rows.iter().find(|row| row[0] == "larger").expect("the large block");
    assert_eq!((larger[1], larger[3]), ("1", "100000"), "{table}");
    assert!(table.contains("bytes of storage"), "{table}");
}

#[test]
fn logs_and_snapshots_say_what_they_are_of() {
    let mut blocks = LoggedAllocator::new();
    let log = blocks.log();
    assert!(log.is_empty());
    assert_eq!((log.config(), log.start_fingerprint()), (blocks.config(), blocks.fingerprint()));
    blocks.alloc(16).expect("memory");
    assert!(!blocks.log().is_empty());
    let said = format!("{:?}", blocks.log());
    assert!(said.starts_with("OpLog { config: ") && said.ends_with("operations: 1 }"), "{said}");

    let mut blocks = FingerprintedAllocator::new();
    blocks.alloc(16).expect("memory");
    let snapshot = blocks.snapshot().expect("memory");
    assert_eq!(snapshot.version(), SNAPSHOT_VERSION);
    assert_eq!(snapshot.fingerprint(), Some(blocks.fingerprint()));
    assert_eq!(snapshot.config(), blocks.config());
    let said = format!("{snapshot:?}");
    assert!(said.starts_with("Snapshot { version: ") && said.contains("indices: 1"), "{said}");
}
