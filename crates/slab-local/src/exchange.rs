//! Batches between magazines, depot and heap.
#![expect(unsafe_code, reason = "gives raw blocks back to the heap")]

use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use lock_api::RawMutex;
use slab_core::{Unchecked, poison};
use slab_traits::{AllocError, Fault};

use crate::backing::{Backing, Class};
use crate::block_map::Mark;
use crate::depot::Refusal;
use crate::heap::LocalHeap;
use crate::magazines::{Batch, Magazine, Magazines};
use crate::regions::Unit;
use crate::seat::Seat;
use crate::stack::Stack;

impl<R: RawMutex, A: Backing, S: Seat> LocalHeap<R, A, S> {
    /// Returns a block from a magazine, which is filled if it is empty. The seat is claimed.
    pub(crate) fn take_or_fill(
        &self,
        magazines: &mut Magazines,
        class: Class,
    ) -> Result<Option<NonNull<u8>>, Fault> {
        let magazine = magazines.of(class);
        if magazine.is_empty() {
            self.fill(magazine, class)?;
        }
        let Some(number) = magazine.pop() else { return Ok(None) };
        Ok(self.regions.unit_anywhere(number).map(|unit| Self::start(unit, class)))
    }

    /// Fills an empty magazine with a batch from the depot, or else from the heap.
    fn fill(&self, magazine: &mut Magazine, class: Class) -> Result<(), Fault> {
        Magazines::set_limit(magazine, Self::block_bytes(class));
        if let Some(mut batch) = self.depots[class.index()].pop() {
            let count = batch.len();
            batch.move_oldest(magazine, count);
            return Ok(());
        }
        let count = Magazines::batch_blocks(magazine);
        let mut batch = Batch::new(count);
        // SAFETY: blocks are taken and given back, and none that is in use.
        unsafe {
            self.locked.with_inner(|heap| {
                let mut unmapped: Stack<NonNull<u8>, 64> = Stack::new(64);
                heap.refill(class, count, |block| {
                    match self.regions.unit_at_anywhere(block.addr().get()) {
                        Some(unit) => {
                            unit.map.set(unit.index, Mark::Waiting);
                            batch.push(unit.number);
                        }
                        None => _ = unmapped.push(block),
                    }
                });
                unmapped.as_slice().iter().try_for_each(|&block| {
                    let outcome = heap.give_back(class, block);
                    outcome.map_err(|error| fault_of(heap, block, error))
                })
            })
        }?;
        // The last one pushed is the first one used: the block that the heap handed out first.
        while let Some(number) = batch.pop() {
            if !magazine.push(number) {
                break;
            }
        }
        Ok(())
    }

    /// Puts a live block into a magazine, which hands a batch over if it is full. Returns whether the block was live.
    /// The seat is claimed.
    pub(crate) fn end_or_hand_over(
        &self,
        magazines: &mut Magazines,
        class: Class,
        unit: Unit,
    ) -> Result<bool, Fault> {
        if !Self::end(unit, class) {
            return Ok(false);
        }
        let magazine = magazines.of(class);
        Magazines::set_limit(magazine, Self::block_bytes(class));
        let handed_over = if magazine.is_full() { self.hand_over(magazine, class) } else { Ok(()) };
        magazine.push(unit.number);
        handed_over.map(|()| true)
    }

    /// Hands the oldest blocks of a full magazine over to the depot, or else back to the heap.
    fn hand_over(&self, magazine: &mut Magazine, class: Class) -> Result<(), Fault> {
        let count = Magazines::batch_blocks(magazine);
        let mut batch = Batch::new(count);
        magazine.move_oldest(&mut batch, count);
        let depot = &self.depots[class.index()];
        let mut outcome = depot.push(batch);
        if outcome == Err(Refusal::NoStorage) && self.provide_storage(class) {
            outcome = depot.push(batch);
        }
        if outcome.is_err() {
            return self.give_back(class, &batch);
        }
        match depot.decayed() {
            Some(decayed) => self.give_back(class, &decayed),
            None => Ok(()),
        }
    }

