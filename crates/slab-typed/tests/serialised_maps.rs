//! Round trips of secondary maps, and forged input.
#![cfg(feature = "serde")]

use serde_json::{Value, json};
use slab_typed::{SecondaryMap, SlabAllocator, SlotHandle, SparseSecondaryMap};

type Map = SecondaryMap<SlotHandle, u32>;
type Sparse = SparseSecondaryMap<SlotHandle, u32>;

/// Keys of slots in several generations.
fn keys(slab_capacity: usize) -> Vec<SlotHandle> {
    let mut slab = SlabAllocator::new(slab_capacity);
    for round in 1..4 {
        slab.extend(0..50);
        slab.retain(|_, n| *n % round == 0);
    }
    slab.keys().collect()
}

#[test]
fn a_map_is_read_back_after_any_history() {
    for slab_capacity in [1, 5, 64, 1024, 3000] {
        let keys = keys(slab_capacity);
        let mut map = Map::new(slab_capacity);
        let mut sparse = Sparse::new();
        for step in 0..4 {
            for (n, &key) in (0..).zip(&keys).skip(step) {
                map.insert(key, n);
                sparse.insert(key, n);
            }
            map.retain(|_, n| *n % 3 != step as u32);
            sparse.retain(|_, n| *n % 3 != step as u32);
            let mut copy: Map = serde_json::from_value(json!(map)).unwrap();
            copy.validate().unwrap();
            assert_eq!(copy, map);
            assert_eq!(json!(copy), json!(map));
            let sparse_copy: Sparse = serde_json::from_value(json!(sparse)).unwrap();
            assert_eq!(sparse_copy, sparse);
            assert!(copy.iter().eq(sparse_copy.iter()));
            // The copy stores values again under all live keys.
            copy.clear();
            copy.extend(keys.iter().map(|&key| (key, 7)));
            assert_eq!(copy.len(), keys.len());
            copy.validate().unwrap();
        }
        map.clear();
        let empty: Map = serde_json::from_value(json!(map)).unwrap();
        assert!(empty.is_empty() && empty.held_bytes() == 0);
    }
}

#[test]
fn every_bit_of_a_map_counts() {
    let keys = keys(5);
    let entries = || keys.iter().map(|&key| (key, 7));
    let mut map = Map::new(5);
    map.extend(entries());
    let sparse: Sparse = entries().collect();
    let texts = [json!(map).to_string(), json!(sparse).to_string()];
    for (text, is_sparse) in texts.iter().zip([false, true]) {
        for bit in (0..text.len() * 8).step_by(if cfg!(miri) { 97 } else { 1 }) {
            let mut bytes = text.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // Only a value may change.
            if is_sparse {
                if let Ok(copy) = serde_json::from_slice::<Sparse>(&bytes) {
                    assert!(copy.keys().eq(sparse.keys()), "bit {bit} of {text}");
                }
            } else if let Ok(copy) = serde_json::from_slice::<Map>(&bytes) {
                assert!(copy.keys().eq(map.keys()), "bit {bit} of {text}");
            }
        }
    }
}

#[test]
fn forged_maps_are_refused() {
    let refused = |input: Value, because: &str| {
        let error = serde_json::from_value::<Map>(input).unwrap_err().to_string();
        assert!(error.contains(because), "{error}, expected {because}");
    };
    let mut map = Map::new(1024);
    map.insert(keys(1024)[3], 1);
    let mut slab: SlabAllocator<u32> = SlabAllocator::new(1024);
    refused(json!(slab), "format version 2, expected 1");
    slab = serde_json::from_value(json!(slab)).unwrap();
    assert!(slab.is_empty());
    let mut input = json!(map);
    input["structure"]["slab_capacity"] = 2048.into();
    refused(input, "checksum");

    // The map of a larger capacity, whose checksum is right.
    let empty: Value = json!(Map::new(1024));
    let mut larger = json!(SlabAllocator::<u32>::new(2048));
    larger["version"] = empty["version"].clone();
    refused(larger, "blocks of 2048 slots, at most 1024");

    let held = map.held_bytes();
    let text = json!(map).to_string();
    let within = |bytes_max| {
        Map::deserialize_within(&mut serde_json::Deserializer::from_str(&text), bytes_max)
    };
    assert_eq!(within(held).unwrap(), map);
    assert!(within(held - 1).unwrap_err().to_string().contains("bytes of memory are needed"));
}

#[test]
fn forged_sparse_maps_are_refused() {
    let key = |bits: u64| SlotHandle::from_bits(bits).unwrap();
    let mut map = Sparse::new();
    map.insert(key(1 << 32 | 5), 7);
    map.insert(key(3 << 32 | u64::from(u32::MAX)), 8);
    let good = json!(map);
    let read: Sparse = serde_json::from_value(good.clone()).unwrap();
    assert_eq!(read, map, "a sparse map takes any handle");
    for (field, value, because) in [
        ("version", json!(2), "format version 2, expected 1"),
        ("checksum", json!(2), "checksum 2, expected"),
        ("entries", json!([[2_u64 << 32, 7]]), "not a handle"),
        ("entries", json!([good["entries"][1], good["entries"][0]]), "checksum"),
    ] {
        let mut input = good.clone();
        input[field] = value;
        let error = serde_json::from_value::<Sparse>(input).unwrap_err().to_string();
        assert!(error.contains(because), "{error}, expected {because}");
    }
}
