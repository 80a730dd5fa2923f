//! The allocator of blocks: making it, handing blocks out and taking them back.

use core::fmt;

use allocator_api2::alloc::Allocator;

use crate::bin::{Bin, List};
use crate::classes::{CLASS_COUNT_MAX, ClassMap, GRANULE_BYTES};
use crate::config::Config;
use crate::crumb::Crumb;
use crate::error::BinnedError;
use crate::id::BlockId;
use crate::journal::{Journal, Tracked, Untracked};
use crate::memory::Store;
use crate::record::{GENERATION_LAST, OVERFLOW};
use crate::space::Runs;
use slab_traits::Global;

/// Blocks of bytes behind ids, in size classes, whose every id, place, content and statistic follows
/// from the operations alone.
///
/// * `A` is where memory comes from.
/// * `J` is what is remembered of the operations: nothing, a fingerprint
///   ([`FingerprintedAllocator`]), or a log ([`LoggedAllocator`](crate::LoggedAllocator)).
///
/// Blocks never move and are never copied. Memory is acquired in chunks and kept until
/// [`trim`](Self::trim) is called or the allocator is dropped.
///
/// See the [crate documentation](crate) for what exactly is deterministic, and how it works.
///
/// # Examples
///
/// ```
/// use slab_binned::{BinnedAllocator, BinnedError};
///
/// let mut blocks = BinnedAllocator::new();
/// let id = blocks.alloc(11)?;
/// blocks.write(id, b"hello")?;
/// assert_eq!(blocks.get(id)?, b"hello\0\0\0\0\0\0");
///
/// blocks.free(id)?;
/// let next = blocks.alloc_dirty(16)?; // The block freed last, and so the same index.
/// assert_eq!(next.index(), id.index());
/// assert!(matches!(blocks.get(id), Err(BinnedError::Stale { generation: 1, current: 3, .. })));
/// # Ok::<(), BinnedError>(())
/// ```
pub struct BinnedAllocator<A: Allocator = Global, J: Journal = Untracked> {
    pub(crate) classes: &'static ClassMap,
    pub(crate) bins: [Bin; CLASS_COUNT_MAX],
    pub(crate) alloc_count: u64,
    pub(crate) free_count: u64,
    pub(crate) journal: J,
    pub(crate) store: Store<A>,
    pub(crate) runs: Runs,
    pub(crate) crumb: Crumb,
    /// Indices handed out so far.
    pub(crate) record_count: u32,
    /// Indices without a block, to be used again.
    pub(crate) spare: List,
    /// Indices that have had all their generations.
    pub(crate) retired: u32,
    pub(crate) config: Config,
    pub(crate) steps_max: u64,
}

/// An allocator with a [`fingerprint`](BinnedAllocator::fingerprint).
pub type FingerprintedAllocator<A = Global> = BinnedAllocator<A, crate::Fingerprinted>;

/// An allocator with a fingerprint and a [log](BinnedAllocator::log).
#[cfg(feature = "alloc")]
pub type LoggedAllocator<A = Global> = BinnedAllocator<A, crate::Logged>;

#[cfg(feature = "alloc")]
impl BinnedAllocator {
    /// Returns an empty allocator: the 13 standard classes, chunks of 256 KiB, no cap. No memory is
    /// acquired yet.
    pub const fn new() -> Self {
        Self::with_config(Config::new())
    }

    /// Returns an empty allocator with other size classes, chunks or a cap.
    pub const fn with_config(config: Config) -> Self {
        Self::assemble(config, Global, Untracked)
    }
}

#[cfg(feature = "alloc")]
impl<J: Journal> BinnedAllocator<Global, J> {
    /// As [`with_config`](BinnedAllocator::with_config), with a fingerprint or a log.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_binned::{Config, FingerprintedAllocator};
    ///
    /// let mut peers = [(); 2].map(|()| FingerprintedAllocator::tracked(Config::new()));
    /// for peer in &mut peers {
    ///     let id = peer.alloc(100)?;
    ///     peer.write(id, &[7; 100])?;
    /// }
    /// assert_eq!(peers[0].fingerprint(), peers[1].fingerprint());
    /// # Ok::<(), slab_binned::BinnedError>(())
    /// ```
    pub fn tracked(config: Config) -> Self {
        Self::new_in(config, Global)
    }
}

