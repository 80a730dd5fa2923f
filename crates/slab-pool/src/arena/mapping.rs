//! Memory from the system's `mmap`.
#![expect(unsafe_code, reason = "maps memory, locks it and advises the system about it")]

use std::io;
use std::ptr::{self, NonNull};

/// The size of a huge page.
pub const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Memory of the system that belongs to this value.
///
/// # Invariants
///
/// - **M1 (mapped)**: `bytes` bytes from `start` are a private anonymous mapping, which can be read and written, and which
///   this value owns. Each byte is zero, or was written.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: by M1 the value is the only owner of the mapping, which any thread may use and unmap.
unsafe impl Send for Mapping {}
// SAFETY: a shared reference gives addresses only.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps memory whose start is aligned to `alignment`, a power of two.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn new(bytes: usize, alignment: usize) -> io::Result<Self> {
        let page = page_bytes();
        let bytes = bytes.checked_next_multiple_of(page);
        // The system aligns to pages. Where that is not enough, a part of a longer mapping is kept.
        let excess = alignment.max(page) - page;
        let all = bytes.and_then(|bytes| bytes.checked_add(excess));
        let (Some(bytes), Some(all)) = (bytes, all) else {
            return Err(io::ErrorKind::OutOfMemory.into());
        };
        let whole = Self::map(all, 0)?;
        let address = whole.start.addr().get();
        let before = address.next_multiple_of(alignment.max(page)) - address;
        Ok(whole.keep(before, bytes))
    }

    /// Maps memory in huge pages that the administrator has set aside.
    ///
    /// # Errors
    ///
    /// The system's.
    #[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
    pub fn in_huge_pages(bytes: usize) -> io::Result<Self> {
        let bytes = bytes.checked_next_multiple_of(HUGE_PAGE_BYTES);
        Self::map(bytes.ok_or(io::ErrorKind::OutOfMemory)?, libc::MAP_HUGETLB | libc::MAP_HUGE_2MB)
    }

    /// No other system has them.
    ///
    /// # Errors
    ///
    /// Always.
    #[cfg(not(all(any(target_os = "linux", target_os = "android"), not(miri))))]
    pub fn in_huge_pages(_bytes: usize) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn map(bytes: usize, flags: libc::c_int) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON | flags;
        // SAFETY: a new mapping, at an address that the system chooses, touches no memory in use.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, access, flags, -1, 0) };
        match NonNull::new(start) {
            Some(start) if start.as_ptr() != libc::MAP_FAILED => {
                Ok(Self { start: start.cast(), bytes })
            }
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Unmaps all but `bytes` bytes at the offset `before`, both multiples of a page.
    fn keep(self, before: usize, bytes: usize) -> Self {
        let whole = std::mem::ManuallyDrop::new(self);
        let after = whole.bytes - before - bytes;
        // SAFETY: the offset lies in the mapping, since its parts add up to its length.
        let start = unsafe { whole.start.add(before) };
        // SAFETY: as for the start.
        let end = unsafe { start.add(bytes) };
        for (start, bytes) in [(whole.start, before), (end, after)] {
            if bytes > 0 {
                // SAFETY: whole pages at an end of the mapping, which no one uses yet.
                unsafe { libc::munmap(start.as_ptr().cast(), bytes) };
            }
        }
        Self { start, bytes }
    }

    /// Returns the first byte's address.
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Returns the number of bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Asks the system to use huge pages where it can.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn advise_huge_pages(&self) -> io::Result<()> {
        #[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
        {
            let start = self.start.as_ptr().cast();
            // SAFETY: the range is the mapping. The advice changes no byte.
            let refused = unsafe { libc::madvise(start, self.bytes, libc::MADV_HUGEPAGE) };
            if refused != 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
        }
        #[cfg(not(all(any(target_os = "linux", target_os = "android"), not(miri))))]
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Keeps all pages in memory: none is written to a swap device.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn lock(&self) -> io::Result<()> {
        #[cfg(not(miri))]
        {
            // SAFETY: the range is the mapping, and locking changes no byte.
            let refused = unsafe { libc::mlock(self.start.as_ptr().cast(), self.bytes) };
            if refused != 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
        }
        #[cfg(miri)]
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: by M1 the mapping belongs to this value, which ends here.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

fn page_bytes() -> usize {
    // SAFETY: `sysconf` only reads a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(page).ok().filter(|page| page.is_power_of_two()).unwrap_or(4096)
}
