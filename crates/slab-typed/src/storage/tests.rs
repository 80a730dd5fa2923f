//! Breaks each invariant from inside: `validate` must find it and name it.
#![expect(unsafe_code, reason = "writes wrong generations and links")]

use core::ptr::NonNull;

use slab_traits::Global;

use super::directory::{Record, State};
use super::*;
use crate::SlabAllocator;
use crate::geometry::first_index;
use crate::handle::SlotHandle;

type Values = Storage<u64, Global>;

/// Chunks 0 and 1 of the first slab are full but for three slots on the list, chunk 2 has untouched
/// slots, and chunk 3 is fresh. The last chunk of a slab has six slots.
const SLAB_CAPACITY: usize = 1030;
const LIVE: usize = 1100 - LISTED;
const LISTED: usize = 3;
const VACANT: usize = 2 * SLAB_CAPACITY - LIVE;

fn filled() -> Values {
    let mut values = Values::new(SLAB_CAPACITY, Global);
    for value in 0..1100 {
        values.prepare().expect("memory");
        values.fill(value);
    }
    for index in [2, 700, 5] {
        let live = SlotHandle::live(index, 0);
        assert_eq!(values.take(live), Some(u64::from(index)));
    }
    values.validate().expect("the storage is consistent");
    assert_eq!([values.live_count(), VACANT], [LIVE, 963]);
    values
}

impl<T, A: Allocator> Storage<T, A> {
    /// Breaks an invariant that the destructor does not rely on.
    pub(crate) fn damage(&mut self) {
        self.floor += 1;
    }

    fn set_generation(&mut self, index: u32, generation: u32) {
        // SAFETY: the tests name slots or padding of held chunks, and hold no reference to their generations.
        unsafe { self.place(index).generation().write(generation) };
    }

    fn link_of(&self, index: u32) -> *mut Link {
        // SAFETY: the tests name slots of held chunks.
        unsafe { self.slot(&self.place(index)) }.cast().as_ptr()
    }
}

/// Asserts that a damage is named so, with what was expected and what was found.
#[track_caller]
fn broken(what: &str, numbers: [usize; 2], damage: impl FnOnce(&mut Values)) {
    let mut values = filled();
    damage(&mut values);
    let found = values.validate().expect_err(what);
    assert_eq!(found.invariant(), what, "{found}");
    assert_eq!([found.expected(), found.found()], numbers.map(|number| number as u64), "{found}");
}

#[test]
fn a_slab_in_pieces_is_found() {
    let mut values = filled();
    let record = *values.record(1);
    values.directory.set_record(1, Record::vacant(0));
    let found = values.validate().expect_err("half a slab");
    // Else the storage would not release the chunk.
    values.directory.set_record(1, record);
    assert_eq!(found.invariant(), "a slab is held whole or not at all");
    broken("the number of held slabs", [3, 2], |values| values.held_slabs += 1);
}

#[test]
#[cfg_attr(miri, ignore = "Miri takes ten seconds for each damage")]
fn a_chunk_of_wrong_generations_is_found() {
    for padding in [6, 1023] {
        broken("padding has generation zero", [0, 2], |values| {
            values.set_generation(first_index(1) + padding, 2);
        });
    }
    broken("a fresh or cleared chunk has no value", [0, 1], |values| {
        values.set_generation(first_index(3), 1);
    });
    broken("a fresh or cleared chunk has no retired slot", [0, 1], |values| {
        values.set_generation(first_index(3), RETIRED);
    });
    broken("a fresh chunk has one generation", [1, 0], |values| {
        values.set_generation(first_index(3) + 5, 2);
    });
    broken("the floor is even", [0, 1], Storage::damage);
}

#[test]
#[cfg_attr(miri, ignore = "Miri takes ten seconds for each damage")]
fn a_sum_that_is_not_that_of_the_chunks_is_found() {
    broken("the live slots", [LIVE + 1, LIVE], |values| values.carved += 1);
    broken("the live slots", [LIVE, LIVE + 1], |values| {
        values.set_generation(2, 3);
    });
    broken("the retired slots", [1, 0], |values| {
        values.carved += 1;
        values.retired += 1;
    });
    broken("the retired slots", [0, 1], |values| {
        values.set_generation(2, RETIRED);
    });
    let carved = SLAB_CAPACITY + 1024;
    broken("the slots of carved chunks", [carved + 1, carved], |values| {
        values.drop_lists();
        values.carved += 1;
    });
}

#[test]
#[cfg_attr(miri, ignore = "Miri takes ten seconds for each damage")]
fn a_list_that_leads_astray_is_found() {
    broken("a listed slot is vacant", [1, 0], |values| {
        values.set_generation(5, 3);
        values.set_generation(6, 2);
    });
    broken("a listed slot is in a carved chunk", [1, 0], |values| {
        // SAFETY: a listed slot holds its link.
        let after = unsafe { values.link_of(5).read() };
        values.head = after.to(first_index(3));
    });
    broken("the next slot has the base of its chunk", [1, 0], |values| {
        values.head_base = core::ptr::NonNull::dangling();
    });
    broken("a link counts the slots after it", [3, 1], |values| {
        // SAFETY: the slot is dead, and its bytes are the storage's own.
        unsafe { values.link_of(5).write(Link::END) };
    });
    broken("an untouched slot has the generation of the next handle", [1, 0], |values| {
        values.set_generation(first_index(3) - 1, 2);
    });
}

#[test]
fn a_list_of_fresh_chunks_that_leads_astray_is_found() {
    broken("each vacant slot is listed once", [VACANT, VACANT - 6], |values| values.fresh = NONE);
    broken("a chunk on the fresh list is fresh or cleared", [1, 0], |values| {
        values.fresh = 0;
        values.directory.set_record(0, Record { link: 3, ..*values.record(0) });
    });
    // A circle is left when too many were counted.
    broken("each vacant slot is listed once", [VACANT, VACANT + 6], |values| {
        let fresh = *values.record(3);
        assert_eq!(fresh.state, State::Fresh);
        values.directory.set_record(3, Record { link: 3, ..fresh });
    });
}

#[test]
fn a_directory_is_cut_to_what_is_held() {
    let mut values = Values::new(4, Global);
    let slabs = [(); 100].map(|()| values.grow().expect("memory"));
    let bytes = values.bytes();
    slabs[1..].iter().for_each(|&slab| values.release_slab(slab));
    values.forget_vacant_tail();
    values.relist();
    values.validate().expect("consistent");
    let one = size_of::<NonNull<u32>>() + size_of::<Record>() + 2 * size_of::<u64>();
    assert_eq!([values.slab_ids(), values.held_slabs()], [1, 1]);
    assert_eq!(values.directory.bytes(), one);
    assert!(values.bytes() < bytes / 50, "{} of {bytes}", values.bytes());
    values.release_slab(0);
    values.forget_vacant_tail();
    values.relist();
    assert_eq!(values.bytes(), 0);
}

#[test]
fn an_allocator_asks_its_storage() {
    let mut values = SlabAllocator::<u64>::new(8);
    values.allocate(1).expect("memory");
    values.validate().expect("the storage is consistent");
    values.storage.damage();
    assert_eq!(values.validate().expect_err("damaged").invariant(), "the floor is even");
}
