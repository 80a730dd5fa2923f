//! One mapping for many buffers, each with an index that never changes, so that a kernel knows all of them by a single
//! registration.
//!
//! From the bottom up:
//!
//! * `mapping`: memory from `mmap`;
//! * this file: its division into buffers, and the record of all that the system refused.
#![expect(unsafe_code, reason = "addresses inside a mapping")]

mod mapping;

use std::alloc::Layout;
use std::fmt;
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;

use mapping::{HUGE_PAGE_BYTES, Mapping};

use crate::error::PoolError;
use crate::vacancy::Vacancy;

/// Buffers in an arena at most: as many as Linux registers with one ring.
pub const BUFFERS_MAX: usize = 1 << 14;

/// The settings of an arena; see [`BufferPoolBuilder::arena`](crate::BufferPoolBuilder::arena).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a pool has an arena once its builder is told so"]
pub struct ArenaSettings {
    buffers_per_class: usize,
    huge_pages: bool,
    lock: bool,
}

impl ArenaSettings {
    /// Returns the settings of an arena with so many buffers of each class, in pages of the usual size.
    pub const fn new(buffers_per_class: usize) -> Self {
        Self { buffers_per_class, huge_pages: false, lock: false }
    }

    /// Returns how many buffers of each class the arena has.
    pub const fn buffers_per_class(&self) -> usize {
        self.buffers_per_class
    }

    /// Sets whether the arena lies in pages of 2 MiB: in those that the administrator has set aside, or else where the
    /// system can make some. Default: no.
    pub const fn huge_pages(mut self, huge_pages: bool) -> Self {
        self.huge_pages = huge_pages;
        self
    }

    /// Sets whether the arena is locked in memory, so that no page is swapped out, and the first use of a page does not fault.
    /// Default: no.
    pub const fn lock(mut self, lock: bool) -> Self {
        self.lock = lock;
        self
    }
}

/// The pages of an arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArenaPages {
    /// The system's usual ones.
    Usual,
    /// The usual ones, which the system replaces by pages of 2 MiB where it can.
    HugeIfPossible,
    /// Pages of 2 MiB that the administrator has set aside.
    Huge,
}

/// A request of an arena to the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArenaRequest {
    /// Memory. If it is refused there is no arena, and all buffers come from the global allocator.
    Memory,
    /// Pages of 2 MiB that were set aside. If they are refused the arena asks for [`ArenaRequest::HugeIfPossible`].
    HugePages,
    /// Pages of 2 MiB where the system can make some. If they are refused the arena lies in usual pages.
    HugeIfPossible,
    /// Locking the memory. If it is refused the arena is not locked.
    Lock,
}

/// A request that the system refused, and its reason. The pool works without it.
#[derive(Debug)]
pub struct ArenaRefusal {
    request: ArenaRequest,
    bytes: usize,
    error: io::Error,
}

impl ArenaRefusal {
    /// Returns the request.
    pub fn request(&self) -> ArenaRequest {
        self.request
    }

    /// Returns how many bytes it was for.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the system's reason.
    pub fn error(&self) -> &io::Error {
        &self.error
    }
}

impl fmt::Display for ArenaRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request, bytes, error } = self;
        match request {
            ArenaRequest::Memory => {
                write!(f, "no arena of {bytes} bytes, buffers come from the allocator: {error}")
            }
            ArenaRequest::HugePages => {
                write!(f, "no huge pages are set aside for {bytes} bytes: {error}")
            }
            ArenaRequest::HugeIfPossible => {
                write!(f, "the system makes no huge pages for {bytes} bytes: {error}")
            }
            ArenaRequest::Lock => write!(f, "{bytes} bytes are not locked in memory: {error}"),
        }
    }
}

impl std::error::Error for ArenaRefusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// The memory of a pool's buffers, in one mapping. Cloning it is cheap; the memory stays mapped while a clone, the pool or one of
/// its buffers exists.
///
/// Each buffer has an index, which [`PooledBuffer::arena_index`](crate::PooledBuffer::arena_index) returns. So a program registers
/// [`iovecs`](Self::iovecs) with `io_uring` once, and refers to a buffer by its index from then on, as the
/// `buf_index` of a fixed read or write, or as the identifier in a ring of provided buffers.
///
/// If more buffers of a class are handed out than the arena has, the others come from the global allocator, have no index, and are
/// freed on release. The same holds for those that are idle in the caches of other threads, at most two or a sixteenth of the
/// arena for each thread.
#[derive(Clone)]
pub struct Arena {
    shared: Arc<Shared>,
}

