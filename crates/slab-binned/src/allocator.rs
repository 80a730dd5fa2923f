//! The allocator of blocks: its state, its constructors, and the fast paths of `alloc` and `free`.

use core::fmt;

use allocator_api2::alloc::Allocator;

use crate::classes::{CLASS_COUNT_MAX, ClassMap, GRANULE_BYTES};
use crate::config::Config;
use crate::error::BinnedError;
use crate::id::BlockId;
use crate::journal::sealed::Sink;
use crate::journal::{Journal, Tracked, Untracked};
use crate::memory::Store;
use crate::numbers::Numbers;
use crate::record::{GENERATION_LAST, OVERFLOW};
use slab_traits::Global;

/// The type behind [`BinnedAllocator`], [`FingerprintedAllocator`] and
/// [`LoggedAllocator`](crate::LoggedAllocator): blocks of bytes behind ids.
///
/// * `A` is the memory source.
/// * `J` is the journal: what the allocator remembers of its operations.
///
/// Blocks never move and are never copied. Memory is acquired in chunks and kept until
/// [`trim`](Self::trim) is called or the allocator is dropped.
pub struct BlockAllocator<A: Allocator, J: Journal> {
    pub(crate) classes: &'static ClassMap,
    pub(crate) numbers: Numbers,
    pub(crate) journal: J,
    pub(crate) store: Store<A, J::Watch>,
    pub(crate) config: Config,
}

/// Blocks of bytes behind ids, in size classes. Ids, places, contents and statistics follow from the
/// operations alone.
///
/// The [crate documentation](crate) says what is deterministic and how it works.
///
/// # Examples
///
/// ```
/// use slab_binned::{BinnedAllocator, BinnedError};
///
/// let mut blocks = BinnedAllocator::new();
/// let id = blocks.alloc(11)?;
/// blocks.write(id, b"hello")?;
/// assert_eq!(blocks.get(id), Some(&b"hello\0\0\0\0\0\0"[..]));
///
/// blocks.free(id)?;
/// let next = blocks.alloc_dirty(16)?; // The block freed last, and so the same index.
/// assert_eq!(next.index(), id.index());
/// assert_eq!(blocks.get(id), None);
/// let stale = BinnedError::Stale { index: 0, generation: 1, current: 3 };
/// assert_eq!(blocks.try_get(id), Err(stale));
/// # Ok::<(), BinnedError>(())
/// ```
pub type BinnedAllocator<A = Global> = BlockAllocator<A, Untracked>;

/// A [`BinnedAllocator`] with a [`fingerprint`](BlockAllocator::fingerprint).
///
/// # Examples
///
/// ```
/// use slab_binned::FingerprintedAllocator;
///
/// let (mut ours, mut theirs) = (FingerprintedAllocator::new(), FingerprintedAllocator::new());
/// for peer in [&mut ours, &mut theirs] {
///     let id = peer.alloc(100)?;
///     peer.write(id, &[7; 100])?;
/// }
/// assert_eq!(ours.fingerprint(), theirs.fingerprint());
/// # Ok::<(), slab_binned::BinnedError>(())
/// ```
pub type FingerprintedAllocator<A = Global> = BlockAllocator<A, crate::Fingerprinted>;

/// A [`BinnedAllocator`] with a fingerprint and a [log](BlockAllocator::log).
#[cfg(feature = "alloc")]
pub type LoggedAllocator<A = Global> = BlockAllocator<A, crate::Logged>;

#[cfg(feature = "alloc")]
impl BlockAllocator<Global, Untracked> {
    /// Returns an empty allocator: the 13 standard classes, chunks of 256 KiB, no cap. It acquires no
    /// memory yet.
    pub const fn new() -> Self {
        Self::with_config(Config::new())
    }

    /// Returns an empty allocator with chosen size classes, chunks or a cap.
    pub const fn with_config(config: Config) -> Self {
        Self::assemble(config, Global, Untracked)
    }
}

#[cfg(feature = "alloc")]
impl<J: Tracked> BlockAllocator<Global, J> {
    /// Returns an empty allocator: the 13 standard classes, chunks of 256 KiB, no cap. It acquires no
    /// memory yet.
    pub fn new() -> Self {
        Self::with_config(Config::new())
    }

    /// Returns an empty allocator with chosen size classes, chunks or a cap.
    pub fn with_config(config: Config) -> Self {
        Self::new_in(config, Global)
    }
}

