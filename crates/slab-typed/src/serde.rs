//! Serialisation. What is read is bounded by a budget, because it may be anybody's.

use alloc::vec::Vec;
use core::marker::PhantomData;

use allocator_api2::alloc::Allocator;
use serde::de::Error as _;
use serde::ser::{Error as _, SerializeStruct};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::handle::{Key, SlotHandle, TypedHandle};
use crate::slab::SlabAllocator;
use crate::storage::{RETIRED, Storage};

/// Bytes that any input may make [`Deserialize`] acquire.
const BUDGET_BYTES: usize = 1 << 20;
/// Slots that each value read may make it acquire besides.
const BUDGET_SLOTS_PER_VALUE: usize = 64;

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

/// The live values by their handles.
struct Entries<'a, T, K, A: Allocator>(&'a SlabAllocator<T, K, A>);

impl<T: Serialize, K: Key, A: Allocator> Serialize for Entries<'_, T, K, A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|(key, value)| (key.handle(), value)))
    }
}

/// Handles stay what they are: those to live values read them from the copy too, and those that are
/// stale stay so, because the copy's generations start above all that were spent.
///
/// Fails if a slot was retired, for then there is nothing above.
impl<T: Serialize, K: Key, A: Allocator> Serialize for SlabAllocator<T, K, A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let floor = self.storage.highest_spent();
        if floor == RETIRED {
            return Err(S::Error::custom("the generations of a slot are used up"));
        }
        let mut fields = serializer.serialize_struct("SlabAllocator", 3)?;
        fields.serialize_field("slab_capacity", &(self.slab_capacity() as u64))?;
        fields.serialize_field("generation_floor", &floor)?;
        fields.serialize_field("entries", &Entries(self))?;
        fields.end()
    }
}

/// What was read, and fits no more than the input is long.
#[derive(Deserialize)]
#[serde(rename = "SlabAllocator")]
struct Snapshot<T> {
    slab_capacity: u64,
    generation_floor: u32,
    entries: Vec<(SlotHandle, T)>,
}

/// Acquires at most 1 MiB and 64 slots for each value read; more is refused, as are two values in one
/// slot. For slabs with fewer values than that there is
/// [`deserialize_within`](SlabAllocator::deserialize_within).
impl<'de, T: Deserialize<'de>, K: Key, A: Allocator + Default> Deserialize<'de>
    for SlabAllocator<T, K, A>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let snapshot = Snapshot::deserialize(deserializer)?;
        let slot_bytes = size_of::<T>().max(size_of::<u64>()) + size_of::<u32>();
        let per_value = slot_bytes.saturating_mul(BUDGET_SLOTS_PER_VALUE);
        let earned = per_value.saturating_mul(snapshot.entries.len());
        restore(snapshot, BUDGET_BYTES.saturating_add(earned)).map_err(D::Error::custom)
    }
}

impl<T, K: Key, A: Allocator + Default> SlabAllocator<T, K, A> {
    /// Reads an allocator that acquires at most `bytes_max` bytes, and as much besides as the values
    /// themselves take while they are read.
    ///
    /// # Errors
    ///
    /// What the deserialiser finds wrong, and what is wrong with the content: too much memory, two
    /// values in one slot, a slot beyond its slab.
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
    snapshot: Snapshot<T>,
    bytes_max: usize,
) -> Result<SlabAllocator<T, K, A>, &'static str> {
    let slab_capacity = usize::try_from(snapshot.slab_capacity).unwrap_or(usize::MAX);
    let mut storage: Storage<T, A> = Storage::new(slab_capacity, A::default());
    let too_much = "the slabs would take more memory than is granted";
    let slab_bytes = storage.slab_bytes().ok_or(too_much)?;
    let (mut slabs_bytes, mut directory_bytes) = (0usize, 0usize);
    for (handle, value) in snapshot.entries {
        let (slab, slot) = storage.geometry.locate(handle.index());
        if slot >= storage.geometry.slab_capacity {
            return Err("a slot lies beyond its slab");
        }
        if !storage.is_held(slab) {
            slabs_bytes = slabs_bytes.checked_add(slab_bytes).ok_or(too_much)?;
            // Slabs come in any order, the directory goes as far as the highest.
            let directory = storage.directory_bytes_for(slab).ok_or(too_much)?;
            directory_bytes = directory_bytes.max(directory);
            if slabs_bytes.checked_add(directory_bytes).is_none_or(|bytes| bytes > bytes_max) {
                return Err(too_much);
            }
            storage.hold(slab).map_err(|_| "memory was refused")?;
        }
        storage.occupy(handle, value).map_err(|_| "two values lie in one slot")?;
    }
    storage.raise_dead(snapshot.generation_floor);
    storage.relist();
    Ok(SlabAllocator { storage, spare_slabs: 0, key: PhantomData })
}
