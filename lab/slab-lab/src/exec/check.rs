//! The checking pass: finds everything that an allocator does wrong with a block.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::ptr::NonNull;

use slab_traits::ByteAllocator;

use super::heap::resized;
use super::{Failure, Heap};
use crate::trace::{Op, Trace};

impl Heap<'_> {
    /// Replays a trace. Each block must be aligned, be inside the region, and overlap no live block.
    /// It is filled with a pattern, which must be unchanged when the block is resized or freed.
    /// Blocks that the program never freed are checked and freed at the end.
    ///
    /// # Errors
    ///
    /// The first [`Failure`].
    pub fn check(self, trace: &Trace) -> Result<(), Failure> {
        self.check_observed(trace, &mut |_, _| {})
    }

    /// As [`check`](Self::check), and passes the live blocks to `observe` after each operation.
    ///
    /// # Errors
    ///
    /// The first [`Failure`].
    pub fn check_observed(
        mut self,
        trace: &Trace,
        observe: &mut dyn FnMut(usize, LiveBlocks<'_>),
    ) -> Result<(), Failure> {
        let mut checker = Checker {
            heap: &mut *self.allocator,
            bounds: self.bounds.clone(),
            blocks: vec![None; trace.slots()],
            live: BTreeMap::new(),
            pattern: Vec::new(),
            operation: 0,
        };
        for (operation, op) in trace.ops().iter().enumerate() {
            checker.operation = operation;
            match *op {
                Op::Alloc { slot, layout } => checker.alloc(slot, layout),
                Op::AllocZeroed { slot, layout } => checker.alloc_zeroed(slot, layout),
                Op::Free { slot, layout } => checker.free(slot, layout),
                Op::Realloc { slot, layout, new_size } => checker.realloc(slot, layout, new_size),
            }?;
            observe(operation, LiveBlocks { live: &checker.live, blocks: &checker.blocks });
        }
        checker.operation = trace.ops().len();
        for slot in 0..trace.slots() {
            if let Some(block) = checker.blocks[slot] {
                checker.free(slot as u32, block.layout)?;
            }
        }
        Ok(())
    }
}

/// The live blocks at some moment.
#[derive(Clone, Copy)]
pub struct LiveBlocks<'c> {
    live: &'c BTreeMap<usize, usize>,
    blocks: &'c [Option<Block>],
}

/// A live block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveBlock {
    /// Its slot in the trace.
    pub slot: u32,
    /// Its address.
    pub start: usize,
    /// Its size.
    pub bytes: usize,
}

impl<'c> LiveBlocks<'c> {
    /// Returns first and past-the-end address of every block.
    pub fn by_address(self) -> &'c BTreeMap<usize, usize> {
        self.live
    }

    /// Returns the blocks in the order of their slots.
    pub fn by_slot(self) -> impl Iterator<Item = LiveBlock> + 'c {
        let blocks = (0..).zip(self.blocks);
        blocks.filter_map(|(slot, block)| {
            let Block { start, layout, .. } = block.as_ref()?;
            Some(LiveBlock { slot, start: start.addr().get(), bytes: layout.size() })
        })
    }
}

impl fmt::Debug for LiveBlocks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.live).finish()
    }
}

/// A live block that was checked and filled.
#[derive(Clone, Copy)]
struct Block {
    start: NonNull<u8>,
    layout: Layout,
    /// The operation that made it; its pattern is derived from this.
    id: usize,
}

struct Checker<'h> {
    heap: &'h mut dyn ByteAllocator,
    bounds: Option<Range<usize>>,
    blocks: Vec<Option<Block>>,
    /// First and past-the-end address of every live block.
    live: BTreeMap<usize, usize>,
    /// The pattern written or expected, as long as the longest block so far.
    pattern: Vec<u8>,
    operation: usize,
}

