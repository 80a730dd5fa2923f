//! A buffer: its memory, how much of it is visible, and how much of it is not zero.

use std::sync::Arc;

use crate::block::Block;
use crate::changes::{Changes, Undo};
use crate::key::Key;
use crate::magazine::Linked;
use crate::sync::AtomicUsize;

/// Up to so many bytes are zeroed without a call.
const SHORT_BYTES: usize = 128;

/// The pool of a buffer, as far as the buffer knows it.
pub trait Pool {
    /// Subtracts a freed buffer from the bytes that the pool holds.
    fn subtract_held(&self, capacity: usize);
}

/// Memory and its header. The header has cache lines for itself, so that two threads with a buffer each do not share
/// one.
///
/// # Invariants
///
/// - **Z1 (zero)**: the bytes from [`dirty`](Self::dirty) to the capacity are zero.
/// - **Z2 (length)**: if the length is less than the capacity, `changes` says so.
#[derive(Debug)]
#[repr(align(64))]
pub struct Buffer<P: Pool> {
    next: Option<Box<Self>>,
    key: Key,
    changes: Changes,
    block: Block,
    /// The block's index in its arena.
    arena_index: Option<u16>,
    /// While the buffer is shared: the number of its owners.
    pub owners: AtomicUsize,
    /// Its number in the leak tracker.
    pub ticket: u64,
    pub pool: Arc<P>,
}

impl<P: Pool> Linked for Buffer<P> {
    #[inline(always)]
    fn link(&mut self) -> &mut Option<Box<Self>> {
        &mut self.next
    }
}

impl<P: Pool> Buffer<P> {
    /// Returns a buffer of a block of zeroes, all of it visible. The caller adds it to the bytes that the pool holds.
    pub fn new(pool: &Arc<P>, key: Key, block: Block) -> Box<Self> {
        Box::new(Self {
            next: None,
            key,
            changes: Changes::NONE,
            arena_index: block.arena_index(),
            block,
            owners: AtomicUsize::new(0),
            ticket: 0,
            pool: Arc::clone(pool),
        })
    }

    /// Returns the index of the buffer in the pool's arena, if it lies in it.
    #[inline(always)]
    pub fn arena_index(&self) -> Option<u16> {
        self.arena_index
    }

    /// Returns pool and class, with the flag if a release must take the slow path.
    #[inline(always)]
    pub fn key(&self) -> Key {
        self.key
    }

    #[inline(always)]
    pub fn len(&self) -> usize {
        self.block.len()
    }

    #[inline(always)]
    pub fn capacity(&self) -> usize {
        self.block.capacity()
    }

    pub fn alignment(&self) -> usize {
        self.block.alignment()
    }

    #[inline(always)]
    pub fn as_slice(&self) -> &[u8] {
        self.block.visible()
    }

    // Writing. Each method marks as dirty what its caller may write.

    /// Returns the visible bytes.
    #[inline(always)]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.mark_dirty(self.len());
        self.block.visible_mut()
    }

    /// Returns some of the visible bytes; `None` if they are not all visible.
    #[inline(always)]
    pub fn visible_mut(&mut self, start: usize, end: usize) -> Option<&mut [u8]> {
        // Nothing is written to an empty range.
        let marked = if start < end { end } else { 0 };
        self.block.visible_mut().get(start..end)?;
        self.mark_dirty(marked);
        self.block.visible_mut().get_mut(start..end)
    }

    /// Returns some of the bytes, visible or not.
    pub fn range_mut(&mut self, start: usize, end: usize) -> &mut [u8] {
        assert!(end <= self.capacity());
        self.mark_dirty(end);
        &mut self.block.all_mut()[start..end]
    }

    /// Writes behind the visible bytes, and makes what it wrote visible. There must be room.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) {
        let (start, end) = (self.len(), self.len() + bytes.len());
        self.range_mut(start, end).copy_from_slice(bytes);
        self.set_len(end);
    }

    /// Writes `value` to some of the bytes. Zeroes in the zero part leave it clean.
    pub fn fill(&mut self, start: usize, end: usize, value: u8) {
        if value == 0 {
            let end = end.min(self.dirty());
            if start < end {
                self.block.all_mut()[start..end].fill(0);
            }
        } else {
            self.range_mut(start, end).fill(value);
        }
    }

    #[cfg(feature = "bytes")]
    pub fn start(&mut self) -> std::ptr::NonNull<u8> {
        self.block.start()
    }

    /// Returns the address of the first byte, for readers.
    #[inline(always)]
    pub fn address(&self) -> std::ptr::NonNull<u8> {
        self.block.address()
    }

    #[inline(always)]
    pub fn set_len(&mut self, len: usize) {
        self.block.set_len(len);
        self.changes.mark_resized();
    }

    #[inline(always)]
    pub fn mark_dirty(&mut self, end: usize) {
        self.changes.mark_dirty(end);
    }

    /// Returns how many of the first bytes may be other than zero.
    #[inline(always)]
    pub fn dirty(&self) -> usize {
        self.changes.dirty()
    }

    // Zeroing, and undoing changes.

    /// Returns whether [`Buffer::undo`] has anything to do.
    #[inline(always)]
    pub fn needs(&self, undo: Undo) -> bool {
        self.changes.need(undo)
    }

    /// Makes all bytes visible, and zero if `undo` says so.
    // The box goes through by value: with a reference, the caller would have to drop the box if this panicked.
    #[inline(always)]
    pub fn undo(mut self: Box<Self>, undo: Undo) -> Box<Self> {
        if undo == Undo::LENGTH || !self.zero_short(self.dirty()) {
            return self.undo_slow(undo);
        }
        self.changes = Changes::NONE;
        self.block.set_len(self.capacity());
        self
    }

    #[inline(never)]
    fn undo_slow(mut self: Box<Self>, undo: Undo) -> Box<Self> {
        self.block.set_len(self.capacity());
        self.changes.mark_whole();
        if undo == Undo::ALL {
            self.zero_long(self.dirty());
            self.changes.mark_clean();
        }
        self
    }

    /// Zeroes the first `len` bytes. Writes to the dirty ones, and to few others.
    #[inline]
    pub fn zero(&mut self, len: usize) {
        let end = self.dirty().min(len);
        if !self.zero_short(end) {
            self.zero_long(end);
        }
        if end == self.dirty() {
            self.changes.mark_clean();
        }
    }

    /// Zeroes all bytes, also if no code reads them again.
    pub fn wipe(&mut self) {
        self.zero(self.capacity());
        // The optimiser must assume that the memory is read here.
        std::hint::black_box(self.block.all_mut());
    }

    /// Zeroes at least the first `end` bytes by a few wide stores. Returns `false`, having done nothing, if there are too many,
    /// or the buffer is shorter than these stores.
    #[inline(always)]
    fn zero_short(&mut self, end: usize) -> bool {
        match self.block.all_mut().first_chunk_mut() {
            Some(prefix) if end <= SHORT_BYTES => *prefix = [0; SHORT_BYTES],
            _ => return false,
        }
        true
    }

    #[cold]
    #[inline(never)]
    fn zero_long(&mut self, end: usize) {
        let end = end.min(self.capacity());
        self.block.all_mut()[..end].fill(0);
    }
}

impl<P: Pool> Drop for Buffer<P> {
    fn drop(&mut self) {
        if self.arena_index.is_some() {
            self.wipe();
        }
        self.pool.subtract_held(self.capacity());
    }
}
