//! The records of threads: found by the number of the thread, and listed for those that look at all of them.
#![expect(unsafe_code, reason = "blocks of a memory source, shared by threads")]

use core::alloc::Layout;
use core::ptr;

use allocator_api2::alloc::Allocator;

use super::super::record::Record;
use super::super::sync::{AtomicPtr, Ordering};
use super::super::threads;
use super::{FIRST_THREADS, Memory};

impl<T, A: Allocator> Memory<T, A> {
    /// Returns the record of this thread, or `None` if the thread has no number or memory is refused. *O*(1).
    #[inline]
    pub fn record(&self) -> Option<&Record> {
        let thread = threads::index()? as usize;
        if let Some(entry) = self.first_records.get(thread) {
            let record = entry.load(Ordering::Acquire);
            if !record.is_null() {
                // SAFETY: by M3.
                return Some(unsafe { &*record });
            }
        }
        self.record_slow(thread)
    }

    #[cold]
    #[inline(never)]
    fn record_slow(&self, thread: usize) -> Option<&Record> {
        let entry = self.record_entry(thread)?;
        let mut record = entry.load(Ordering::Acquire);
        if record.is_null() {
            let block = self.allocate::<Record>(Layout::new::<Record>()).ok()?;
            // SAFETY: the block is new and has the record's layout.
            unsafe { block.write(Record::new()) };
            record = block.as_ptr();
            // Only the thread with this number stores to the entry.
            entry.store(record, Ordering::Release);
            let mut newest = self.newest_record.load(Ordering::Relaxed);
            loop {
                // SAFETY: by M3.
                unsafe { (*record).next.store(newest, Ordering::Relaxed) };
                // Release: scans see the record and the ones after it.
                match self.newest_record.compare_exchange(
                    newest,
                    record,
                    Ordering::AcqRel,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => break,
                    Err(current) => newest = current,
                }
            }
        }
        // SAFETY: by M3.
        Some(unsafe { &*record })
    }

    /// Returns the place of the pointer to a thread's record.
    fn record_entry(&self, thread: usize) -> Option<&AtomicPtr<Record>> {
        if let Some(entry) = self.first_records.get(thread) {
            return Some(entry);
        }
        let number = (thread / FIRST_THREADS).ilog2() as usize;
        let len = FIRST_THREADS << number;
        let place = self.more_records.get(number)?;
        let mut table = place.load(Ordering::Acquire);
        if table.is_null() {
            let new = self.allocate_pointers(len).ok()?;
            match place.compare_exchange(
                ptr::null_mut(),
                new.as_ptr(),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => table = new.as_ptr(),
                Err(current) => {
                    table = current;
                    // SAFETY: the table was allocated with this length and not published.
                    unsafe { self.deallocate_pointers(new, len) };
                }
            }
        }
        // SAFETY: the table has `len` entries, for the threads from `len` to twice as many, and stays by M3.
        Some(unsafe { &*table.add(thread - len) })
    }

    /// Returns the records of all threads that used the slab, of ended ones too.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        let mut next = self.newest_record.load(Ordering::Acquire);
        core::iter::from_fn(move || {
            // SAFETY: null, or a record by M3.
            let record = unsafe { next.as_ref() }?;
            next = record.next.load(Ordering::Relaxed);
            Some(record)
        })
    }
}