impl<A: Allocator, J: Journal> BlockAllocator<A, J> {
    /// Returns an empty allocator that acquires its memory from `source`.
    ///
    /// # Examples
    ///
    /// ```
    /// use bumpalo::Bump;
    /// use slab_binned::{BinnedAllocator, Config};
    ///
    /// let arena = Bump::new();
    /// arena.set_allocation_limit(Some(0));
    /// let mut blocks = BinnedAllocator::new_in(Config::new(), &arena);
    /// assert!(blocks.alloc(10).is_err());
    /// assert!(blocks.is_empty());
    /// ```
    pub fn new_in(config: Config, source: A) -> Self {
        let journal = J::start(&config, None);
        Self::assemble(config, source, journal)
    }

    pub(crate) const fn assemble(config: Config, source: A, journal: J) -> Self {
        Self {
            classes: config.classes.map(),
            numbers: Numbers::FRESH,
            journal,
            store: Store::new(source),
            config,
        }
    }

    // Blocks.

    /// Returns a block of `size` bytes, all zero. *O*(1) and zeroing, where a block of the class was
    /// freed before; else *O*(log free runs), plus one request to the memory source where no run
    /// fits.
    ///
    /// # Errors
    ///
    /// [`BinnedError::ZeroSize`] and [`BinnedError::TooLarge`] for sizes that no block has,
    /// [`BinnedError::OverCap`], [`BinnedError::OutOfMemory`], and
    /// [`BinnedError::TooManyBlocks`] beyond 2³¹ blocks. Nothing has changed.
    #[inline]
    pub fn alloc(&mut self, size: usize) -> Result<BlockId, BinnedError> {
        let (id, clean) = match self.reuse(size, true) {
            Some(id) => (id, false),
            None => self.alloc_slow(size, 1, true)?,
        };
        if !clean {
            self.zero(id);
        }
        Ok(id)
    }

    /// As [`alloc`](Self::alloc), without zeroing: the bytes are those that earlier blocks wrote, or zero.
    /// They too follow from the operations.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc).
    #[inline]
    pub fn alloc_dirty(&mut self, size: usize) -> Result<BlockId, BinnedError> {
        match self.reuse(size, false) {
            Some(id) => Ok(id),
            None => Ok(self.alloc_slow(size, 1, false)?.0),
        }
    }

    /// As [`alloc`](Self::alloc), with the first byte at a multiple of `align`, in memory and in its
    /// chunk: a power of two up to [`ALIGN_MAX`](crate::ALIGN_MAX). Alignments up to 16 cost
    /// nothing; beyond that the block may be larger by up to the alignment, and one of 4096 takes
    /// whole pages.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc), and [`BinnedError::BadAlign`].
    ///
    /// # Examples
    ///
    /// ```
    /// # let mut blocks = slab_binned::BinnedAllocator::new();
    /// let id = blocks.alloc_aligned(100, 256)?;
    /// assert!(blocks.try_get(id)?.as_ptr().addr().is_multiple_of(256));
    /// # Ok::<(), slab_binned::BinnedError>(())
    /// ```
    pub fn alloc_aligned(&mut self, size: usize, align: usize) -> Result<BlockId, BinnedError> {
        self.alloc_for(size, align, true)
    }

    /// As [`alloc_aligned`](Self::alloc_aligned), with bytes as [`alloc_dirty`](Self::alloc_dirty)
    /// leaves them.
    ///
    /// # Errors
    ///
    /// As [`alloc_aligned`](Self::alloc_aligned).
    pub fn alloc_dirty_aligned(
        &mut self,
        size: usize,
        align: usize,
    ) -> Result<BlockId, BinnedError> {
        self.alloc_for(size, align, false)
    }

    /// Allocates without the fast path.
    pub(crate) fn alloc_for(
        &mut self,
        size: usize,
        align: usize,
        zeroed: bool,
    ) -> Result<BlockId, BinnedError> {
        let (id, clean) = self.alloc_slow(size, align, zeroed)?;
        if zeroed && !clean {
            self.zero(id);
        }
        Ok(id)
    }

