//! Reading and writing blocks, and the errors for ids that name no live block.

use allocator_api2::alloc::Allocator;

use crate::allocator::BlockAllocator;
use crate::classes::PAGE_BYTES;
use crate::error::BinnedError;
use crate::id::BlockId;
use crate::journal::sealed::Sink;
use crate::journal::{Journal, Untracked};
use crate::record::{OVERFLOW, Record};

impl<A: Allocator, J: Journal> BlockAllocator<A, J> {
    /// Returns the bytes of a live block, as many as were requested, or `None` if the id names no live
    /// block: [`try_get`](Self::try_get) says why. *O*(1).
    #[inline]
    pub fn get(&self, id: BlockId) -> Option<&[u8]> {
        let record = self.live(id)?;
        self.store.chunks().bytes_at(record.chunk, record.visible_offset(), record.len as usize)
    }

    /// As [`get`](Self::get), with the reason for a refusal.
    ///
    /// # Errors
    ///
    /// As [`free`](Self::free).
    #[inline]
    pub fn try_get(&self, id: BlockId) -> Result<&[u8], BinnedError> {
        self.get(id).ok_or_else(|| self.refusal(id))
    }

    /// Writes bytes to the start of a live block. *O*(length).
    ///
    /// # Errors
    ///
    /// As [`write_at`](Self::write_at).
    pub fn write(&mut self, id: BlockId, bytes: &[u8]) -> Result<(), BinnedError> {
        self.write_at(id, 0, bytes)
    }

    /// Writes bytes into a live block, from `offset` on. The journal records the write. *O*(length).
    ///
    /// # Errors
    ///
    /// [`BinnedError::WriteTooLong`] if the bytes reach beyond those that were requested, and as
    /// [`free`](Self::free). Nothing is written then.
    ///
    /// # Examples
    ///
    /// ```
    /// # let mut blocks = slab_binned::LoggedAllocator::new();
    /// let id = blocks.alloc(8)?;
    /// blocks.write_at(id, 2, b"abc")?;
    /// assert_eq!(blocks.get(id), Some(&b"\0\0abc\0\0\0"[..]));
    /// assert!(blocks.write_at(id, 6, b"abc").is_err());
    /// # Ok::<(), slab_binned::BinnedError>(())
    /// ```
    pub fn write_at(
        &mut self,
        id: BlockId,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), BinnedError> {
        let record = *self.try_live(id)?;
        let block_len = record.len as usize;
        if offset > block_len || bytes.len() > block_len - offset {
            let (len, index, generation) = (bytes.len(), id.index(), id.generation());
            return Err(BinnedError::WriteTooLong { len, offset, block_len, index, generation });
        }
        self.reserve_write(bytes.len())?;
        let start = record.visible_offset() + offset;
        let place = self.store.chunks_mut().bytes_at_mut(record.chunk, start, bytes.len());
        if let Some(place) = place {
            place.copy_from_slice(bytes);
        }
        self.journal.sink_mut().wrote(id, offset as u32, bytes);
        Ok(())
    }

    /// Calls `change` with the bytes of a live block, and records the whole block as one write, also if
    /// `change` panics. *O*(length). To change a part of a large block, use
    /// [`write_at`](Self::write_at).
    ///
    /// # Errors
    ///
    /// As [`free`](Self::free). `change` is not called then.
    ///
    /// # Examples
    ///
    /// ```
    /// # let mut blocks = slab_binned::LoggedAllocator::new();
    /// let id = blocks.alloc(3)?;
    /// let sum = blocks.update(id, |bytes| {
    ///     bytes[1] = 7;
    ///     bytes.iter().sum::<u8>()
    /// })?;
    /// assert_eq!((sum, blocks.log().to_string().contains("write 0:1 000700")), (7, true));
    /// # Ok::<(), slab_binned::BinnedError>(())
    /// ```
    pub fn update<R>(
        &mut self,
        id: BlockId,
        change: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R, BinnedError> {
        /// Records the write when it is dropped, so that a panic of the closure loses nothing.
        struct Recorded<'a, A: Allocator, J: Journal>(&'a mut BlockAllocator<A, J>, BlockId);

        impl<A: Allocator, J: Journal> Drop for Recorded<'_, A, J> {
            fn drop(&mut self) {
                let Self(blocks, id) = self;
                let Some(record) = blocks.store.record(id.index()) else { return };
                let (offset, len) = (record.visible_offset(), record.len as usize);
                let bytes = blocks.store.chunks().bytes_at(record.chunk, offset, len);
                blocks.journal.sink_mut().wrote(*id, 0, bytes.unwrap_or_default());
            }
        }