/// The mapping and its division.
///
/// # Invariants
///
/// - **R1 (apart)**: the buffers of a class follow each other from `offset_bytes` on, `stride_bytes` apart. They have the class's
///   layout, do not overlap, and lie in the mapping.
/// - **R2 (owned)**: a buffer whose number is not vacant belongs to one [`Slot`].
/// - **R3 (zero)**: the bytes of a vacant buffer are zero.
struct Shared {
    mapping: Mapping,
    classes: Box<[ClassPart]>,
    pages: ArenaPages,
    locked: bool,
}

/// The buffers of one class.
struct ClassPart {
    /// The index of the first.
    first: usize,
    count: usize,
    /// The size and alignment of each.
    layout: Layout,
    offset_bytes: usize,
    stride_bytes: usize,
    vacancy: Vacancy,
}

/// The memory of one buffer, which belongs to this value.
pub struct Slot {
    shared: Arc<Shared>,
    class: usize,
    number: usize,
    start: NonNull<u8>,
}

// SAFETY: the value owns the memory that it points to by R2, and the mapping may be used and unmapped on any thread.
unsafe impl Send for Slot {}
// SAFETY: a shared reference gives an address and numbers only.
unsafe impl Sync for Slot {}

impl Arena {
    /// Maps an arena with buffers of these sizes and this alignment. Returns `None` for the arena if the system has no memory for it, and
    /// all refusals.
    ///
    /// # Errors
    ///
    /// [`PoolError::ArenaBuffers`] if there were too many buffers, or none; [`PoolError::TooLarge`] if they cannot exist.
    pub(crate) fn map(
        settings: ArenaSettings,
        sizes: &[usize],
        alignment: usize,
    ) -> Result<(Option<Self>, Vec<ArenaRefusal>), PoolError> {
        let count = settings.buffers_per_class;
        let all = count.saturating_mul(sizes.len());
        if all == 0 || all > BUFFERS_MAX {
            return Err(PoolError::ArenaBuffers { count: all, max: BUFFERS_MAX });
        }
        let mut classes = Vec::new();
        let mut end = 0_usize;
        for (class, &bytes) in sizes.iter().enumerate() {
            let too_large = PoolError::TooLarge { bytes, alignment };
            let layout = Layout::from_size_align(bytes, alignment);
            let layout = layout.map_err(|_| too_large.clone())?;
            let stride_bytes = layout.pad_to_align().size();
            let (first, offset_bytes) = (class * count, end);
            end = stride_bytes
                .checked_mul(count)
                .and_then(|part| end.checked_add(part))
                .ok_or(too_large)?;
            let vacancy = Vacancy::new(count);
            classes.push(ClassPart { first, count, layout, offset_bytes, stride_bytes, vacancy });
        }
        let bytes = end;
        if bytes > isize::MAX as usize {
            return Err(PoolError::TooLarge { bytes, alignment });
        }

        let mut refusals = Vec::new();
        let mut note = |request, outcome: io::Result<()>| {
            outcome.map_err(|error| refusals.push(ArenaRefusal { request, bytes, error })).is_ok()
        };
        // Huge pages are aligned to their size, and the first class to its own.
        let mut mapping = None;
        let mut pages = ArenaPages::Usual;
        if settings.huge_pages && alignment <= HUGE_PAGE_BYTES {
            let huge = Mapping::in_huge_pages(bytes).map(|huge| mapping = Some(huge));
            if note(ArenaRequest::HugePages, huge) {
                pages = ArenaPages::Huge;
            }
        }
        if mapping.is_none() {
            let alignment =
                if settings.huge_pages { HUGE_PAGE_BYTES.max(alignment) } else { alignment };
            note(
                ArenaRequest::Memory,
                Mapping::new(bytes, alignment).map(|new| mapping = Some(new)),
            );
        }
        let Some(mapping) = mapping else { return Ok((None, refusals)) };
        if settings.huge_pages
            && pages == ArenaPages::Usual
            && note(ArenaRequest::HugeIfPossible, mapping.advise_huge_pages())
        {
            pages = ArenaPages::HugeIfPossible;
        }
        let locked = settings.lock && note(ArenaRequest::Lock, mapping.lock());
        let shared = Shared { mapping, classes: classes.into(), pages, locked };
        Ok((Some(Self { shared: Arc::new(shared) }), refusals))
    }

