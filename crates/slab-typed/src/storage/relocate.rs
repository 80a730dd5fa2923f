//! Filling slots of the caller's choice: what moving, copying and restoring values needs.
//!
//! All of it empties the lists first, because the slot may be on one; the caller makes them anew
//! with `relist` when it is done.
#![expect(unsafe_code, reason = "moves values between slots")]

use allocator_api2::alloc::Allocator;

use super::directory::{Record, State};
use super::{RETIRED, Storage, Walk};
use crate::error::SlabError;
use crate::geometry::chunk_of;
use crate::handle::SlotHandle;

impl<T, A: Allocator> Storage<T, A> {
    /// Returns the handle that a slot would get if it were filled now, or `None` if it cannot be:
    /// it is live, retired, or not there.
    pub fn vacant_handle(&self, index: u32) -> Option<SlotHandle> {
        let generation = self.generation(index)?;
        let vacant = generation % 2 == 0 && generation != RETIRED;
        vacant.then(|| SlotHandle::live(index, generation))
    }

    /// Stores a value under a handle, or gives it back if the slot is not vacant, is not there, or is
    /// past that generation.
    pub fn occupy(&mut self, handle: SlotHandle, value: T) -> Result<(), T> {
        let lowest = self.vacant_handle(handle.index());
        if lowest.is_none_or(|lowest| handle < lowest) || handle.generation() > RETIRED {
            return Err(value);
        }
        self.drop_lists();
        let chunk = chunk_of(handle.index());
        self.carve(chunk);
        // SAFETY: the slot is vacant, and so its chunk below `directory.len`.
        let place = unsafe { self.place(handle.index()) };
        // SAFETY: the chunk is held, so its generations are owned; even, and so dead.
        unsafe { place.generation().write(handle.generation() - 1) };
        // SAFETY: vacant as checked above, and the lists are empty.
        unsafe { self.occupy_place(&place, handle.index(), value) };
        self.settled += 1;
        Ok(())
    }

    /// Moves a value to a vacant slot and returns its new handle, or `None` if there is no such value
    /// or the slot is not vacant. The slot left is not listed.
    pub fn relocate(&mut self, from: SlotHandle, to: SlotHandle) -> Option<()> {
        let lowest = self.vacant_handle(to.index())?;
        let place = self.live_place(from)?;
        if to < lowest {
            return None;
        }
        self.drop_lists();
        // SAFETY: live, and so a slot of a held chunk.
        let slot = unsafe { self.slot(&place) };
        // SAFETY: a value by S1; it ceases to be one in the next line.
        let value = unsafe { slot.cast::<T>().read() };
        // SAFETY: found by this handle, and the value was moved out.
        let listable = unsafe { self.vacate_unlisted(&place, from) };
        self.settled -= usize::from(listable);
        // The slot is vacant, as was just seen, and the value a plain one in between.
        self.occupy(to, value).ok()?;
        self.recount(from, u16::wrapping_sub);
        self.recount(to, u16::wrapping_add);
        Some(())
    }

    /// Changes what was counted of a handle's chunk by one.
    fn recount(&mut self, handle: SlotHandle, change: fn(u16, u16) -> u16) {
        let chunk = chunk_of(handle.index());
        let record = *self.record(chunk);
        let live = change(record.live, 1);
        self.directory.set_record(chunk, Record { live, ..record });
    }

    /// Copies the values, under the same handles, to a storage over another source. Nothing is listed
    /// there.
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

    /// Makes a storage of the same slabs and generations over another source, all slots dead and none
    /// listed.
    fn mirror<B: Allocator>(&self, source: B) -> Result<Storage<T, B>, SlabError> {
        let mut mirror = Storage::with_geometry(self.geometry, self.generation_step, source);
        (mirror.floor, mirror.listed) = (self.floor, false);
        mirror.directory.extend(self.directory.len(), 0, &mirror.source)?;
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
            mirror.settled += usize::from(generation == RETIRED);
            // SAFETY: the same chunk is held there.
            let place = unsafe { mirror.place(index) };
            // SAFETY: owned there; even, and so dead.
            unsafe { place.generation().write(generation & !1) };
        }
    }
}