impl<A: Allocator, J: Journal> BinnedAllocator<A, J> {
    /// Returns an empty allocator over a memory source of the caller's.
    ///
    /// # Examples
    ///
    /// ```
    /// use bumpalo::Bump;
    /// use slab_binned::{BinnedAllocator, Config};
    ///
    /// let arena = Bump::new();
    /// arena.set_allocation_limit(Some(0));
    /// let mut blocks: BinnedAllocator<_> = BinnedAllocator::new_in(Config::new(), &arena);
    /// assert!(blocks.alloc(10).is_err());
    /// assert_eq!(blocks.alloc_count(), 0);
    /// ```
    pub fn new_in(config: Config, source: A) -> Self {
        let journal = J::start(&config, None);
        Self::assemble(config, source, journal)
    }

    pub(crate) const fn assemble(config: Config, source: A, journal: J) -> Self {
        Self {
            classes: config.classes.map(),
            bins: [Bin::EMPTY; CLASS_COUNT_MAX],
            alloc_count: 0,
            free_count: 0,
            journal,
            store: Store::new(source),
            runs: Runs::new(),
            crumb: Crumb::NONE,
            record_count: 0,
            spare: List::EMPTY,
            retired: 0,
            config,
            steps_max: 0,
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

    /// As [`alloc`](Self::alloc), but the bytes are what was there before: what earlier blocks wrote,
    /// or zero. They too follow from the operations.
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
    /// assert!(blocks.get(id)?.as_ptr().addr().is_multiple_of(256));
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

    /// Hands out the block of the class that was freed last, if there is one and it can be recorded.
    #[inline]
    fn reuse(&mut self, size: usize, zeroed: bool) -> Option<BlockId> {
        let class = self.classes.class_of(size)?;
        let list = &mut self.bins[class].free;
        let index = list.head;
        // The end of the list is no record.
        let record = self.store.record_mut(index)?;
        let id = BlockId::of_live(index, record.generation + 1);
        self.journal.allocated(size as u32, 0, zeroed, id).ok()?;
        list.head = record.tag;
        list.len -= 1;
        record.generation = id.generation();
        record.tag = class as u32;
        record.len = size as u32;
        self.alloc_count += 1;
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
        self.journal.freed(id).map_err(|bytes| BinnedError::OutOfMemory { bytes })?;
        let class = record.class() as usize;
        record.generation += 1;
        if class < self.bins.len() && record.generation != GENERATION_LAST {
            let list = &mut self.bins[class].free;
            record.tag = list.head;
            list.head = id.index();
            list.len += 1;
        } else {
            self.free_slow(id, class as u32);
        }
        self.free_count += 1;
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

impl<A: Allocator, J: Tracked> BinnedAllocator<A, J> {
    /// Returns a number that follows from the operations so far and what came of them, on every
    /// platform the same. *O*(1).
    ///
    /// It covers each operation that succeeded: sizes, alignments, ids, chunks and offsets, and the
    /// bytes of each [`write`](Self::write); not what is written through
    /// [`get_mut`](Self::get_mut). Allocators with equal fingerprints have done the same, but for
    /// collisions: one in 2⁶⁴ by chance, and easy to construct on purpose.
    #[inline]
    pub fn fingerprint(&self) -> u64 {
        self.journal().fingerprint()
    }
}

#[cfg(feature = "alloc")]
impl<J: Journal> Default for BinnedAllocator<Global, J> {
    fn default() -> Self {
        Self::tracked(Config::new())
    }
}

impl<A: Allocator, J: Journal> fmt::Debug for BinnedAllocator<A, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BinnedAllocator")
            .field("config", &self.config)
            .field("live_count", &self.live_count())
            .field("free_block_count", &self.free_block_count())
            .field("storage_bytes", &self.storage_bytes())
            .finish_non_exhaustive()
    }
}

const _: () = assert!(CLASS_COUNT_MAX < OVERFLOW as usize && GRANULE_BYTES == 16);