        let len = self.try_get(id)?.len();
        self.reserve_write(len)?;
        let recorded = Recorded(self, id);
        Ok(change(recorded.0.bytes_mut(id).unwrap_or_default()))
    }

    /// Makes sure that the journal can record a write.
    fn reserve_write(&mut self, len: usize) -> Result<(), BinnedError> {
        if J::Sink::ON {
            // At least one byte: the offset of an empty write takes room too.
            let room = self.journal.sink_mut().reserve(len.max(1));
            room.map_err(|bytes| BinnedError::OutOfMemory { bytes })?;
        }
        Ok(())
    }

    /// Returns whether an id names a live block. *O*(1).
    #[inline]
    pub fn contains(&self, id: BlockId) -> bool {
        self.live(id).is_some()
    }

    /// Returns the bytes from a live block's first visible one to its end: at least as many as
    /// [`get`](Self::get) shows. *O*(1).
    ///
    /// # Errors
    ///
    /// As [`free`](Self::free).
    pub fn usable_size(&self, id: BlockId) -> Result<usize, BinnedError> {
        let record = self.try_live(id)?;
        let block_bytes = match record.class() {
            OVERFLOW => record.overflow_pages() as usize * PAGE_BYTES,
            class => self.classes.bytes(class as usize) as usize,
        };
        Ok(block_bytes - record.pad_bytes())
    }

    /// Returns where a live block lies: its chunk, and the offset of its first visible byte there.
    /// Part of the determinism contract, as an address is not. *O*(1).
    ///
    /// # Errors
    ///
    /// As [`free`](Self::free).
    pub fn locate(&self, id: BlockId) -> Result<(usize, usize), BinnedError> {
        let record = self.try_live(id)?;
        Ok((record.chunk as usize, record.visible_offset()))
    }

    #[inline]
    fn live(&self, id: BlockId) -> Option<&Record> {
        self.store.record(id.index()).filter(|record| record.generation == id.generation())
    }

    /// As `live`, with the reason for a refusal.
    fn try_live(&self, id: BlockId) -> Result<&Record, BinnedError> {
        self.live(id).ok_or_else(|| self.refusal(id))
    }

    /// Returns the bytes of a live block to be changed. The journal is not told.
    #[inline]
    fn bytes_mut(&mut self, id: BlockId) -> Option<&mut [u8]> {
        let record = *self.live(id)?;
        let (offset, len) = (record.visible_offset(), record.len as usize);
        self.store.chunks_mut().bytes_at_mut(record.chunk, offset, len)
    }

    /// Says what is wrong with an id that names no live block.
    #[cold]
    pub(crate) fn refusal(&self, id: BlockId) -> BinnedError {
        let (index, generation) = (id.index(), id.generation());
        let count = self.numbers.record_count;
        let record = self.store.record(index).filter(|_| index < count);
        let Some(current) = record.map(|record| record.generation) else {
            return BinnedError::UnknownIndex { index, count };
        };
        if current == generation.wrapping_add(1) {
            BinnedError::AlreadyFreed { index, generation }
        } else if generation < current {
            BinnedError::Stale { index, generation, current }
        } else {
            BinnedError::Forged { index, generation, current }
        }
    }

    /// Makes the visible bytes of a live block zero.
    #[inline]
    pub(crate) fn zero(&mut self, id: BlockId) {
        if let Some(bytes) = self.bytes_mut(id) {
            bytes.fill(0);
        }
    }
}

/// Direct writes, which no journal could record. An allocator with a fingerprint or a log has
/// [`write_at`](BlockAllocator::write_at) and [`update`](BlockAllocator::update).
impl<A: Allocator> BlockAllocator<A, Untracked> {
    /// Returns the bytes of a live block to be changed, or `None` if the id names no live block. *O*(1).
    #[inline]
    pub fn get_mut(&mut self, id: BlockId) -> Option<&mut [u8]> {
        self.bytes_mut(id)
    }

    /// As [`get_mut`](Self::get_mut), with the reason for a refusal.
    ///
    /// # Errors
    ///
    /// As [`free`](Self::free).
    pub fn try_get_mut(&mut self, id: BlockId) -> Result<&mut [u8], BinnedError> {
        if !self.contains(id) {
            return Err(self.refusal(id));
        }
        let count = self.numbers.record_count;
        // A live record lies in its chunk.
        self.bytes_mut(id).ok_or(BinnedError::UnknownIndex { index: id.index(), count })
    }
}
