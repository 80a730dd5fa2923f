//! A buffer: its memory, how much of it is visible, and how much of it is not zero.

use std::sync::Arc;

use crate::core::Core;
use crate::magazine::Linked;
use crate::raw::Block;
use crate::sync::AtomicUsize;

/// In a key: something is to be done on release that the hot path does not do.
const ATTENTION: u64 = 0x80;
/// The class of a buffer that is not kept.
pub const NO_CLASS: u8 = 0x3f;
/// Bits of a key below the pool's id.
const CLASS_BITS: u32 = 8;
/// In `used`: the length may be other than the capacity. The bits above it say how far the memory is dirty.
const RESIZED: usize = 1;
const DIRTY_SHIFT: u32 = 1;
/// Up to so many bytes are cleared without a call.
const SHORT_BYTES: usize = 128;

/// Returns the key of a pool's class: the id, and below it the class and a flag. A key without its pool's base is a
/// shelf of a thread cache, or beyond all shelves if the pool is another one or there is anything to do: one
/// comparison asks both.
#[inline(always)]
pub const fn key(pool: u64, class: u8) -> u64 {
    base(pool) | class as u64
}

/// Returns what the keys of a pool have in common; not zero, as no id is.
#[inline(always)]
pub const fn base(pool: u64) -> u64 {
    pool << CLASS_BITS
}

/// What makes a buffer unfit for an acquire as it is: bits of [`Buffer::is_fit`]'s word.
#[derive(Debug, Clone, Copy)]
pub struct Matters(usize);

impl Matters {
    /// A length other than the capacity, and dirty bytes.
    pub const ALL: Self = Self(usize::MAX);
    /// A length other than the capacity.
    pub const LENGTH: Self = Self(RESIZED);
}

/// What a handle points to. In cache lines of its own, so that two threads with a buffer each do not share one.
///
/// # Invariants
///
/// - **Z1 (zero)**: the bytes from [`dirty`](Self::dirty) to the capacity are zero.
/// - **Z2 (length)**: if the length is less than the capacity, `used` says so.
#[derive(Debug)]
#[repr(align(64))]
pub struct Buffer {
    next: Option<Box<Self>>,
    /// See [`key`].
    key: u64,
    /// How many of the first bytes may be other than zero, and below it [`RESIZED`]. One look tells an acquire whether
    /// the buffer is fit as it is, so that no release has to make it so.
    used: usize,
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
            used: 0,
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
        self.block.len()
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
        self.block.visible()
    }

    /// Returns what is visible, and takes all of it for dirty from now on.
    #[inline(always)]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.mark_dirty(self.len());
        self.block.visible_mut()
    }

    /// Returns some of the visible bytes, which are dirty from now on; `None` if they are not all visible.
    #[inline(always)]
    pub fn visible_mut(&mut self, start: usize, end: usize) -> Option<&mut [u8]> {
        // Nothing is written to an empty range.
        let marked = if start < end { end } else { 0 };
        self.block.visible_mut().get(start..end)?;
        self.mark_dirty(marked);
        self.block.visible_mut().get_mut(start..end)
    }

    /// Returns some of the memory, visible or not, and takes it for dirty from now on.
    pub fn range_mut(&mut self, start: usize, end: usize) -> &mut [u8] {
        assert!(end <= self.capacity());
        self.mark_dirty(end);
        &mut self.block.all_mut()[start..end]
    }

    #[cfg(feature = "bytes")]
    pub fn start(&mut self) -> std::ptr::NonNull<u8> {
        self.block.start()
    }

    #[inline(always)]
    pub fn set_len(&mut self, len: usize) {
        self.block.set_len(len);
        self.used |= RESIZED;
    }

    /// Returns whether the buffer is as it was made, as far as it matters.
    #[inline(always)]
    pub fn is_fit(&self, matters: Matters) -> bool {
        self.used & matters.0 == 0
    }

    /// Returns the buffer as it was made, as far as it matters.
    #[inline(always)]
    pub fn renewed(mut self: Box<Self>, matters: Matters) -> Box<Self> {
        if matters.0 == RESIZED || !self.zero_short(self.dirty()) {
            return self.renewed_slow(matters);
        }
        self.used = 0;
        self.block.set_len(self.capacity());
        self
    }

    // By value: whoever keeps the buffer over a call has to provide for its end by a panic.
    #[inline(never)]
    fn renewed_slow(mut self: Box<Self>, matters: Matters) -> Box<Self> {
        self.block.set_len(self.capacity());
        if matters.0 == RESIZED {
            self.used &= !RESIZED;
        } else {
            self.zero_long(self.dirty());
            self.used = 0;
        }
        self
    }

    /// Writes behind what is visible, which there must be room for, and makes it visible.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) {
        let (start, end) = (self.len(), self.len() + bytes.len());
        self.range_mut(start, end).copy_from_slice(bytes);
        self.set_len(end);
    }

    /// Writes `value` to a part of the memory. Zeroes written to what is zero leave it clean.
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

    #[inline(always)]
    pub fn mark_dirty(&mut self, end: usize) {
        let used = end << DIRTY_SHIFT;
        if self.used < used {
            self.used = used | self.used & RESIZED;
        }
    }

    /// Returns how many of the first bytes may be other than zero.
    #[inline(always)]
    pub fn dirty(&self) -> usize {
        self.used >> DIRTY_SHIFT
    }

    /// Makes the first `len` bytes zero; writes to those that may not be, and to few others.
    #[inline]
    pub fn clean(&mut self, len: usize) {
        let end = self.dirty().min(len);
        if !self.zero_short(end) {
            self.zero_long(end);
        }
        if end == self.dirty() {
            self.used &= RESIZED;
        }
    }

    /// Writes zeroes to the first `end` bytes at least, by a few wide stores instead of a call; false if they are too many,
    /// or the buffer is shorter than those stores.
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

    /// Makes everything zero, also if nobody is to read it again.
    pub fn wipe(&mut self) {
        self.clean(self.capacity());
        // Whoever might look keeps the optimiser from leaving the zeroes out.
        std::hint::black_box(self.block.all_mut());
    }
}
