//! Moves values out of the emptiest slabs into the fullest.

use allocator_api2::alloc::Allocator;

use crate::handle::SlotHandle;
use crate::storage::{Relisting, Storage};

/// Moves up to `max_moves` values and returns how many were moved.
pub(crate) fn run<T, A: Allocator>(
    storage: &mut Storage<T, A>,
    max_moves: usize,
    on_move: &mut impl FnMut(&mut T, SlotHandle, SlotHandle) -> bool,
) -> usize {
    let mut moves = 0;
    let relisting = Relisting(storage);
    let storage = &mut *relisting.0;
    storage.count_live();
    while moves < max_moves {
        let Some(source) = emptiest(storage) else { break };
        if room_outside(storage, source) < storage.slab_live(source) {
            break;
        }
        let drained = drain_slab(storage, source, max_moves - moves, on_move);
        moves += drained.moves;
        if drained.stopped {
            break;
        }
    }
    moves
}

struct Drained {
    moves: usize,
    /// `on_move` returned `false`.
    stopped: bool,
}

/// Moves values out of one slab. Other slabs have room for them.
fn drain_slab<T, A: Allocator>(
    storage: &mut Storage<T, A>,
    source: u32,
    max_moves: usize,
    on_move: &mut impl FnMut(&mut T, SlotHandle, SlotHandle) -> bool,
) -> Drained {
    let mut drained = Drained { moves: 0, stopped: false };
    let mut target = Target { slab: source, slot: usize::MAX };
    for slot in 0..storage.geometry.slab_capacity {
        let index = storage.geometry.index(source, slot);
        let generation = storage.generation(index).unwrap_or(0);
        let Some(old) = SlotHandle::from_parts(index, generation) else { continue };
        if drained.moves == max_moves {
            break;
        }
        let Some(new) = target.next(storage, source) else { break };
        let Some(value) = storage.get_mut(old) else { break };
        if !on_move(value, old, new) {
            drained.stopped = true;
            break;
        }
        if storage.relocate(old, new).is_none() {
            break;
        }
        drained.moves += 1;
    }
    drained
}

/// The place of the next value.
struct Target {
    slab: u32,
    /// No slot below this one is vacant.
    slot: usize,
}

impl Target {
    /// Returns the next vacant slot of the fullest slab other than `source`.
    fn next<T, A: Allocator>(
        &mut self,
        storage: &Storage<T, A>,
        source: u32,
    ) -> Option<SlotHandle> {
        loop {
            while self.slot < storage.geometry.slab_capacity {
                let index = storage.geometry.index(self.slab, self.slot);
                if let Some(vacant) = storage.vacant_handle(index) {
                    return Some(vacant);
                }
                self.slot += 1;
            }
            let fullest = others(storage, source).max_by_key(|&slab| storage.slab_live(slab))?;
            *self = Self { slab: fullest, slot: 0 };
        }
    }
}

/// Returns the slab with the fewest values, of those with any; of several, the last.
fn emptiest<T, A: Allocator>(storage: &Storage<T, A>) -> Option<u32> {
    let occupied = storage.held_slab_ids().rev().filter(|&slab| storage.slab_live(slab) > 0);
    occupied.min_by_key(|&slab| storage.slab_live(slab))
}

/// Returns the slabs other than `source` that have values and room for more.
fn others<T, A: Allocator>(storage: &Storage<T, A>, source: u32) -> impl Iterator<Item = u32> {
    storage.held_slab_ids().filter(move |&slab| {
        slab != source && storage.slab_live(slab) > 0 && room(storage, slab) > 0
    })
}

fn room_outside<T, A: Allocator>(storage: &Storage<T, A>, source: u32) -> usize {
    others(storage, source).map(|slab| room(storage, slab)).sum()
}

fn room<T, A: Allocator>(storage: &Storage<T, A>, slab: u32) -> usize {
    storage.geometry.slab_capacity - storage.slab_live(slab) - storage.slab_retired(slab)
}
