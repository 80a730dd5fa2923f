//! The serialised numbers besides the values: their checks, and the storage made from them.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use allocator_api2::alloc::Allocator;
use serde::{Deserialize, Serialize};

use crate::error::SlabError;
use crate::geometry::{CHUNK_COUNT_MAX, Geometry, chunk_of, first_index, slot_of};
use crate::handle::SlotHandle;
use crate::storage::{RETIRED, Storage, WORN};

/// The bits of a word of `held` or `live`. A word is at least one byte of input in any format, so the memory for its
/// chunks or slots is bounded by the input's length.
const WORD_BITS: u32 = u64::BITS;

/// The initial checksum: the bits of the golden ratio, as in splitmix64.
const SEED: u64 = 0x9E37_79B9_7F4A_7C15;

/// All numbers of a storage, except the generations of slots with values.
#[derive(Serialize, Deserialize)]
pub struct Structure {
    slab_capacity: u64,
    /// The generation at which dead slots start that are not worn. Even, at most [`WORN`].
    generation_floor: u32,
    /// A bit for each chunk, lowest first: set in slabs with values.
    held: Vec<u64>,
    /// The words with a bit for each slot of these chunks: set if it has a value.
    live: Vec<u64>,
    /// Ascending indices, and generations, of dead slots past the generation [`WORN`]. The first index of a chunk that is
    /// not held stands for all its slots.
    worn: Vec<(u32, u32)>,
}

impl Structure {
    /// Returns the structure of a storage. *O*(slots held + ids).
    pub fn of<T, A: Allocator>(storage: &Storage<T, A>) -> Self {
        Self::new(storage, true)
    }

    /// As [`of`](Self::of), without the generations of dead slots.
    pub fn of_live<T, A: Allocator>(storage: &Storage<T, A>) -> Self {
        Self::new(storage, false)
    }

    fn new<T, A: Allocator>(storage: &Storage<T, A>, with_dead: bool) -> Self {
        let Geometry { slab_capacity, chunks_per_slab, .. } = storage.geometry;
        let mut structure = Self {
            slab_capacity: slab_capacity as u64,
            generation_floor: storage.floor().min(WORN),
            held: Vec::new(),
            live: Vec::new(),
            worn: Vec::new(),
        };
        for slab in 0..storage.slab_ids() {
            let occupied = storage.is_occupied(slab);
            for chunk in storage.chunks_of(slab) {
                if occupied {
                    structure.add_held(chunk, storage);
                } else {
                    structure.add_dead(first_index(chunk), storage.released_floor(chunk));
                }
            }
        }
        if !with_dead {
            structure.worn.clear();
            structure.generation_floor = 0;
        }
        // There is a bit for each chunk up to the end of the last slab that is held or worn.
        let last = structure.last_chunk().map(|chunk| chunk / chunks_per_slab);
        let chunks = last.map_or(0, |slab| storage.chunks_of(slab).end);
        structure.held.resize(chunks.div_ceil(WORD_BITS) as usize, 0);
        structure
    }

    fn add_held<T, A: Allocator>(&mut self, chunk: u32, storage: &Storage<T, A>) {
        let word = (chunk / WORD_BITS) as usize;
        self.held.resize(word + 1, 0);
        self.held[word] |= 1 << (chunk % WORD_BITS);
        let first = self.live.len();
        let words = storage.geometry.len_of(chunk).div_ceil(WORD_BITS) as usize;
        self.live.resize(first + words, 0);
        for (index, generation) in storage.slot_generations(chunk) {
            if generation % 2 == 0 {
                self.add_dead(index, generation);
            } else {
                let slot = slot_of(index);
                self.live[first + (slot / WORD_BITS) as usize] |= 1 << (slot % WORD_BITS);
            }
        }
    }

    fn add_dead(&mut self, index: u32, generation: u32) {
        if generation > WORN {
            self.worn.push((index, generation));
        } else {
            self.generation_floor = self.generation_floor.max(generation);
        }
    }

