//! Reading and writing blocks, and what is said about ids that name none.

use allocator_api2::alloc::Allocator;

use crate::allocator::BinnedAllocator;
use crate::classes::PAGE_BYTES;
use crate::error::BinnedError;
use crate::id::BlockId;
use crate::journal::Journal;
use crate::record::{OVERFLOW, Record};

impl<A: Allocator, J: Journal> BinnedAllocator<A, J> {
    /// Returns the bytes of a live block: as many as were asked for. *O*(1).
    ///
    /// # Errors
    ///
    /// As [`free`](Self::free).
    #[inline]
    pub fn get(&self, id: BlockId) -> Result<&[u8], BinnedError> {
        let record = self.live(id)?;
        let (offset, len) = (record.visible_offset(), record.len as usize);
        self.store.chunks().bytes_at(record.chunk, offset, len).ok_or_else(|| self.refusal(id))
    }

    /// Returns the bytes of a live block, to be changed. *O*(1).
    ///
    /// Neither the fingerprint nor the log knows what is written through it: where that matters, use
    /// [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// As [`free`](Self::free).
    #[inline]
    pub fn get_mut(&mut self, id: BlockId) -> Result<&mut [u8], BinnedError> {
        let record = *self.live(id)?;
        let (offset, len) = (record.visible_offset(), record.len as usize);
        let bytes = self.store.chunks_mut().bytes_at_mut(record.chunk, offset, len);
        // A live record lies in its chunk; `refusal` would say so with numbers.
        bytes.ok_or(BinnedError::UnknownIndex { index: id.index(), count: self.record_count })
    }

    /// Writes bytes to the start of a live block. *O*(length).
    ///
    /// # Errors
    ///
    /// [`BinnedError::WriteTooLong`] if they are more than the block shows, and as
    /// [`free`](Self::free). Nothing was written.
    pub fn write(&mut self, id: BlockId, bytes: &[u8]) -> Result<(), BinnedError> {
        let block_len = self.live(id)?.len as usize;
        if bytes.len() > block_len {
            let (index, generation) = (id.index(), id.generation());
            return Err(BinnedError::WriteTooLong {
                len: bytes.len(),
                block_len,
                index,
                generation,
            });
        }
        if J::ON {
            let room = self.journal.reserve(bytes.len());
            room.map_err(|bytes| BinnedError::OutOfMemory { bytes })?;
        }
        self.get_mut(id)?[..bytes.len()].copy_from_slice(bytes);
        self.journal.wrote(id, bytes);
        Ok(())
    }

    /// Returns whether an id names a live block. *O*(1).
    #[inline]
    pub fn contains(&self, id: BlockId) -> bool {
        self.live(id).is_ok()
    }

    /// Returns the bytes from a live block's first visible one to its end: at least as many as
    /// [`get`](Self::get) shows. *O*(1).
    ///
    /// # Errors
    ///
    /// As [`free`](Self::free).
    pub fn usable_size(&self, id: BlockId) -> Result<usize, BinnedError> {
        let record = self.live(id)?;
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
        let record = self.live(id)?;
        Ok((record.chunk as usize, record.visible_offset()))
    }

    #[inline]
    fn live(&self, id: BlockId) -> Result<&Record, BinnedError> {
        match self.store.record(id.index()) {
            Some(record) if record.generation == id.generation() => Ok(record),
            _ => Err(self.refusal(id)),
        }
    }

    /// Says what is wrong with an id that names no live block.
    #[cold]
    pub(crate) fn refusal(&self, id: BlockId) -> BinnedError {
        let (index, generation) = (id.index(), id.generation());
        let count = self.record_count;
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
        if let Ok(bytes) = self.get_mut(id) {
            bytes.fill(0);
        }
    }
}