impl Checker<'_> {
    fn alloc(&mut self, slot: u32, layout: Layout) -> Result<(), Failure> {
        let start = self.heap.alloc(layout).map_err(|error| self.refused(layout, error))?;
        self.place(start, layout)?;
        self.fill(slot, start, layout);
        Ok(())
    }

    fn alloc_zeroed(&mut self, slot: u32, layout: Layout) -> Result<(), Failure> {
        let start = self.heap.alloc_zeroed(layout).map_err(|error| self.refused(layout, error))?;
        self.place(start, layout)?;
        // SAFETY: `place` found a block of this length inside the region, which is initialised, so
        // its bytes are readable even if the allocator has not zeroed them.
        let content = unsafe { std::slice::from_raw_parts(start.as_ptr(), layout.size()) };
        if let Some(offset) = content.iter().position(|&byte| byte != 0) {
            return Err(Failure::NotZeroed { operation: self.operation, offset });
        }
        self.fill(slot, start, layout);
        Ok(())
    }

    fn free(&mut self, slot: u32, layout: Layout) -> Result<(), Failure> {
        let block = self.take(slot)?;
        // SAFETY: by T2 the slot held a live block, and this is its layout.
        unsafe { self.heap.dealloc(block.start, layout) };
        Ok(())
    }

    fn realloc(&mut self, slot: u32, layout: Layout, new_size: usize) -> Result<(), Failure> {
        let old = self.take(slot)?;
        let new = resized(layout, new_size);
        // SAFETY: by T2 the slot held a live block, and this is its layout.
        let start = unsafe { self.heap.realloc(old.start, layout, new_size) };
        let start = start.map_err(|error| self.refused(new, error))?;
        self.place(start, new)?;
        self.inspect(start, layout.size().min(new_size), old.id)?;
        self.fill(slot, start, new);
        Ok(())
    }

    /// Checks the address of a block, before anything is read or written there.
    fn place(&mut self, start: NonNull<u8>, layout: Layout) -> Result<(), Failure> {
        let operation = self.operation;
        let first = start.addr().get();
        // An empty block also has its own address.
        let end = first.checked_add(layout.size().max(1)).ok_or(Failure::Outside { operation })?;
        if !first.is_multiple_of(layout.align()) {
            return Err(Failure::Misaligned { operation, align: layout.align() });
        }
        if self.bounds.as_ref().is_some_and(|bounds| first < bounds.start || end > bounds.end) {
            return Err(Failure::Outside { operation });
        }
        let before = self.live.range(..end).next_back();
        if before.is_some_and(|(_, &other_end)| other_end > first) {
            return Err(Failure::Overlap { operation });
        }
        self.live.insert(first, end);
        Ok(())
    }

    /// Writes a block's pattern and remembers the block.
    fn fill(&mut self, slot: u32, start: NonNull<u8>, layout: Layout) {
        let id = self.operation;
        self.make_pattern(layout.size(), id);
        // SAFETY: `place` checked the block, and the pattern is at least as long.
        unsafe { start.copy_from_nonoverlapping(pointer(&self.pattern), layout.size()) };
        self.blocks[slot as usize] = Some(Block { start, layout, id });
    }

    /// Takes a block out of its slot and inspects its content.
    fn take(&mut self, slot: u32) -> Result<Block, Failure> {
        let block = self.blocks[slot as usize].take().expect("T2: the slot holds a block");
        self.inspect(block.start, block.layout.size(), block.id)?;
        self.live.remove(&block.start.addr().get());
        Ok(block)
    }

    fn inspect(&mut self, start: NonNull<u8>, bytes: usize, id: usize) -> Result<(), Failure> {
        self.make_pattern(bytes, id);
        // SAFETY: `place` checked the block, it is at least this long, and `fill` initialised it.
        let content = unsafe { std::slice::from_raw_parts(start.as_ptr(), bytes) };
        if content == &self.pattern[..bytes] {
            return Ok(());
        }
        let offset = content.iter().zip(&self.pattern).position(|(found, wrote)| found != wrote);
        Err(Failure::Overwritten { operation: self.operation, offset: offset.unwrap_or(0) })
    }

    /// Writes the pattern of block `id` to the first `bytes` of `self.pattern`. No two blocks, and no
    /// two places in one block, have the same word.
    fn make_pattern(&mut self, bytes: usize, id: usize) {
        let words = bytes.div_ceil(8);
        if self.pattern.len() < words * 8 {
            self.pattern.resize(words * 8, 0);
        }
        let mut word = (id as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for place in self.pattern.chunks_exact_mut(8).take(words) {
            place.copy_from_slice(&word.to_le_bytes());
            word = word.wrapping_add(0x0101_0101_0101_0101 ^ id as u64);
        }
    }

    fn refused(&self, layout: Layout, error: slab_traits::AllocError) -> Failure {
        Failure::Refused { operation: self.operation, layout, error }
    }
}

fn pointer(bytes: &[u8]) -> NonNull<u8> {
    NonNull::from(bytes).cast()
}
