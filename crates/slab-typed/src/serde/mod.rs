//! Serialisation. Input is checked and memory is bounded by its length, because it may be forged.

mod structure;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::iter;
use core::marker::PhantomData;

use allocator_api2::alloc::Allocator;
use serde::de::Error as _;
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::geometry::CHUNK_SLOTS_MAX;
use crate::handle::{Key, SlotHandle, TypedHandle};
use crate::secondary::SecondaryMap;
use crate::slab::SlabAllocator;
use crate::sparse_secondary::SparseSecondaryMap;
use crate::storage::{Storage, Walk};
use structure::Structure;

/// The version of the format of allocators. The format before it had no number.
const VERSION: u32 = 2;

/// The version of the formats of secondary maps.
const MAP_VERSION: u32 = 1;

impl Serialize for SlotHandle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.to_bits())
    }
}

impl<'de> Deserialize<'de> for SlotHandle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bits = u64::deserialize(deserializer)?;
        Self::from_bits(bits)
            .ok_or_else(|| D::Error::custom(format!("{bits:#x} is not a handle: even generation")))
    }
}

impl<Tag> Serialize for TypedHandle<Tag> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.handle().serialize(serializer)
    }
}

impl<'de, Tag> Deserialize<'de> for TypedHandle<Tag> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SlotHandle::deserialize(deserializer).map(Self::from_handle)
    }
}

/// The serialised form of a storage. `E` is the list of entries: the generation and the value of each live slot, in slot
/// order.
#[derive(Serialize, Deserialize)]
#[serde(rename = "SlabAllocator")]
struct Snapshot<E> {
    version: u32,
    structure: Structure,
    entries: E,
    checksum: u64,
}

impl<T> Snapshot<Vec<(u32, T)>> {
    /// Builds the storage that was written, or returns what is wrong. `make` returns an empty one of a slab capacity.
    fn restore<A: Allocator>(
        self,
        version: u32,
        slab_capacity_max: u64,
        bytes_max: usize,
        make: impl FnOnce(usize) -> Storage<T, A>,
    ) -> Result<Storage<T, A>, String> {
        let Self { structure, entries, checksum, .. } = self;
        if self.version != version {
            return Err(format!("format version {}, expected {version}", self.version));
        }
        let generations = entries.iter().map(|&(generation, _)| generation);
        let expected = structure.checksum(entries.len(), generations);
        if checksum != expected {
            return Err(format!("checksum {checksum}, expected {expected}"));
        }
        let slab_capacity = structure.slab_capacity();
        if slab_capacity > slab_capacity_max {
            return Err(format!("blocks of {slab_capacity} slots, at most {slab_capacity_max}"));
        }
        structure.restore(entries, bytes_max, make)
    }
}

/// Writes a storage.
fn serialize<T: Serialize, A: Allocator, S: Serializer>(
    storage: &Storage<T, A>,
    version: u32,
    structure: Structure,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut walk = Walk::new(storage);
    let generations = iter::from_fn(|| walk.next().map(|(handle, _)| handle.generation()));
    let checksum = structure.checksum(storage.live_count(), generations);
    Snapshot { version, structure, entries: Entries(storage), checksum }.serialize(serializer)
}

/// The entries of a storage.
struct Entries<'a, T, A: Allocator>(&'a Storage<T, A>);

impl<T: Serialize, A: Allocator> Serialize for Entries<'_, T, A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entries = serializer.serialize_seq(Some(self.0.live_count()))?;
        let mut walk = Walk::new(self.0);
        while let Some((handle, value)) = walk.next() {
            entries.serialize_element(&(handle.generation(), value))?;
        }
        entries.end()
    }
}

/// Handles stay what they are: live ones read the same values from the copy, and stale ones stay stale.
/// *O*(slots held + slab ids).
///
/// # Format
///
/// | field | |
/// |---|---|
/// | `version` | 2 |
/// | `structure.slab_capacity` | slots of a slab |
/// | `structure.generation_floor` | the highest generation of the dead slots that are not worn; in the copy they all start there |
/// | `structure.held` | a bit for each chunk of up to 1024 slots, set in slabs with values; 64 per number |
/// | `structure.live` | for each of these chunks a bit for each slot, set if it has a value; 64 per number |
/// | `structure.worn` | index and generation of each dead slot that has spent more than half of its lives; for all slots of a released chunk, of the first |
/// | `entries` | generation and value of each live slot, in slot order |
/// | `checksum` | of all the above, except the values |
///
/// A slab without values is written as a released one. So an allocator that was emptied and compacted takes one bit for
/// each slot of the slabs that still have values, and one bit for each chunk that was released.
///
/// The checksum covers handles, generations and counts: a change of one of these numbers is refused. It does not cover the
/// values, whose form is up to `T`. Protect the whole where values must not change unnoticed.
impl<T: Serialize, K: Key, A: Allocator> Serialize for SlabAllocator<T, K, A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(&self.storage, VERSION, Structure::of(&self.storage), serializer)
    }
}

