//! The blocks of memory of a slab: chunks, the table that leads to them, and records. They are found without a lock. All
//! but the values stay until the slab is dropped.
#![expect(unsafe_code, reason = "blocks of a memory source, shared by threads")]

mod exclusive;
mod records;

use core::alloc::Layout;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use std::sync::PoisonError;

use allocator_api2::alloc::Allocator;
use slab_core::OnDrop;

use super::chunk::{Chunk, slots_per_chunk};
use super::record::Record;
use super::sync::{AtomicPtr, AtomicU32, AtomicUsize, Mutex, Ordering, const_fn, nulls};
use super::threads;
use crate::error::SlabError;
use crate::geometry::CHUNK_COUNT_MAX;

/// The chunks that the first table has room for.
const TABLE_MIN: usize = 4;

/// Tables of all lengths, each twice as long as the one before, up to the number of chunks that handles can name.
const TABLES: usize = (CHUNK_COUNT_MAX as usize).div_ceil(TABLE_MIN).ilog2() as usize + 1;

/// The threads whose records are found in one step.
const FIRST_THREADS: usize = 16;

/// The tables of records of further threads, each twice as long as the one before.
const RECORD_TABLES: usize = (threads::THREADS_MAX / FIRST_THREADS).ilog2() as usize;

/// The blocks of a slab.
///
/// # Invariants
///
/// - **M1 (chunks)**: each number below `count` has an entry in the table, which points to a chunk. The table, the tables
///   before it, and the chunks stay where they are until the memory is dropped.
/// - **M2 (values)**: `values` of a chunk is null or a block of `slots_per_chunk` slots, allocated by `source`.
/// - **M3 (records)**: a record that a table or the list of records leads to stays until the memory is dropped.
#[derive(Debug)]
pub struct Memory<T, A: Allocator> {
    /// The number of chunks.
    count: AtomicU32,
    /// The chunks, by number.
    table: AtomicPtr<AtomicPtr<Chunk<T>>>,
    growth: Mutex<Growth<T>>,
    first_records: [AtomicPtr<Record>; FIRST_THREADS],
    more_records: [AtomicPtr<AtomicPtr<Record>>; RECORD_TABLES],
    newest_record: AtomicPtr<Record>,
    held_bytes: AtomicUsize,
    held_chunks: AtomicUsize,
    /// The generation at which the slots of new chunks start. Even.
    pub floor: u32,
    pub source: A,
    values: PhantomData<(T, *mut T)>,
}

/// The state under the lock, which is held for a few steps, without calling the source.
#[derive(Debug)]
struct Growth<T> {
    /// All tables, the longest last. Readers may still use shorter ones.
    tables: [*mut AtomicPtr<Chunk<T>>; TABLES],
    table_count: usize,
    /// The first chunk plus one whose memory is released.
    released: u32,
}

impl<T> Growth<T> {
    /// The chunks that the longest table has room for.
    fn capacity(&self) -> usize {
        match self.table_count {
            0 => 0,
            count => table_len(count - 1),
        }
    }
}

const fn table_len(table: usize) -> usize {
    TABLE_MIN << table
}

fn refused(layout: Layout) -> SlabError {
    SlabError::OutOfMemory { bytes: layout.size(), align: layout.align() }
}

fn exhausted<T>(slab: usize) -> SlabError {
    SlabError::IndexSpaceExhausted { slab, slab_capacity: slots_per_chunk::<T>() }
}

impl<T, A: Allocator> Memory<T, A> {
    const_fn! {
        pub fn new(source: A) -> Self {
            Self {
                count: AtomicU32::new(0),
                table: AtomicPtr::new(ptr::null_mut()),
                growth: Mutex::new(Growth {
                    tables: [ptr::null_mut(); TABLES],
                    table_count: 0,
                    released: 0,
                }),
                first_records: nulls!(FIRST_THREADS),
                more_records: nulls!(RECORD_TABLES),
                newest_record: AtomicPtr::new(ptr::null_mut()),
                held_bytes: AtomicUsize::new(0),
                held_chunks: AtomicUsize::new(0),
                floor: 0,
                source,
                values: PhantomData,
            }
        }
    }

    // Chunks.

    /// Returns the number of chunks, released ones included.
    #[inline]
    pub fn count(&self) -> u32 {
        // Acquire: pairs with the Release in `append`, so that the table has the chunks.
        self.count.load(Ordering::Acquire)
    }

    /// Returns a chunk, or `None` if there is none of this number. *O*(1).
    #[inline]
    pub fn chunk(&self, number: u32) -> Option<&Chunk<T>> {
        // SAFETY: by M1 it is a chunk, which outlives the borrow of `self`.
        self.pointer(number).map(|chunk| unsafe { chunk.as_ref() })
    }

