//! Fills slots that the caller names by handle: moves, copies, secondary maps.
//!
//! Each operation empties the lists first, because the slot may be on one. The caller rebuilds them with `relist`.
#![expect(unsafe_code, reason = "moves values between slots")]

use allocator_api2::alloc::Allocator;

use super::directory::{Record, State};
use super::{RETIRED, Storage, Walk};
use crate::error::SlabError;
use crate::geometry::chunk_of;
use crate::handle::SlotHandle;

impl<T, A: Allocator> Storage<T, A> {
    /// Returns the handle that a slot would get if it were filled now, or `None` if it cannot be filled: it is live,
    /// retired, or in no held chunk.
    pub fn vacant_handle(&self, index: u32) -> Option<SlotHandle> {
        let generation = self.generation(index)?;
        let vacant = generation % 2 == 0 && generation != RETIRED;
        vacant.then(|| SlotHandle::live(index, generation))
    }

    /// Stores a value under a handle, or returns it if the slot is not vacant or is past that generation.
    pub fn occupy(&mut self, handle: SlotHandle, value: T) -> Result<(), T> {
        let lowest = self.vacant_handle(handle.index());
        if lowest.is_none_or(|lowest| handle < lowest) || handle.generation() > RETIRED {
            return Err(value);
        }
        self.drop_lists();
        let chunk = chunk_of(handle.index());
        self.carve(chunk);
        // SAFETY: the slot is vacant, so its chunk is held and the storage owns its generations. The generation written
        // is even, so the slot stays dead. It is on no list, because all lists are empty.
        unsafe {
            let place = self.place(handle.index());
            place.generation().write(handle.generation() - 1);
            self.occupy_place(&place, handle.index(), value);
        }
        self.accounted += 1;
        Ok(())
    }

    /// Moves a value to a vacant slot, or returns `None` if there is no such value or the slot is not vacant. The slot it
    /// leaves is not listed.
    pub fn relocate(&mut self, from: SlotHandle, to: SlotHandle) -> Option<()> {
        let lowest = self.vacant_handle(to.index())?;
        let place = self.live_place(from)?;
        if to < lowest {
            return None;
        }
        self.drop_lists();
        // SAFETY: the slot is live, so its chunk is held and it holds a value, by S1. The value is read once, because
        // `vacate_unlisted` makes the slot dead.
        let (value, listable) = unsafe {
            let value = self.slot(&place).cast::<T>().read();
            (value, self.vacate_unlisted(&place, from))
        };
        self.accounted -= usize::from(listable);
        // Cannot fail: the slot was found vacant above.
        self.occupy(to, value).ok()?;
        self.recount(from, u16::wrapping_sub);
        self.recount(to, u16::wrapping_add);
        Some(())
    }

    /// Changes the live count of a handle's chunk by one.
    fn recount(&mut self, handle: SlotHandle, change: fn(u16, u16) -> u16) {
        let chunk = chunk_of(handle.index());
        let record = *self.record(chunk);
        let live = change(record.live, 1);
        self.directory.set_record(chunk, Record { live, ..record });
    }

    /// Copies the values, under the same handles, to a storage over another source. Its lists are empty.
    pub fn try_clone<B: Allocator>(&self, source: B) -> Result<Storage<T, B>, SlabError>
    where
        T: Clone,
    {
        let mut copy = self.mirror(source)?;
        let mut values = Walk::new(self);
        while let Some((handle, value)) = values.next() {
            let stored = copy.occupy(handle, value.clone());
            debug_assert!(stored.is_ok(), "a mirror has the same slots, all dead");
        }
        Ok(copy)
    }

    /// Returns a storage with the same slabs and generations over another source. All its slots are dead, and its lists
    /// are empty.
    fn mirror<B: Allocator>(&self, source: B) -> Result<Storage<T, B>, SlabError> {
        let mut mirror = Storage::with_geometry(self.geometry, self.generation_step, source);
        (mirror.floor, mirror.listed) = (self.floor, false);
        mirror.reserve_addresses(self.reservation.chunks());
        mirror.extend_directory(self.directory.len(), 0)?;
        for chunk in 0..self.directory.len() {
            if let Some(floor) = self.record(chunk).floor() {
                mirror.directory.set_record(chunk, Record::vacant(floor));
            }
        }
        for slab in self.held_slab_ids() {
            mirror.hold(slab)?;
            self.chunks_of(slab).for_each(|chunk| self.mirror_chunk(chunk, &mut mirror));
        }
        Ok(mirror)
    }

    fn mirror_chunk<B: Allocator>(&self, chunk: u32, mirror: &mut Storage<T, B>) {
        let record = *self.record(chunk);
        mirror.directory.set_record(chunk, record);
        if record.state == State::Carved {
            mirror.carved += self.geometry.len_of(chunk) as usize;
        }
        for (index, generation) in self.slot_generations(chunk) {
            mirror.retired += usize::from(generation == RETIRED);
            mirror.accounted += usize::from(generation == RETIRED);
            // SAFETY: the mirror holds the same chunk and owns its generations. The one written is even, so the slot stays
            // dead.
            unsafe { mirror.place(index).generation().write(generation & !1) };
        }
    }
}