    /// Returns the slots of a slab.
    pub fn slab_capacity(&self) -> u64 {
        self.slab_capacity
    }

    /// Returns the last chunk that is held or has worn slots.
    fn last_chunk(&self) -> Option<u32> {
        let worn = self.worn.last().map(|&(index, _)| chunk_of(index));
        positions(&self.held).next_back().max(worn)
    }

    /// Returns the checksum of all numbers, the lengths of the lists, and the generations of the `count` live slots. A
    /// change of one number changes it, because each step is one-to-one.
    pub fn checksum(&self, count: usize, generations: impl Iterator<Item = u32>) -> u64 {
        let Self { slab_capacity, generation_floor, held, live, worn } = self;
        let lengths = [held.len(), live.len(), worn.len(), count].map(|length| length as u64);
        let head = [*slab_capacity, u64::from(*generation_floor)].into_iter().chain(lengths);
        let worn = worn.iter().flat_map(|&(index, generation)| [index, generation]);
        let numbers = head.chain(held.iter().copied()).chain(live.iter().copied());
        let numbers = numbers.chain(worn.chain(generations).map(u64::from));
        checksum(numbers)
    }

    /// Returns a storage, made by `make` for a slab capacity, with the values of `entries`: generation and value of each
    /// live slot, in slot order. All numbers that decide how much memory is acquired are checked before. The caller
    /// rebuilds the lists.
    pub fn restore<T, A: Allocator>(
        &self,
        entries: Vec<(u32, T)>,
        bytes_max: usize,
        make: impl FnOnce(usize) -> Storage<T, A>,
    ) -> Result<Storage<T, A>, String> {
        let slab_capacity = usize::try_from(self.slab_capacity).map_err(|_| self.too_large())?;
        let mut storage = make(slab_capacity);
        let known = self.check(storage.geometry)?;
        self.check_entries(storage.geometry, &entries)?;
        match storage.bytes_of(known, positions(&self.held)) {
            None => return Err(self.too_large()),
            Some(bytes) if bytes > bytes_max => {
                return Err(format!("{bytes} bytes of memory are needed, {bytes_max} are granted"));
            }
            Some(_) => {}
        }
        let refused = |error: SlabError| error.to_string();
        storage.know(known, self.generation_floor).map_err(refused)?;
        let chunks_per_slab = storage.geometry.chunks_per_slab;
        for first in positions(&self.held).filter(|chunk| chunk % chunks_per_slab == 0) {
            storage.hold(first / chunks_per_slab).map_err(refused)?;
        }
        let slots = self.live_slots(storage.geometry);
        for ((chunk, slot), (generation, value)) in slots.zip(entries) {
            let handle = SlotHandle::live(first_index(chunk) + slot, generation);
            let restored = storage.restore(handle, value);
            restored.map_err(|_| format!("{handle:?} does not name a vacant slot"))?;
        }
        for &(index, generation) in &self.worn {
            if !storage.restore_dead(index, generation) {
                return Err(format!("worn slot {index} is live"));
            }
        }
        Ok(storage)
    }

    fn too_large(&self) -> String {
        format!("slabs of {} slots exceed the address space", self.slab_capacity)
    }