    /// Allocates the block of the class that was freed last, if there is one and the journal can record it.
    #[inline]
    fn reuse(&mut self, size: usize, zeroed: bool) -> Option<BlockId> {
        let class = self.classes.class_of(size)?;
        let list = &mut self.numbers.bins[class].free;
        let index = list.head;
        // The end of the list is no record.
        let record = self.store.record_mut(index)?;
        let id = BlockId::of_live(index, record.generation + 1);
        self.journal.sink_mut().allocated(size as u32, 0, zeroed, id).ok()?;
        list.head = record.tag;
        list.len -= 1;
        record.generation = id.generation();
        record.tag = class as u32;
        record.len = size as u32;
        self.numbers.alloc_count += 1;
        Some(id)
    }

    /// Takes a block back: the next one of its class that is asked for is this one. *O*(1); *O*(log
    /// free runs) for a block of more than 64 KiB.
    ///
    /// # Errors
    ///
    /// [`BinnedError::AlreadyFreed`], [`BinnedError::Stale`], [`BinnedError::Forged`] or
    /// [`BinnedError::UnknownIndex`] for an id that names no live block; with a log,
    /// [`BinnedError::OutOfMemory`]. Nothing has changed.
    #[inline]
    pub fn free(&mut self, id: BlockId) -> Result<(), BinnedError> {
        let Some(record) = self.store.record_mut(id.index()) else {
            return Err(self.refusal(id));
        };
        // The generation of an id is odd, that of a dead record even.
        if record.generation != id.generation() {
            return Err(self.refusal(id));
        }
        self.journal.sink_mut().freed(id).map_err(|bytes| BinnedError::OutOfMemory { bytes })?;
        let class = record.class() as usize;
        record.generation += 1;
        if class < self.numbers.bins.len() && record.generation != GENERATION_LAST {
            let list = &mut self.numbers.bins[class].free;
            record.tag = list.head;
            list.head = id.index();
            list.len += 1;
        } else {
            self.free_slow(id, class as u32);
        }
        self.numbers.free_count += 1;
        Ok(())
    }

    pub(crate) fn journal(&self) -> &J {
        &self.journal
    }

    #[cfg(feature = "alloc")]
    pub(crate) fn journal_mut(&mut self) -> &mut J {
        &mut self.journal
    }
}

impl<A: Allocator, J: Tracked> BlockAllocator<A, J> {
    /// Returns a number that follows from the operations so far and their outcomes, on every platform the
    /// same. *O*(1).
    ///
    /// It covers each operation that succeeded: sizes, alignments, ids, chunks and offsets, and the bytes of
    /// each [`write_at`](Self::write_at) and [`update`](Self::update). Allocators with equal fingerprints have
    /// done the same, but for collisions: one in 2⁶⁴ by chance, and easy to construct on purpose.
    #[inline]
    pub fn fingerprint(&self) -> u64 {
        self.journal().fingerprint()
    }
}

impl<A: Allocator + Clone, J: Journal> BlockAllocator<A, J> {
    /// Returns a copy that goes on as this allocator does: with the same ids, places, bytes and, where there
    /// is one, the same fingerprint and log. Its memory comes from a clone of the source. *O*(indices +
    /// bytes).
    ///
    /// # Errors
    ///
    /// [`BinnedError::OutOfMemory`].
    pub fn try_clone(&self) -> Result<Self, BinnedError> {
        let no_memory = |bytes| BinnedError::OutOfMemory { bytes };
        let source = self.store.source().clone();
        Ok(Self {
            classes: self.classes,
            numbers: self.numbers,
            journal: self.journal.try_clone().map_err(no_memory)?,
            store: self.store.try_clone(self.numbers.record_count, source).map_err(no_memory)?,
            config: self.config,
        })
    }
}

/// As [`try_clone`](BlockAllocator::try_clone); panics where that returns an error.
impl<A: Allocator + Clone, J: Journal> Clone for BlockAllocator<A, J> {
    fn clone(&self) -> Self {
        match self.try_clone() {
            Ok(clone) => clone,
            Err(error) => panic!("an allocator was not cloned: {error}"),
        }
    }
}

#[cfg(feature = "alloc")]
impl<J: Journal> Default for BlockAllocator<Global, J> {
    fn default() -> Self {
        Self::new_in(Config::new(), Global)
    }
}

impl<A: Allocator, J: Journal> fmt::Debug for BlockAllocator<A, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockAllocator")
            .field("config", &self.config)
            .field("live_count", &self.live_count())
            .field("free_block_count", &self.free_block_count())
            .field("storage_bytes", &self.storage_bytes())
            .finish_non_exhaustive()
    }
}

const _: () = assert!(CLASS_COUNT_MAX < OVERFLOW as usize && GRANULE_BYTES == 16);