    /// Gives the depot of a class memory from the heap. Returns whether it got some now.
    #[cold]
    fn provide_storage(&self, class: Class) -> bool {
        let count = Magazines::depot_batches(Self::block_bytes(class));
        let Ok(layout) = Layout::array::<Batch>(count) else { return false };
        // SAFETY: memory is allocated and freed, and none that is in use.
        unsafe {
            self.locked.with_inner(|heap| {
                let Ok(memory) = heap.alloc(layout) else { return false };
                let batches = memory.cast::<MaybeUninit<Batch>>();
                let depot = &self.depots[class.index()];
                // The memory is new and of the layout of so many batches.
                if !depot.provide(NonNull::slice_from_raw_parts(batches, count)) {
                    heap.dealloc(memory, layout);
                    return false;
                }
                self.mark_internal(memory);
                true
            })
        }
    }

    /// Marks the start of a block that is this crate's.
    pub(crate) fn mark_internal(&self, block: NonNull<u8>) {
        if let Some(unit) = self.regions.unit_at_anywhere(block.addr().get()) {
            // SAFETY: the unit is one of its region, and the block is the caller's.
            unsafe { unit.map.set(unit.index, Mark::Internal) };
        }
    }

    /// Gives blocks back to the heap. *O*(blocks).
    pub(crate) fn give_back(&self, class: Class, batch: &Batch) -> Result<(), Fault> {
        // SAFETY: the blocks wait, so none is in use.
        unsafe {
            self.locked.with_inner(|heap| {
                let units = batch.as_slice().iter();
                let mut units = units.filter_map(|&number| self.regions.unit_anywhere(number));
                // SAFETY: the blocks wait in the batch that the caller gives up.
                units.try_for_each(|unit| Self::give_back_unit(heap, class, unit))
            })
        }
    }

    /// Gives a block back to the heap.
    ///
    /// # Safety
    ///
    /// A waiting block of this class starts at the unit, and no magazine or batch has it.
    pub(crate) unsafe fn give_back_unit(
        heap: &mut A,
        class: Class,
        unit: Unit,
    ) -> Result<(), Fault> {
        // SAFETY: the block has the bytes of its class. It was taken by `refill`, is the caller's, and under the lock no
        // other thread finds it in the heap before the mark is gone.
        unsafe {
            if poison::is_active::<Unchecked>() {
                poison::allow_access(unit.block, Self::block_bytes(class));
            }
            unit.map.set(unit.index, Mark::None);
            heap.give_back(class, unit.block).map_err(|error| fault_of(heap, unit.block, error))
        }
    }

    /// Gives all blocks of some magazines back to the heap, and returns their bytes.
    fn empty(&self, magazines: &mut Magazines) -> Result<usize, Fault> {
        let bytes = magazines.idle_bytes(Self::block_bytes);
        for class in Class::all() {
            let magazine = magazines.of(class);
            while !magazine.is_empty() {
                let mut batch = Batch::new(usize::MAX);
                magazine.move_oldest(&mut batch, usize::MAX);
                self.give_back(class, &batch)?;
            }
        }
        Ok(bytes)
    }

    /// Gives all blocks back to the heap that wait in the magazines of the caller, if there are any, in those of no
    /// thread and in the depot, and returns their bytes.
    pub(crate) fn empty_all(&self, own: Option<&mut Magazines>) -> Result<usize, Fault> {
        let mut bytes = match own {
            Some(magazines) => self.empty(magazines)?,
            None => 0,
        };
        for class in Class::all() {
            while let Some(batch) = self.depots[class.index()].pop() {
                bytes += batch.len() * Self::block_bytes(class);
                self.give_back(class, &batch)?;
            }
        }
        let mut outcome = Ok(());
        self.seat.drain_idle(&mut |idle| match self.empty(idle) {
            Ok(more) => bytes += more,
            Err(fault) => outcome = Err(fault),
        });
        outcome.map(|()| bytes)
    }
}

/// Returns why the heap refused a block that waited: its memory was damaged.
pub(crate) fn fault_of<A: Backing>(heap: &mut A, block: NonNull<u8>, error: AllocError) -> Fault {
    heap.take_fault().unwrap_or(Fault::Refused {
        address: block.addr().get(),
        size: 0,
        align: 1,
        error,
    })
}