    #[inline]
    fn pointer(&self, number: u32) -> Option<NonNull<Chunk<T>>> {
        if number >= self.count() {
            return None;
        }
        let table = self.table.load(Ordering::Acquire);
        // SAFETY: by M1 the table has an entry of this number, which points to a chunk. `count` was read before the table, so
        // the table is the one that had room for it or a later one.
        unsafe { NonNull::new((*table.add(number as usize)).load(Ordering::Acquire)) }
    }

    /// Returns an error if handles or addresses cannot name so many chunks more.
    pub fn check_room(&self, chunks: usize) -> Result<(), SlabError> {
        let held = self.held_chunks();
        if chunks > (CHUNK_COUNT_MAX as usize).saturating_sub(held) {
            return Err(exhausted::<T>(held.saturating_add(chunks)));
        }
        let bytes = Self::values_layout().map_or(usize::MAX, |layout| layout.size());
        if bytes.saturating_mul(chunks) > isize::MAX as usize {
            return Err(SlabError::OutOfMemory { bytes: usize::MAX, align: align_of::<T>() });
        }
        Ok(())
    }

    /// Acquires a chunk. The caller gets the tokens of all its slots that are not retired.
    pub fn acquire(&self) -> Result<u32, SlabError> {
        if let Some(number) = self.take_released() {
            let undo = OnDrop::new(self, |memory| memory.give_released(number));
            let values = undo.allocate_values()?;
            undo.disarm();
            let chunk = self.chunk(number).expect("a released chunk has a number");
            // Readers see it through the Release with which the caller publishes the tokens.
            chunk.values.store(values.as_ptr(), Ordering::Relaxed);
            self.held_chunks.fetch_add(1, Ordering::Relaxed);
            return Ok(number);
        }
        let values = OnDrop::new(self.allocate_values()?, |values| {
            // SAFETY: the block was just allocated, and nothing else knows it.
            unsafe { self.deallocate_values(*values) }
        });
        let chunk = OnDrop::new(self.allocate::<Chunk<T>>(Layout::new::<Chunk<T>>())?, |chunk| {
            // SAFETY: as for the values.
            unsafe { self.deallocate(*chunk, Layout::new::<Chunk<T>>()) }
        });
        // SAFETY: the block is new and has the chunk's layout.
        unsafe { chunk.write(Chunk::new(values.as_ptr(), self.floor)) };
        let number = self.append(*chunk)?;
        chunk.disarm();
        values.disarm();
        self.held_chunks.fetch_add(1, Ordering::Relaxed);
        Ok(number)
    }

    /// Adds a chunk to the table.
    fn append(&self, chunk: NonNull<Chunk<T>>) -> Result<u32, SlabError> {
        let mut longer: Option<(usize, NonNull<AtomicPtr<Chunk<T>>>)> = None;
        let number = loop {
            let table = {
                let mut growth = self.growth.lock().unwrap_or_else(PoisonError::into_inner);
                let count = self.count.load(Ordering::Relaxed);
                if count >= CHUNK_COUNT_MAX {
                    break Err(exhausted::<T>(count as usize));
                }
                if count as usize == growth.capacity()
                    && let Some((table, entries)) = longer
                    && table == growth.table_count
                {
                    longer = None;
                    let old = self.table.load(Ordering::Relaxed);
                    for number in 0..count as usize {
                        // SAFETY: both tables have room for `count` entries, and the lock is held, so nothing else
                        // writes to them.
                        unsafe {
                            let chunk = (*old.add(number)).load(Ordering::Relaxed);
                            (*entries.as_ptr().add(number)).store(chunk, Ordering::Relaxed);
                        }
                    }
                    growth.tables[table] = entries.as_ptr();
                    growth.table_count += 1;
                    // Release: readers see the entries.
                    self.table.store(entries.as_ptr(), Ordering::Release);
                }
                if (count as usize) < growth.capacity() {
                    let entries = self.table.load(Ordering::Relaxed);
                    // SAFETY: the table has room for the entry, and stays by M1.
                    unsafe {
                        (*entries.add(count as usize)).store(chunk.as_ptr(), Ordering::Release)
                    };
                    // Release: readers that see the number see the table and the entry.
                    self.count.store(count + 1, Ordering::Release);
                    break Ok(count);
                }
                growth.table_count
            };
            self.deallocate_table(longer.take());
            longer = Some((table, self.allocate_pointers(table_len(table))?));
        };
        self.deallocate_table(longer);
        number
    }

    fn deallocate_table(&self, table: Option<(usize, NonNull<AtomicPtr<Chunk<T>>>)>) {
        if let Some((table, entries)) = table {
            // SAFETY: the table was allocated with this length and never published.
            unsafe { self.deallocate_pointers(entries, table_len(table)) };
        }
    }

