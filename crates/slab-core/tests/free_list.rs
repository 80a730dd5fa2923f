//! A free list across several chunks.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "gives link cells away")]

use core::ptr::NonNull;

use slab_core::{CorruptLink, FreeList, SlotIndex, SlotSpace};
use slab_testkit::Arena;

/// Slots of five bytes, four per arena. It does not know which slots are dead.
struct Chunks {
    arenas: Vec<Arena>,
    key: u32,
}

const SLOTS_PER_CHUNK: u32 = 4;
const STRIDE: usize = 5;

impl Chunks {
    fn new(count: usize, key: u32) -> Self {
        let arena = |_| Arena::new(SLOTS_PER_CHUNK as usize * STRIDE, 1);
        Self { arenas: (0..count).map(arena).collect(), key }
    }

    fn start(&self, slot: u32) -> NonNull<u8> {
        let chunk = self.arenas[(slot / SLOTS_PER_CHUNK) as usize].region().cast::<u8>();
        // SAFETY: each arena holds `SLOTS_PER_CHUNK` slots.
        unsafe { chunk.add((slot % SLOTS_PER_CHUNK) as usize * STRIDE) }
    }
}

// SAFETY: the slots are disjoint, hold a link of up to four bytes, and are used by the list alone.
unsafe impl<I: SlotIndex> SlotSpace<I> for Chunks {
    unsafe fn link_cell(&self, slot: I) -> NonNull<I> {
        self.start(slot.to_u32()).cast()
    }

    fn may_link(&self, slot: I) -> bool {
        slot.to_u32() < self.arenas.len() as u32 * SLOTS_PER_CHUNK
    }

    fn link_key(&self, slot: I) -> u32 {
        self.key.wrapping_mul(slot.to_u32() + 1)
    }
}

fn push<I: SlotIndex>(list: &mut FreeList<I>, chunks: &Chunks, slots: &[u32]) {
    for &slot in slots {
        // SAFETY: tests push existing slots, each once.
        unsafe { list.push(chunks, I::from_u32(slot)) };
    }
}

fn pop<I: SlotIndex>(list: &mut FreeList<I>, chunks: &Chunks) -> Result<Option<u32>, CorruptLink> {
    // SAFETY: each test has one space.
    let popped = unsafe { list.pop(chunks) };
    popped.map(|slot| slot.map(I::to_u32))
}

fn last_in_first_out<I: SlotIndex>(key: u32) {
    let chunks = Chunks::new(5, key);
    let mut list = FreeList::<I>::new();
    assert_eq!((pop(&mut list, &chunks), list.head()), (Ok(None), None));
    push(&mut list, &chunks, &[3, 17, 0, 8]);
    assert_eq!((list.len(), list.head()), (4, Some(I::from_u32(8))));
    assert_eq!(pop(&mut list, &chunks), Ok(Some(8)));
    push(&mut list, &chunks, &[19]);
    for expected in [19, 0, 17, 3] {
        assert_eq!(pop(&mut list, &chunks), Ok(Some(expected)));
    }
    assert!(list.is_empty());
    assert_eq!(pop(&mut list, &chunks), Ok(None));
}

#[test]
fn works_across_chunks_at_odd_addresses_with_every_index() {
    for key in [0, 0x9E37_79B9] {
        last_in_first_out::<u8>(key);
        last_in_first_out::<u16>(key);
        last_in_first_out::<u32>(key);
    }
}

fn corrupt<I: SlotIndex>(chunks: &Chunks, list: &mut FreeList<I>, slot: u32, link: u32) {
    let stored = I::from_u32(link ^ chunks.link_key(I::from_u32(slot)));
    // SAFETY: the cell is valid; the write is the mistake to be found.
    unsafe { chunks.start(slot).cast::<I>().write_unaligned(stored) };
    let before = *list;
    let found = CorruptLink { slot, link: I::from_u32(link).to_u32() };
    assert_eq!(pop(list, chunks), Err(found));
    assert_eq!(*list, before, "the list is unchanged");
    assert_eq!(pop(list, chunks), Err(found), "it is refused again");
}

#[test]
fn a_link_to_no_possible_slot_is_refused() {
    let chunks = Chunks::new(2, 77);
    // Two slots that do not exist, the slot itself, and the end of the list too early.
    for link in [8, 1000, 6, u32::from(u16::MAX)] {
        let mut list = FreeList::<u16>::new();
        push(&mut list, &chunks, &[1, 2, 6]);
        corrupt(&chunks, &mut list, 6, link);
    }
    // The link of the last slot must end the list.
    let mut list = FreeList::<u16>::new();
    push(&mut list, &chunks, &[5]);
    corrupt(&chunks, &mut list, 5, 3);
}

#[test]
fn the_largest_index_numbers_no_slot() {
    assert_eq!((u8::SLOT_COUNT_MAX, u8::NONE), (255, 255));
    assert_eq!((u16::SLOT_COUNT_MAX, u16::NONE), (65_535, 65_535));
    assert_eq!((u32::SLOT_COUNT_MAX, u32::NONE), (u32::MAX, u32::MAX));
}