/// Reads all that was written, whatever the history of the allocator.
///
/// Memory and time are bounded by the input's length: 64 slots and at most 4 KiB for each number of `live`, 1056 bytes for
/// each number of `held`, and the values with 12 bytes each. Inconsistent input is refused before any memory is acquired.
/// [`deserialize_within`](SlabAllocator::deserialize_within) sets a further bound.
impl<'de, T: Deserialize<'de>, K: Key, A: Allocator + Default> Deserialize<'de>
    for SlabAllocator<T, K, A>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize_within(deserializer, usize::MAX)
    }
}

impl<T, K: Key, A: Allocator + Default> SlabAllocator<T, K, A> {
    /// Reads an allocator that acquires at most `bytes_max` bytes. While they are read, the values take as much again.
    ///
    /// # Errors
    ///
    /// Those of the deserialiser, and input with another version, a wrong checksum, too much memory, or inconsistent
    /// numbers.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names: SlabAllocator<String> = SlabAllocator::new(64);
    /// let ada = names.insert("Ada".to_owned());
    /// let text = serde_json::to_string(&names)?;
    ///
    /// let mut reader = serde_json::Deserializer::from_str(&text);
    /// let copy: SlabAllocator<String> = SlabAllocator::deserialize_within(&mut reader, 4096)?;
    /// assert_eq!(copy[ada], "Ada");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn deserialize_within<'de, D: Deserializer<'de>>(
        deserializer: D,
        bytes_max: usize,
    ) -> Result<Self, D::Error>
    where
        T: Deserialize<'de>,
    {
        let make = |slab_capacity| Storage::new(slab_capacity, A::default());
        let snapshot = Snapshot::deserialize(deserializer)?;
        let restored = snapshot.restore(VERSION, u64::MAX, bytes_max, make);
        let mut storage = restored.map_err(D::Error::custom)?;
        storage.relist();
        Ok(Self { storage, spare_slabs: 0, key: PhantomData })
    }
}

/// The format is that of [`SlabAllocator`], with version 1 and without generations of dead slots: the copy accepts a stale
/// key until a value is stored for a later one to its slot.
impl<K: Key, V: Serialize, A: Allocator> Serialize for SecondaryMap<K, V, A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let storage = self.storage();
        serialize(storage, MAP_VERSION, Structure::of_live(storage), serializer)
    }
}

/// Memory is bounded as for a [`SlabAllocator`]. The copy has no [bound on its slots](SecondaryMap::set_slots_max).
impl<'de, K: Key, V: Deserialize<'de>, A: Allocator + Default> Deserialize<'de>
    for SecondaryMap<K, V, A>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize_within(deserializer, usize::MAX)
    }
}

impl<K: Key, V, A: Allocator + Default> SecondaryMap<K, V, A> {
    /// Reads a map that acquires at most `bytes_max` bytes. While they are read, the values take as much again.
    ///
    /// # Errors
    ///
    /// As for [`SlabAllocator::deserialize_within`].
    pub fn deserialize_within<'de, D: Deserializer<'de>>(
        deserializer: D,
        bytes_max: usize,
    ) -> Result<Self, D::Error>
    where
        V: Deserialize<'de>,
    {
        let make = |slab_capacity| Storage::reusing_handles(slab_capacity, A::default());
        let snapshot = Snapshot::deserialize(deserializer)?;
        let restored = snapshot.restore(MAP_VERSION, CHUNK_SLOTS_MAX as u64, bytes_max, make);
        restored.map(Self::from_storage).map_err(D::Error::custom)
    }
}

/// The serialised form of a sparse map. `E` is the list of handles and values, in slot order.
#[derive(Serialize, Deserialize)]
#[serde(rename = "SparseSecondaryMap")]
struct SparseSnapshot<E> {
    version: u32,
    entries: E,
    checksum: u64,
}

/// Three fields: `version` 1, `entries` with the handle and the value of each slot, in slot order, and `checksum` of the
/// handles and their number.
impl<K: Key, V: Serialize> Serialize for SparseSecondaryMap<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entries: Vec<_> = self.iter().map(|(key, value)| (key.handle(), value)).collect();
        let checksum = structure::checksum_of(&entries);
        SparseSnapshot { version: MAP_VERSION, entries, checksum }.serialize(serializer)
    }
}

/// Memory is bounded by the input's length.
impl<'de, K: Key, V: Deserialize<'de>> Deserialize<'de> for SparseSecondaryMap<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let snapshot = SparseSnapshot::<Vec<(SlotHandle, V)>>::deserialize(deserializer)?;
        let SparseSnapshot { version, entries, checksum } = snapshot;
        if version != MAP_VERSION {
            let text = format!("format version {version}, expected {MAP_VERSION}");
            return Err(D::Error::custom(text));
        }
        let expected = structure::checksum_of(&entries);
        if checksum != expected {
            return Err(D::Error::custom(format!("checksum {checksum}, expected {expected}")));
        }
        Ok(entries.into_iter().map(|(handle, value)| (K::from_handle(handle), value)).collect())
    }
}