    /// Releases the memory of the values of a chunk, and returns whether it was held.
    ///
    /// # Safety
    ///
    /// The caller has the tokens of all slots of the chunk that are not retired, and gives them up. If all slots are
    /// retired, any number of callers may do so.
    pub unsafe fn release(&self, number: u32, any_tokens: bool) -> bool {
        let chunk = self.chunk(number).expect("the caller has its tokens");
        let Some(values) = NonNull::new(chunk.values.swap(ptr::null_mut(), Ordering::AcqRel))
        else {
            return false;
        };
        self.held_chunks.fetch_sub(1, Ordering::Relaxed);
        let listed = OnDrop::new(self, |memory| {
            if any_tokens {
                memory.give_released(number);
            }
        });
        // SAFETY: by M2 it is such a block, and the swap gave it to one thread only. No value is stored in it, because
        // the caller has the tokens, and none is read.
        unsafe { listed.deallocate_values(values) };
        true
    }

    fn take_released(&self) -> Option<u32> {
        let mut growth = self.growth.lock().unwrap_or_else(PoisonError::into_inner);
        let number = growth.released.checked_sub(1)?;
        let chunk = self.chunk(number).expect("a released chunk has a number");
        growth.released = chunk.next_released.load(Ordering::Relaxed);
        Some(number)
    }

    fn give_released(&self, number: u32) {
        let chunk = self.chunk(number).expect("a released chunk has a number");
        let mut growth = self.growth.lock().unwrap_or_else(PoisonError::into_inner);
        chunk.next_released.store(growth.released, Ordering::Relaxed);
        growth.released = number + 1;
    }

    // Blocks.

    pub fn held_bytes(&self) -> usize {
        self.held_bytes.load(Ordering::Relaxed)
    }

    pub fn held_chunks(&self) -> usize {
        self.held_chunks.load(Ordering::Relaxed)
    }

    fn values_layout() -> Option<Layout> {
        Layout::array::<T>(slots_per_chunk::<T>()).ok()
    }

    fn allocate_values(&self) -> Result<NonNull<T>, SlabError> {
        match Self::values_layout() {
            Some(layout) if layout.size() == 0 => Ok(NonNull::dangling()),
            Some(layout) => self.allocate(layout),
            None => Err(SlabError::OutOfMemory { bytes: usize::MAX, align: align_of::<T>() }),
        }
    }

    /// # Safety
    ///
    /// The block was returned by [`allocate_values`](Self::allocate_values), and the caller owns it.
    unsafe fn deallocate_values(&self, values: NonNull<T>) {
        if let Some(layout) = Self::values_layout().filter(|layout| layout.size() > 0) {
            // SAFETY: the caller owns the block, which has this layout.
            unsafe { self.deallocate(values, layout) };
        }
    }

    fn allocate_pointers<U>(&self, len: usize) -> Result<NonNull<AtomicPtr<U>>, SlabError> {
        let too_long = SlabError::OutOfMemory { bytes: usize::MAX, align: align_of::<usize>() };
        let layout = Layout::array::<AtomicPtr<U>>(len).map_err(|_| too_long)?;
        let pointers: NonNull<AtomicPtr<U>> = self.allocate(layout)?;
        for number in 0..len {
            // SAFETY: the block is new and has room for `len` pointers.
            unsafe { pointers.add(number).write(AtomicPtr::new(ptr::null_mut())) };
        }
        Ok(pointers)
    }

    /// # Safety
    ///
    /// The block was returned by [`allocate_pointers`](Self::allocate_pointers) for `len`, and the caller owns it.
    unsafe fn deallocate_pointers<U>(&self, pointers: NonNull<AtomicPtr<U>>, len: usize) {
        let layout = Layout::array::<AtomicPtr<U>>(len).expect("it was allocated");
        for number in 0..len {
            // SAFETY: the caller owns `len` initialised pointers. Models watch them until they are dropped.
            unsafe { pointers.add(number).drop_in_place() };
        }
        // SAFETY: the caller owns the block, which has this layout.
        unsafe { self.deallocate(pointers, layout) };
    }

    fn allocate<U>(&self, layout: Layout) -> Result<NonNull<U>, SlabError> {
        let block = self.source.allocate(layout).map_err(|_| refused(layout))?;
        self.held_bytes.fetch_add(layout.size(), Ordering::Relaxed);
        Ok(block.cast())
    }

    /// # Safety
    ///
    /// The block was returned by [`allocate`](Self::allocate) for the layout, and the caller owns it.
    unsafe fn deallocate<U>(&self, block: NonNull<U>, layout: Layout) {
        self.held_bytes.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the block came from this source with this layout, and the caller owns it.
        unsafe { self.source.deallocate(block.cast(), layout) };
    }
}
