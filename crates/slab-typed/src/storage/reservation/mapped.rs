//! Address space from `mmap`.
#![expect(unsafe_code, reason = "maps memory and advises the system about it")]

use core::ptr::{self, NonNull};

use crate::geometry::{CHUNK_SLOTS_MAX, first_index};

/// Says that pages which are not written need no memory. Miri does not know it.
#[cfg(all(any(target_os = "linux", target_os = "android", target_vendor = "apple"), not(miri)))]
const NO_RESERVE: libc::c_int = libc::MAP_NORESERVE;
#[cfg(not(all(
    any(target_os = "linux", target_os = "android", target_vendor = "apple"),
    not(miri)
)))]
const NO_RESERVE: libc::c_int = 0;

/// Advice that returns pages to the system. Only Linux promises that they are zero afterwards.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NOT_NEEDED: libc::c_int = libc::MADV_DONTNEED;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const NOT_NEEDED: libc::c_int = libc::MADV_FREE;

/// A reservation from this size on may get huge pages, which are faster to fill and to look up. Below, they would take
/// much memory that is not used.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
const HUGE_PAGES_FROM: usize = 8 << 20;

/// The bytes of a chunk's generations. A multiple of any alignment of slots that is reserved for.
const GENERATIONS_BYTES: usize = CHUNK_SLOTS_MAX * size_of::<u32>();

/// Address space for chunks: the generations of all, then the slots of all.
///
/// # Invariants
///
/// - **A1 (mapped)**: unless `chunks` is zero, a private anonymous mapping starts at `generations`, which this reservation
///   owns. It has `chunks × GENERATIONS_BYTES` bytes, followed from `slots` on by `chunks × slots_bytes`. All can be read
///   and written. Each byte is zero, or what was last written there.
pub struct Reservation {
    generations: NonNull<u32>,
    slots: NonNull<u8>,
    /// The bytes of a chunk's slots.
    slots_bytes: usize,
    chunks: u32,
    /// The indices that lookups may read: those of the chunks that the directory contains too.
    readable: u32,
    gives_back: bool,
}

impl Reservation {
    /// Address space for no chunk.
    pub const NONE: Self = Self {
        generations: NonNull::dangling(),
        slots: NonNull::dangling(),
        slots_bytes: 0,
        chunks: 0,
        readable: 0,
        gives_back: true,
    };

    /// Reserves address space for chunks with slots of this size, or for no chunk if the system refuses.
    pub fn new(chunks: u32, slot_size: usize) -> Self {
        let Some((slots_bytes, bytes)) = bytes_of(chunks, slot_size) else { return Self::NONE };
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON | NO_RESERVE;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping, at an address that the system chooses, touches no memory in use.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, access, flags, -1, 0) };
        let Some(generations) = NonNull::new(start).filter(|_| start != libc::MAP_FAILED) else {
            return Self::NONE;
        };
        #[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
        if bytes >= HUGE_PAGES_FROM {
            // SAFETY: the range is the mapping. The advice changes no byte, and may be refused.
            unsafe { libc::madvise(start, bytes, libc::MADV_HUGEPAGE) };
        }
        // SAFETY: the generations end in the mapping, where the slots start.
        let slots = unsafe { generations.byte_add(chunks as usize * GENERATIONS_BYTES) };
        let (generations, slots) = (generations.cast(), slots.cast());
        Self { generations, slots, slots_bytes, chunks, readable: 0, gives_back: true }
    }

    /// Returns the number of chunks.
    pub const fn chunks(&self) -> u32 {
        self.chunks
    }

    /// Returns the number of indices that lookups may read. All their chunks are reserved.
    #[inline]
    pub const fn readable(&self) -> u32 {
        self.readable
    }

    /// Returns the address of the first chunk's generations. Those of the others follow.
    #[inline]
    pub const fn generations(&self) -> NonNull<u32> {
        self.generations
    }

    /// Returns the address of the first chunk's slots. Those of the others follow.
    #[inline]
    pub const fn slots(&self) -> NonNull<u8> {
        self.slots
    }

    /// Lets lookups read the chunks below `chunks`, as far as they are reserved. The others are not read, because the
    /// system needs page tables for all that is read.
    pub fn set_readable(&mut self, chunks: u32) {
        self.readable = first_index(chunks.min(self.chunks));
    }

    /// Returns the memory of a chunk to the system. Its bytes are zero afterwards, or what they were.
    pub fn give_back(&self, chunk: u32) {
        if chunk >= self.chunks || !self.gives_back {
            return;
        }
        let at = |start: NonNull<u8>, bytes: usize| {
            // SAFETY: the chunk is reserved, so this part of it lies in the mapping, by A1.
            unsafe { give_back_pages(start.byte_add(chunk as usize * bytes), bytes) };
        };
        at(self.generations.cast(), GENERATIONS_BYTES);
        at(self.slots, self.slots_bytes);
    }

    /// Makes [`give_back`](Self::give_back) do nothing, because the mapping ends soon.
    pub const fn keep_pages(&mut self) {
        self.gives_back = false;
    }
}

/// Returns the bytes of a chunk's slots and those of a mapping, or `None` if the address space cannot hold it, or if it
/// is empty.
fn bytes_of(chunks: u32, slot_size: usize) -> Option<(usize, usize)> {
    let slots = slot_size.checked_mul(CHUNK_SLOTS_MAX)?;
    let bytes = slots.checked_add(GENERATIONS_BYTES)?.checked_mul(chunks as usize)?;
    (bytes != 0 && bytes <= isize::MAX as usize).then_some((slots, bytes))
}

/// Returns the whole pages of a range to the system. Pages that the range shares with its neighbours stay.
///
/// # Safety
///
/// The range lies in a private anonymous mapping, and its contents are not needed.
unsafe fn give_back_pages(start: NonNull<u8>, bytes: usize) {
    if cfg!(miri) {
        // Miri cannot do it. The bytes stay, which A1 allows.
        return;
    }
    // SAFETY: `sysconf` only reads a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let Some(page) = usize::try_from(page).ok().filter(|page| page.is_power_of_two()) else {
        return;
    };
    let (start, address) = (start.as_ptr(), start.addr().get());
    let first = address.next_multiple_of(page);
    let end = (address + bytes) / page * page;
    if first < end {
        // SAFETY: whole pages of the range. Private anonymous pages are zero afterwards, or on some systems what they were
        // until their memory is needed.
        unsafe { libc::madvise(start.with_addr(first).cast(), end - first, NOT_NEEDED) };
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.chunks != 0 {
            let bytes = (GENERATIONS_BYTES + self.slots_bytes) * self.chunks as usize;
            // SAFETY: the mapping is owned by A1, and no reference to a value in it outlives the storage.
            unsafe { libc::munmap(self.generations.as_ptr().cast(), bytes) };
        }
    }
}