    /// Checks that the numbers are consistent, and returns how many chunks they name. *O*(words).
    fn check(&self, geometry: Geometry) -> Result<u32, String> {
        let floor = self.generation_floor;
        if floor > WORN || !floor.is_multiple_of(2) {
            return Err(format!("generation floor {floor}, expected an even number up to {WORN}"));
        }
        let words_max = CHUNK_COUNT_MAX.div_ceil(WORD_BITS) as usize;
        if self.held.len() > words_max {
            return Err(format!("{} words of held chunks, at most {words_max}", self.held.len()));
        }
        let chunks_per_slab = u64::from(geometry.chunks_per_slab);
        let slabs = self.last_chunk().map_or(0, |chunk| u64::from(chunk) / chunks_per_slab + 1);
        let known = slabs * chunks_per_slab;
        let bits = self.held.len() as u64 * u64::from(WORD_BITS);
        if known > bits.min(CHUNK_COUNT_MAX.into()) {
            return Err(format!("slabs of {known} chunks, with {bits} bits of those held"));
        }
        let is_held = |chunk: u32| {
            let word = self.held.get((chunk / WORD_BITS) as usize);
            word.is_some_and(|word| word >> (chunk % WORD_BITS) & 1 == 1)
        };
        let mut words = 0;
        for chunk in positions(&self.held) {
            // If the neighbours of each held chunk in its slab are held, the whole slab is.
            let place = chunk % geometry.chunks_per_slab;
            let whole = (place == 0 || is_held(chunk - 1))
                && (place == geometry.chunks_per_slab - 1 || is_held(chunk + 1));
            if !whole {
                return Err(format!("chunk {chunk} is held, but not all chunks of its slab"));
            }
            words += geometry.len_of(chunk).div_ceil(WORD_BITS) as usize;
        }
        if words != self.live.len() {
            return Err(format!("{} words of live slots, expected {words}", self.live.len()));
        }
        let mut previous = None;
        for &(index, generation) in &self.worn {
            let (chunk, slot) = (chunk_of(index), slot_of(index));
            let named = if is_held(chunk) { slot < geometry.len_of(chunk) } else { slot == 0 };
            let worn = generation > WORN && generation <= RETIRED && generation.is_multiple_of(2);
            if !named || !worn || previous >= Some(index) {
                return Err(format!("worn slot {index} of generation {generation}, which is none"));
            }
            previous = Some(index);
        }
        Ok(known as u32)
    }

    /// Checks that there is a value for each live slot, and that each slot exists. *O*(words + values).
    fn check_entries<T>(&self, geometry: Geometry, entries: &[(u32, T)]) -> Result<(), String> {
        let mut count = 0;
        for (chunk, slot) in self.live_slots(geometry) {
            if slot >= geometry.len_of(chunk) {
                return Err(format!(
                    "slot {slot} is live in a chunk of {}",
                    geometry.len_of(chunk)
                ));
            }
            count += 1;
        }
        if count != entries.len() {
            return Err(format!("{} values, expected {count}", entries.len()));
        }
        let never = |&&(generation, _): &&(u32, T)| generation % 2 == 0 || generation > RETIRED;
        match entries.iter().find(never) {
            Some((generation, _)) => {
                Err(format!("a value of generation {generation}, which never lives"))
            }
            None => Ok(()),
        }
    }

    /// Returns the chunk of each live slot and its slot within that chunk, in order.
    fn live_slots(&self, geometry: Geometry) -> impl Iterator<Item = (u32, u32)> {
        let mut rest = &self.live[..];
        positions(&self.held).flat_map(move |chunk| {
            let words = geometry.len_of(chunk).div_ceil(WORD_BITS) as usize;
            let (words, behind) = rest.split_at(words.min(rest.len()));
            rest = behind;
            positions(words).map(move |slot| (chunk, slot))
        })
    }
}

/// Returns the positions of the set bits.
fn positions(words: &[u64]) -> impl DoubleEndedIterator<Item = u32> {
    let filled = words.iter().enumerate().filter(|(_, word)| **word != 0);
    filled.flat_map(|(at, &word)| {
        let set = (0..WORD_BITS).filter(move |bit| word >> bit & 1 == 1);
        set.map(move |bit| at as u32 * WORD_BITS + bit)
    })
}

/// Returns the checksum of handles and their number.
pub fn checksum_of<V>(entries: &[(SlotHandle, V)]) -> u64 {
    let handles = entries.iter().map(|(handle, _)| handle.to_bits());
    checksum([entries.len() as u64].into_iter().chain(handles))
}

fn checksum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(SEED, |sum, number| scrambled(sum ^ number))
}

/// One-to-one mixing: the finaliser of splitmix64 (Steele, Lea and Flood 2014).
const fn scrambled(mut word: u64) -> u64 {
    word = (word ^ word >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ word >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ word >> 31
}
