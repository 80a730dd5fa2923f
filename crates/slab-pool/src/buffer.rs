//! A buffer: its memory, how much of it is visible, and how much of it is not zero.

use std::sync::Arc;

use crate::core::Core;
use crate::magazine::Linked;
use crate::raw::Block;
use crate::sync::AtomicUsize;

/// In a key: something is to be done on release that the hot path does not do.
const ATTENTION: u64 = 0x80;
/// In a key: the length is not the capacity.
const RESIZED: u64 = 0x40;
/// The class of a buffer that is not kept.
pub const NO_CLASS: u8 = 0x3f;
/// Bits of a key below the pool's id.
const CLASS_BITS: u32 = 8;

/// Returns the key of a pool's class: the id, and below it the class and two flags. A key without its pool's
/// base is a shelf of a thread cache, or beyond all shelves if the pool is another one or there is anything to
/// do: one comparison asks both.
#[inline(always)]
pub const fn key(pool: u64, class: u8) -> u64 {
    base(pool) | class as u64
}

/// Returns what the keys of a pool have in common; not zero, as no id is.
#[inline(always)]
pub const fn base(pool: u64) -> u64 {
    pool << CLASS_BITS
}

/// What a handle points to.
///
/// # Invariants
///
/// - **Z1 (zero)**: the bytes from `dirty` to the capacity are zero.
/// - **Z2 (length)**: `len` is at most the capacity; if it is less, `key` says so.
#[derive(Debug)]
pub struct Buffer {
    next: Option<Box<Self>>,
    /// See [`key`].
    key: u64,
    len: usize,
    dirty: usize,
    block: Block,
    /// How many share it, while it is shared.
    pub owners: AtomicUsize,
    /// What the leak tracker calls it.
    pub ticket: u64,
    pub core: Arc<Core>,
}

impl Linked for Buffer {
    #[inline(always)]
    fn link(&mut self) -> &mut Option<Box<Self>> {
        &mut self.next
    }
}

impl Buffer {
    /// Returns a buffer of zeroes, as long as its memory, or `None` if there is no memory.
    pub fn new(core: &Arc<Core>, class: u8, bytes: usize, attention: bool) -> Option<Box<Self>> {
        let block = Block::zeroed(bytes, core.config.alignment)?;
        Some(Box::new(Self {
            next: None,
            key: key(core.id, class) | if attention { ATTENTION } else { 0 },
            len: block.bytes(),
            dirty: 0,
            block,
            owners: AtomicUsize::new(0),
            ticket: 0,
            core: Arc::clone(core),
        }))
    }

    /// Returns its [`key`], whose flags are set if a release has more to do than to keep it.
    #[inline(always)]
    pub fn key(&self) -> u64 {
        self.key
    }

    /// Returns the class, if it is one that is kept.
    pub fn class(&self) -> Option<usize> {
        let class = self.key as u8 & NO_CLASS;
        (class != NO_CLASS).then_some(usize::from(class))
    }

    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    pub fn capacity(&self) -> usize {
        self.block.bytes()
    }

    pub fn alignment(&self) -> usize {
        self.block.alignment()
    }

    #[inline(always)]
    pub fn as_slice(&self) -> &[u8] {
        &self.block.as_slice()[..self.len]
    }

    /// Returns what is visible, and takes all of it for dirty from now on.
    #[inline(always)]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.mark_dirty(self.len);
        &mut self.block.as_mut_slice()[..self.len]
    }

    /// Returns some of the memory, visible or not, and takes it for dirty from now on.
    pub fn range_mut(&mut self, start: usize, end: usize) -> &mut [u8] {
        self.mark_dirty(end);
        &mut self.block.as_mut_slice()[start..end]
    }

    #[cfg(feature = "bytes")]
    pub fn start(&mut self) -> std::ptr::NonNull<u8> {
        self.block.start()
    }

    #[inline(always)]
    pub fn set_len(&mut self, len: usize) {
        debug_assert!(len <= self.capacity());
        self.len = len;
        if len == self.capacity() { self.key &= !RESIZED } else { self.key |= RESIZED }
    }

    /// Writes behind what is visible, which there must be room for, and makes it visible.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) {
        let (start, end) = (self.len, self.len + bytes.len());
        self.range_mut(start, end).copy_from_slice(bytes);
        self.set_len(end);
    }

    /// Writes `value` to a part of the memory. Zeroes written to what is zero leave it clean.
    pub fn fill(&mut self, start: usize, end: usize, value: u8) {
        if value == 0 {
            let end = end.min(self.dirty);
            if start < end {
                self.block.as_mut_slice()[start..end].fill(0);
            }
        } else {
            self.range_mut(start, end).fill(value);
        }
    }

    #[inline(always)]
    pub fn mark_dirty(&mut self, end: usize) {
        if self.dirty < end {
            self.dirty = end;
        }
    }

    /// Returns how many of the first bytes may be other than zero.
    #[inline(always)]
    pub fn dirty(&self) -> usize {
        self.dirty
    }

    /// Makes the first `len` bytes zero; writes to those that may not be.
    pub fn clean(&mut self, len: usize) {
        let end = self.dirty.min(len);
        self.block.as_mut_slice()[..end].fill(0);
        if end == self.dirty {
            self.dirty = 0;
        }
    }
}

impl Buffer {
    /// Makes everything zero, also if nobody is to read it again.
    pub fn wipe(&mut self) {
        self.clean(self.capacity());
        // Whoever might look keeps the optimiser from leaving the zeroes out.
        std::hint::black_box(self.block.as_slice());
    }
}
