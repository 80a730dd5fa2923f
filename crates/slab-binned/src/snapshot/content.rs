//! Bytes through serde: as bytes where a format has them, else as a sequence of numbers.

extern crate alloc;

use alloc::vec::Vec;
use core::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserializer, Serializer};

/// The most that is reserved before the bytes are there.
const RESERVE_MAX: usize = 64 * 1024;

pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    deserializer.deserialize_byte_buf(Bytes)
}

struct Bytes;

impl<'de> Visitor<'de> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut bytes: S) -> Result<Vec<u8>, S::Error> {
        let mut content = Vec::with_capacity(bytes.size_hint().unwrap_or(0).min(RESERVE_MAX));
        while let Some(byte) = bytes.next_element()? {
            content.push(byte);
        }
        Ok(content)
    }
}
