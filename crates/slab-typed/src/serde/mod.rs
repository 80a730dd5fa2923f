//! Serialisation. What is read is checked, and bounded by the input's length, because strangers may have
//! written it.

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

use crate::handle::{Key, SlotHandle, TypedHandle};
use crate::slab::SlabAllocator;
use crate::storage::{Storage, Walk};
use structure::Structure;

/// The version of the format. The format before it had no number.
const VERSION: u32 = 2;

impl Serialize for SlotHandle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.to_bits())
    }
}

impl<'de> Deserialize<'de> for SlotHandle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bits = u64::deserialize(deserializer)?;
        Self::from_bits(bits)
            .ok_or_else(|| D::Error::custom("a handle of a generation that never lives"))
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

/// What is written and read. `E` is the list of entries: the generation and the value of each live slot, in the
/// order of slots.
#[derive(Serialize, Deserialize)]
#[serde(rename = "SlabAllocator")]
struct Snapshot<E> {
    version: u32,
    structure: Structure,
    entries: E,
    checksum: u64,
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

/// Handles stay what they are: those to live values read them from the copy too, and those that are
/// stale stay so. *O*(slots held + slab ids).
///
/// # Format
///
/// | field | |
/// |---|---|
/// | `version` | 2 |
/// | `structure.slab_capacity` | slots of a slab |
/// | `structure.generation_floor` | the highest generation of the dead slots that are not worn: in the copy all of them start there |
/// | `structure.held` | a bit for each chunk of up to 1024 slots, set in slabs that have values; 64 a number |
/// | `structure.live` | for each of these chunks a bit for each slot, set where there is a value; 64 a number |
/// | `structure.worn` | index and generation of each dead slot that has spent more than half of its lives; for all slots of a released chunk, of the first |
/// | `entries` | generation and value of each live slot, in the order of slots |
/// | `checksum` | of all the above but the values |
///
/// A slab without values is written as if it were released. So an allocator that was emptied and compacted takes
/// a bit for each slot of the slabs that still have values, and a bit for each chunk that was released.
///
/// The checksum covers handles, generations and counts: a change of one number among them is refused. It does not
/// cover the values, whose form is that of `T`: protect the whole where values must not change unnoticed.
impl<T: Serialize, K: Key, A: Allocator> Serialize for SlabAllocator<T, K, A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let structure = Structure::of(&self.storage);
        let mut walk = Walk::new(&self.storage);
        let generations = iter::from_fn(|| walk.next().map(|(handle, _)| handle.generation()));
        let checksum = structure.checksum(self.live_count(), generations);
        let entries = Entries(&self.storage);
        Snapshot { version: VERSION, structure, entries, checksum }.serialize(serializer)
    }
}

/// Reads whatever was written, whatever had happened to the allocator before.
///
/// Memory and time are bounded by the input's length. Each number of `live` makes it acquire 64 slots and 4 KiB at
/// most, each number of `held` 1056 bytes; besides there are the values and 12 bytes for each. What does not agree
/// with itself is refused before any memory is acquired. [`deserialize_within`](SlabAllocator::deserialize_within)
/// has a bound besides.
impl<'de, T: Deserialize<'de>, K: Key, A: Allocator + Default> Deserialize<'de>
    for SlabAllocator<T, K, A>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize_within(deserializer, usize::MAX)
    }
}

impl<T, K: Key, A: Allocator + Default> SlabAllocator<T, K, A> {
    /// Reads an allocator that acquires at most `bytes_max` bytes, and as much besides as the values
    /// themselves take while they are read.
    ///
    /// # Errors
    ///
    /// What the deserialiser finds wrong, and what is wrong with the content: another version or checksum, too much
    /// memory, numbers that do not agree with one another.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names: SlabAllocator<String> = SlabAllocator::new(64);
    /// let ada = names.allocate("Ada".to_owned())?;
    /// let text = serde_json::to_string(&names)?;
    ///
    /// let mut reader = serde_json::Deserializer::from_str(&text);
    /// let copy: SlabAllocator<String> = SlabAllocator::deserialize_within(&mut reader, 4096)?;
    /// assert_eq!(copy[ada], "Ada");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn deserialize_within<'de, D: Deserializer<'de>>(
        deserializer: D,
        bytes_max: usize,
    ) -> Result<Self, D::Error>
    where
        T: Deserialize<'de>,
    {
        let snapshot = Snapshot::deserialize(deserializer)?;
        restore(snapshot, bytes_max).map_err(D::Error::custom)
    }
}

/// Builds the allocator, or says what is wrong.
fn restore<T, K: Key, A: Allocator + Default>(
    snapshot: Snapshot<Vec<(u32, T)>>,
    bytes_max: usize,
) -> Result<SlabAllocator<T, K, A>, String> {
    let Snapshot { version, structure, entries, checksum } = snapshot;
    if version != VERSION {
        return Err(format!("format version {version}, expected {VERSION}"));
    }
    let generations = entries.iter().map(|&(generation, _)| generation);
    let expected = structure.checksum(entries.len(), generations);
    if checksum != expected {
        return Err(format!("checksum {checksum}, expected {expected}"));
    }
    let storage = structure.restore(entries, A::default(), bytes_max)?;
    Ok(SlabAllocator { storage, spare_slabs: 0, key: PhantomData })
}
