//! Blocks are deallocated, except for values: only here, because `&mut self` shows that no thread uses them.
#![expect(unsafe_code, reason = "deallocates blocks")]

use core::alloc::Layout;
use core::ptr::{self, NonNull};
use std::sync::PoisonError;

use allocator_api2::alloc::Allocator;
use slab_core::OnDrop;

use super::super::chunk::Chunk;
use super::super::record::Record;
use super::super::sync::{AtomicPtr, Ordering};
use super::{FIRST_THREADS, Memory, table_len};
use crate::storage::{RETIRED, WORN};

impl<T, A: Allocator> Memory<T, A> {
    /// Deallocates the last chunks without memory for values. Chunks made later start above their generations. Worn ones
    /// stay, so that they do not wear all later ones.
    ///
    /// The caller lists the released chunks anew.
    pub fn forget_tail(&mut self) {
        while let Some(number) = self.count().checked_sub(1) {
            let chunk = self.chunk(number).expect("there are `count` chunks");
            let generations = chunk.generations.iter().map(|slot| slot.load(Ordering::Relaxed));
            let highest = generations.max().expect("a chunk has slots");
            if chunk.is_held() || highest > WORN {
                return;
            }
            self.floor = self.floor.max(highest);
            self.deallocate_last_chunk();
        }
    }

    /// Makes all threads ask for new records, which count nothing yet.
    pub fn hide_records(&mut self) {
        for entry in &self.first_records {
            entry.store(ptr::null_mut(), Ordering::Relaxed);
        }
        self.records().for_each(Record::reset_count);
    }

    /// Deallocates records and tables that no thread uses.
    ///
    /// The caller [hid](Self::hide_records) the records.
    pub fn release_idle(&mut self) {
        let kept = usize::from(self.count() > 0);
        while self.deallocate_first_table(kept)
            || self.deallocate_record_table()
            || self.deallocate_record()
        {}
    }

    /// Lists the released chunks that have usable slots.
    pub fn relist_released(&mut self) {
        self.growth.get_mut().unwrap_or_else(PoisonError::into_inner).released = 0;
        for number in (0..self.count()).rev() {
            let chunk = self.chunk(number).expect("there are `count` chunks");
            let usable = |slot: &super::AtomicU32| slot.load(Ordering::Relaxed) != RETIRED;
            if !chunk.is_held() && chunk.generations.iter().any(usable) {
                self.give_released(number);
            }
        }
    }

    /// Takes one block out of the books and deallocates it. Returns `false` if none is left.
    fn deallocate_next(&mut self) -> bool {
        self.deallocate_last_chunk()
            || self.deallocate_first_table(0)
            || self.deallocate_record_table()
            || self.deallocate_record()
    }

    /// Deallocates the values of the last chunk, or the chunk if it has none. Returns `false` if there are no chunks.
    fn deallocate_last_chunk(&mut self) -> bool {
        let Some(number) = self.count().checked_sub(1) else { return false };
        let chunk = self.pointer(number).expect("there are `count` chunks");
        // SAFETY: `&mut self` shows that nothing else uses the chunk, and by M1 it is one.
        let values = unsafe { chunk.as_ref() }.values.swap(ptr::null_mut(), Ordering::Relaxed);
        if let Some(values) = NonNull::new(values) {
            // SAFETY: by M2. Values that are still stored are forgotten.
            unsafe { self.deallocate_values(values) };
            return true;
        }
        self.count.store(number, Ordering::Relaxed);
        // SAFETY: the chunk came from `acquire`, and the table leads to it no more.
        unsafe {
            chunk.drop_in_place();
            self.deallocate(chunk, Layout::new::<Chunk<T>>());
        }
        true
    }

    /// Deallocates the first table of chunks, but for the last `kept` ones. Returns `false` if there is none.
    fn deallocate_first_table(&mut self, kept: usize) -> bool {
        let growth = self.growth.get_mut().unwrap_or_else(PoisonError::into_inner);
        let tables = growth.table_count - kept.min(growth.table_count);
        let first = growth.tables[..tables].iter().position(|table| !table.is_null());
        let Some(number) = first else { return false };
        let entries = core::mem::replace(&mut growth.tables[number], ptr::null_mut());
        if kept == 0 && number + 1 == tables {
            growth.table_count = 0;
            self.table.store(ptr::null_mut(), Ordering::Relaxed);
        }
        if let Some(entries) = NonNull::new(entries) {
            // SAFETY: the table has this length, and no thread uses it: it is not the last one, or there are no chunks.
            unsafe { self.deallocate_pointers(entries, table_len(number)) };
        }
        true
    }

    /// Deallocates a record. Returns `false` if there is none.
    ///
    /// The caller hid the records, or drops the memory.
    fn deallocate_record(&mut self) -> bool {
        let record = self.newest_record.load(Ordering::Relaxed);
        let Some(record) = NonNull::new(record) else { return false };
        // SAFETY: by M3 it is a record. `&mut self` shows that no thread uses it.
        unsafe {
            let next = record.as_ref().next.load(Ordering::Relaxed);
            self.newest_record.store(next, Ordering::Relaxed);
            record.drop_in_place();
            self.deallocate(record, Layout::new::<Record>());
        }
        true
    }

    /// Deallocates a table of records. Returns `false` if there is none.
    fn deallocate_record_table(&mut self) -> bool {
        let tables = self.more_records.iter().enumerate();
        let mut taken = tables.filter_map(|(number, table): (usize, &AtomicPtr<_>)| {
            let table = table.swap(ptr::null_mut(), Ordering::Relaxed);
            NonNull::new(table).map(|table| (number, table))
        });
        let Some((number, table)) = taken.next() else { return false };
        // SAFETY: the table has this length. Nothing leads to it any more, and `&mut self` shows that no thread uses it.
        unsafe { self.deallocate_pointers(table, FIRST_THREADS << number) };
        true
    }
}

impl<T, A: Allocator> Drop for Memory<T, A> {
    /// Deallocates all blocks. If the source panics, the other blocks are deallocated all the same; if it panics again
    /// meanwhile, the program aborts.
    fn drop(&mut self) {
        let mut rest = OnDrop::new(self, |memory| while memory.deallocate_next() {});
        while rest.deallocate_next() {}
    }
}
