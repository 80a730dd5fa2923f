//! A chunk: the generations of its slots, and sets of slots as bits.

use super::sync::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, array};
use crate::geometry::CHUNK_SLOTS_MAX;

/// The slots that a chunk has generations for. Fewer under Miri, which takes a second for a thousand.
pub const SLOTS_MAX: usize = if cfg!(loom) {
    2
} else if cfg!(miri) {
    64
} else {
    CHUNK_SLOTS_MAX
};

/// The slots of one word of a set.
pub const WORD_SLOTS: usize = u64::BITS as usize;

/// The words of a set.
pub const WORDS: usize = SLOTS_MAX.div_ceil(WORD_SLOTS);

/// The bytes of the values of a chunk, at most, unless a chunk would have fewer than [`SLOTS_MIN`] slots.
const VALUE_BYTES_MAX: usize = 64 << 10;

/// The slots of a chunk, at least.
const SLOTS_MIN: usize = 16;

/// Returns the slots of a chunk of values of type `T`: 1024 for small ones.
pub const fn slots_per_chunk<T>() -> usize {
    if cfg!(loom) {
        return SLOTS_MAX;
    }
    let mut slots = SLOTS_MAX;
    while slots > SLOTS_MIN && slots.saturating_mul(size_of::<T>()) > VALUE_BYTES_MAX {
        slots /= 2;
    }
    slots
}

/// Returns the bits of a word of a set that stand for slots, in a chunk of so many slots.
pub const fn full_word(slots: usize, word: usize) -> u64 {
    match slots - word * WORD_SLOTS {
        left if left >= WORD_SLOTS => u64::MAX,
        left => (1 << left) - 1,
    }
}

/// A set of slots of a chunk.
pub type Set = [AtomicU64; WORDS];

/// The part of a chunk that is never released while the slab lives.
#[derive(Debug)]
pub struct Chunk<T> {
    /// The slots, or null while their memory is released. Only the holder of all tokens of the chunk changes it.
    pub values: AtomicPtr<T>,
    /// The generation of each slot: odd while a value is stored.
    pub generations: [AtomicU32; SLOTS_MAX],
    /// The vacant slots that no thread has at hand.
    pub vacant: Set,
    /// The slots whose removed value may be read, since the last time that the collector looked.
    pub pending: Set,
    /// The same, before. Only the collector uses it.
    pub waiting: Set,
    /// Whether the chunk is on the list of those that wait, and the next one plus one. Only the collector uses them.
    pub waits: AtomicBool,
    pub next_waiting: AtomicU32,
    /// The next chunk plus one whose memory is released. Used under the lock.
    pub next_released: AtomicU32,
    /// The list of chunks with vacant slots.
    pub available: Link,
    /// The list of chunks with pending slots.
    pub to_collect: Link,
}

/// The link of a chunk in a list.
#[derive(Debug)]
pub struct Link {
    /// The chunk is on the list, or has a thread that looks after it.
    pub listed: AtomicBool,
    /// The next chunk plus one, or zero.
    pub next: AtomicU32,
}

impl Link {
    fn new() -> Self {
        Self { listed: AtomicBool::new(false), next: AtomicU32::new(0) }
    }
}

impl<T> Chunk<T> {
    pub fn new(values: *mut T, generation: u32) -> Self {
        let empty = || array(|| AtomicU64::new(0));
        Self {
            values: AtomicPtr::new(values),
            generations: array(|| AtomicU32::new(generation)),
            vacant: empty(),
            pending: empty(),
            waiting: empty(),
            waits: AtomicBool::new(false),
            next_waiting: AtomicU32::new(0),
            next_released: AtomicU32::new(0),
            available: Link::new(),
            to_collect: Link::new(),
        }
    }

    /// Returns whether the memory of the values is held, as of some moment.
    pub fn is_held(&self) -> bool {
        !self.values.load(Ordering::Relaxed).is_null()
    }
}

/// Returns the positions of the bits of a word of a set, lowest first.
pub fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let bit = word.trailing_zeros();
        word &= word.checked_sub(1)?;
        Some(bit as usize)
    })
}

/// A list of chunks, last in, first out.
///
/// A chunk on the list is a hint: what is in it is decided by its sets. So a chunk that is missing or there twice does no
/// harm but to speed and memory.
#[derive(Debug)]
pub struct ChunkList {
    /// The first chunk plus one in the lower half, or zero; above it a number that rises with each change, so that a
    /// chunk that was taken and put back is not mistaken for one that stayed.
    head: AtomicU64,
}

impl ChunkList {
    super::sync::const_fn! {
        pub fn new() -> Self {
            Self { head: AtomicU64::new(0) }
        }
    }

    /// Adds a chunk, unless it is listed.
    pub fn offer(&self, chunk: u32, link: &Link) {
        // Acquire and Release, here and in `unlist`: of a thread that adds to a set and finds the chunk listed, and of one
        // that unlists the chunk and then reads the set, the second sees what the first added.
        if link.listed.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            link.next.store(head as u32, Ordering::Relaxed);
            let new = next_tag(head) | u64::from(chunk + 1);
            match self.head.compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(current) => head = current,
            }
        }
    }

    /// Takes a chunk. It stays listed until [`unlist`](Self::unlist).
    pub fn take<'a>(&self, link_of: impl Fn(u32) -> &'a Link) -> Option<u32> {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let chunk = (head as u32).checked_sub(1)?;
            let new = next_tag(head) | u64::from(link_of(chunk).next.load(Ordering::Relaxed));
            match self.head.compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(chunk),
                Err(current) => head = current,
            }
        }
    }

    /// Lets a chunk that was taken be listed again. The caller reads its set afterwards.
    pub fn unlist(&self, link: &Link) {
        link.listed.swap(false, Ordering::AcqRel);
    }
}

fn next_tag(head: u64) -> u64 {
    ((head >> u32::BITS) + 1) << u32::BITS
}

#[cfg(all(test, not(loom)))]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    #[test]
    fn chunks_of_large_values_have_fewer_slots() {
        assert_eq!(slots_per_chunk::<()>(), SLOTS_MAX);
        assert_eq!(slots_per_chunk::<u64>(), SLOTS_MAX);
        assert_eq!(slots_per_chunk::<[u8; 64]>(), SLOTS_MAX);
        assert_eq!(slots_per_chunk::<[u8; 65]>(), SLOTS_MAX.min(512));
        assert_eq!(slots_per_chunk::<[u8; 4096]>(), 16);
        assert_eq!(slots_per_chunk::<[u8; 1 << 20]>(), 16);
    }

    #[test]
    fn bits_are_counted_from_the_lowest() {
        assert_eq!(bits(0).next(), None);
        assert_eq!(bits(1 << 63 | 0b101).collect::<Vec<_>>(), [0, 2, 63]);
        assert_eq!((full_word(1024, 15), full_word(16, 0)), (u64::MAX, 0xffff));
    }

    #[test]
    fn a_list_returns_the_chunk_that_came_last_once() {
        let list = ChunkList::new();
        let links: [Link; 3] = array(Link::new);
        for _ in 0..2 {
            for chunk in [2, 0, 1, 0] {
                list.offer(chunk, &links[chunk as usize]);
            }
            for chunk in [1, 0, 2] {
                assert_eq!(list.take(|chunk| &links[chunk as usize]), Some(chunk));
                list.unlist(&links[chunk as usize]);
            }
            assert_eq!(list.take(|chunk| &links[chunk as usize]), None);
        }
    }
}
