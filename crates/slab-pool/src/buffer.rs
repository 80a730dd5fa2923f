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
/// In `used`: the length may be other than the capacity. The other bits say how far the memory is dirty.
const RESIZED: usize = 1;
const DIRTY_SHIFT: u32 = 1;

/// Up to so many bytes are cleared without a call.
const SHORT_BYTES: usize = 128;

/// Returns the key of a pool's class: the id, and below it the class and a flag. A key without its pool's base is a shelf of a thread cache, or beyond all shelves if the pool is another one or there is anything to
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

/// What makes a buffer unfit for an acquire as it is: bits of [`Buffer::is_fit`]'s word.
#[derive(Debug, Clone, Copy)]
pub struct Matters(usize);

impl Matters {
    /// A length other than the capacity, and dirty bytes.
    pub const ALL: Self = Self(usize::MAX);
    /// A length other than the capacity.
    pub const LENGTH: Self = Self(RESIZED);
}

/// What a handle points to.
///
/// # Invariants
///
/// - **Z1 (zero)**: the bytes from [`dirty`](Self::dirty) to the capacity are zero.
/// - **Z2 (length)**: `len` is at most the capacity; if it is less, `used` says so.
#[derive(Debug)]
pub struct Buffer {
    next: Option<Box<Self>>,
    /// See [`key`].
    key: u64,
    len: usize,
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
            len: block.bytes(),
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
    #[inline(always)]
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
        self.used |= RESIZED;
    }

    /// Returns whether the buffer is as it was made, as far as it matters.
    #[inline(always)]
    pub fn is_fit(&self, matters: Matters) -> bool {
        self.used & matters.0 == 0
    }

    /// Returns the buffer as it was made, as far as it matters.
    // By value: whoever keeps the buffer over a call has to provide for its end by a panic.
    #[inline(never)]
    pub fn renewed(mut self: Box<Self>, matters: Matters) -> Box<Self> {
        self.len = self.capacity();
        self.used &= !RESIZED;
        if !self.is_fit(matters) {
            self.zero(self.dirty());
        }
        self
    }

    /// Writes to the memory, visible or not, which is that long.
    #[inline(always)]
    pub fn write(&mut self, start: usize, bytes: &[u8]) {
        self.range_mut(start, start + bytes.len()).copy_from_slice(bytes);
    }

    /// Writes behind what is visible, which there must be room for, and makes it visible.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) {
        let (start, end) = (self.len, self.len + bytes.len());
        self.write(start, bytes);
        self.set_len(end);
    }

    /// Writes `value` to a part of the memory. Zeroes written to what is zero leave it clean.
    pub fn fill(&mut self, start: usize, end: usize, value: u8) {
        if value == 0 {
            let end = end.min(self.dirty());
            if start < end {
                self.block.as_mut_slice()[start..end].fill(0);
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
    #[inline(always)]
    pub fn clean(&mut self, len: usize) {
        self.zero(self.dirty().min(len));
    }

    /// Writes zeroes to the first `end` bytes at least. A short prefix takes a few wide stores, and no call.
    #[inline(always)]
    fn zero(&mut self, end: usize) {
        match self.block.as_mut_slice().first_chunk_mut::<SHORT_BYTES>() {
            Some(prefix) if end <= SHORT_BYTES => {
                *prefix = [0; SHORT_BYTES];
                self.note_clean(SHORT_BYTES);
            }
            _ => self.zero_long(end),
        }
    }

    #[cold]
    #[inline(never)]
    fn zero_long(&mut self, end: usize) {
        if let Some(prefix) = self.block.as_mut_slice().get_mut(..end) {
            prefix.fill(0);
            self.note_clean(end);
        }
    }

    /// Keeps Z1 exact when the first `end` bytes are zero.
    #[inline(always)]
    fn note_clean(&mut self, end: usize) {
        if self.dirty() <= end {
            self.used &= RESIZED;
        }
    }

    /// Makes everything zero, also if nobody is to read it again.
    pub fn wipe(&mut self) {
        self.clean(self.capacity());
        // Whoever might look keeps the optimiser from leaving the zeroes out.
        std::hint::black_box(self.block.as_slice());
    }
}