    /// Takes a vacant buffer of a class; `None` if there is none.
    pub(crate) fn take(&self, class: usize) -> Option<Slot> {
        let number = self.shared.classes.get(class)?.vacancy.take()?;
        let start = self.shared.address(class, number);
        Some(Slot { shared: Arc::clone(&self.shared), class, number, start })
    }

    /// Returns whether the arena has buffers of this class.
    pub(crate) fn has(&self, class: usize) -> bool {
        class < self.shared.classes.len()
    }

    /// Returns the bytes of the mapping that belong to no buffer that exists.
    pub(crate) fn vacant_bytes(&self) -> usize {
        let used = |class: &ClassPart| (class.count - class.vacancy.len()) * class.layout.size();
        self.mapped_bytes() - self.shared.classes.iter().map(used).sum::<usize>()
    }

    /// Returns the number of buffers. Their indices are below it.
    pub fn len(&self) -> usize {
        self.shared.classes.last().map_or(0, |class| class.first + class.count)
    }

    /// Returns whether there are no buffers: never.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the bytes of the mapping.
    pub fn mapped_bytes(&self) -> usize {
        self.shared.mapping.bytes()
    }

    /// Returns the kind of the arena's pages.
    pub fn pages(&self) -> ArenaPages {
        self.shared.pages
    }

    /// Returns whether the arena is locked in memory.
    pub fn is_locked(&self) -> bool {
        self.shared.locked
    }

    /// Returns the whole mapping, for an interface that registers one range.
    pub fn mapping(&self) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.shared.mapping.start(), self.mapped_bytes())
    }

    /// Returns the memory of the buffer with this index, whether it is in use or not. Reading or writing it without owning
    /// the buffer is a data race.
    pub fn get(&self, index: u16) -> Option<NonNull<[u8]>> {
        let index = usize::from(index);
        let class = self.shared.classes.partition_point(|class| class.first + class.count <= index);
        let part = self.shared.classes.get(class)?;
        let start = self.shared.address(class, index - part.first);
        Some(NonNull::slice_from_raw_parts(start, part.layout.size()))
    }

    /// Returns the memory of all buffers in the order of their indices, for `io_uring`'s `register_buffers`. The memory stays mapped
    /// for as long as a clone of this arena exists.
    pub fn iovecs(&self) -> Vec<libc::iovec> {
        let buffers = (0..=u16::MAX).map_while(|index| self.get(index));
        let iovec = |buffer: NonNull<[u8]>| libc::iovec {
            iov_base: buffer.cast().as_ptr(),
            iov_len: buffer.len(),
        };
        buffers.map(iovec).collect()
    }
}

impl Shared {
    fn address(&self, class: usize, number: usize) -> NonNull<u8> {
        let ClassPart { count, offset_bytes, stride_bytes, .. } = self.classes[class];
        assert!(number < count);
        // SAFETY: the class has more buffers than `number`, so by R1 the result lies in the mapping.
        unsafe { self.mapping.start().add(offset_bytes + number * stride_bytes) }
    }
}

impl Slot {
    /// Returns the first byte's address. The memory of this layout there belongs to this value, and is initialised.
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Returns the size and alignment of the memory.
    pub fn layout(&self) -> Layout {
        self.shared.classes[self.class].layout
    }

    /// Returns the buffer's index in the arena.
    pub fn index(&self) -> u16 {
        // Below `BUFFERS_MAX`.
        (self.shared.classes[self.class].first + self.number) as u16
    }
}

impl Drop for Slot {
    /// The owner has zeroed the memory: **R3**.
    fn drop(&mut self) {
        self.shared.classes[self.class].vacancy.put(self.number);
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slot").field(&self.index()).finish()
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("buffers", &self.len())
            .field("mapped_bytes", &self.mapped_bytes())
            .field("pages", &self.pages())
            .field("locked", &self.is_locked())
            .finish()
    }
}
