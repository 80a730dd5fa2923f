//! A contender on a region, and the timed replay.

use std::alloc::Layout;
use std::ops::Range;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use slab_peers::{Contender, Side};
use slab_traits::{AllocError, ByteAllocator};

use super::{Failure, Idle, Region};
use crate::trace::{Op, Trace};

/// An allocator on which one trace runs once.
pub struct Heap<'r> {
    pub(super) allocator: Box<dyn ByteAllocator + 'r>,
    /// The addresses of the region; `None` if blocks come from the system.
    pub(super) bounds: Option<Range<usize>>,
}

impl<'r> Heap<'r> {
    /// Builds a contender on the first `size` bytes of a region.
    ///
    /// # Errors
    ///
    /// [`Failure::RegionRefused`].
    pub fn new(
        contender: &Contender,
        region: &'r mut Region,
        size: usize,
    ) -> Result<Self, Failure> {
        let memory = region.first(size);
        // SAFETY: the heap borrows the region for as long as it exists, and no block outlives it.
        let allocator = unsafe { contender.build(memory) }?;
        let start = memory.addr().get();
        let bounds = (contender.side() != Side::Reference).then(|| start..start + memory.len());
        Ok(Self { allocator, bounds })
    }

    /// Makes the heap that does nothing, for the cost of the harness.
    pub fn idle(idle: &'r Idle<'_>) -> Self {
        Self { allocator: Box::new(idle.allocator()), bounds: None }
    }

    /// Returns the bytes of the allocator's own value, outside the region.
    pub fn value_bytes(&self) -> usize {
        size_of_val(&*self.allocator)
    }

    /// Returns the addresses of the region; `None` if blocks come from the system.
    pub fn bounds(&self) -> Option<Range<usize>> {
        self.bounds.clone()
    }

    /// Replays a trace and returns the time of its requests. Blocks that the program never freed are
    /// freed afterwards, untimed.
    ///
    /// # Errors
    ///
    /// [`Failure::Refused`].
    pub fn run(mut self, trace: &Trace) -> Result<Duration, Failure> {
        let mut blocks = vec![NonNull::dangling(); trace.slots()];
        let start = Instant::now();
        let outcome = counted_requests(&mut *self.allocator, trace, &mut blocks);
        let took = start.elapsed();
        outcome.map_err(|(operation, layout, error)| Failure::Refused {
            operation,
            layout,
            error,
        })?;
        for (slot, layout) in left_behind(trace) {
            // SAFETY: the trace does not free this block, and by T2 this is its last layout.
            unsafe { self.allocator.dealloc(blocks[slot as usize], layout) };
        }
        Ok(took)
    }
}

/// A request that an allocator refused, and the error.
type Refusal = (usize, Layout, AllocError);

/// The timed loop: every request of the trace, and one byte written into each new block that is not
/// empty.
///
/// The two common requests each have a separate branch and call, and the others are out of line:
/// compilers otherwise merge all of them into one indirect call, which no processor predicts. callgrind
/// finds the loop by its name.
#[inline(never)]
fn counted_requests(
    heap: &mut dyn ByteAllocator,
    trace: &Trace,
    blocks: &mut [NonNull<u8>],
) -> Result<(), Refusal> {
    for (index, op) in trace.ops().iter().enumerate() {
        match *op {
            Op::Alloc { slot, layout } => {
                let block = heap.alloc(layout).map_err(|error| (index, layout, error))?;
                keep(blocks, slot, block, layout.size());
            }
            Op::Free { slot, layout } => {
                // SAFETY: by T2 the slot holds a live block with this layout.
                unsafe { heap.dealloc(blocks[slot as usize], layout) };
            }
            _ => rare_request(heap, index, op, blocks)?,
        }
    }
    Ok(())
}

#[inline(never)]
fn rare_request(
    heap: &mut dyn ByteAllocator,
    index: usize,
    op: &Op,
    blocks: &mut [NonNull<u8>],
) -> Result<(), Refusal> {
    match *op {
        Op::AllocZeroed { slot, layout } => {
            let block = heap.alloc_zeroed(layout).map_err(|error| (index, layout, error))?;
            keep(blocks, slot, block, layout.size());
        }
        Op::Realloc { slot, layout, new_size } => {
            let old = blocks[slot as usize];
            // SAFETY: by T2 the slot holds a live block with this layout.
            let block = unsafe { heap.realloc(old, layout, new_size) };
            let refused = |error| (index, resized(layout, new_size), error);
            keep(blocks, slot, block.map_err(refused)?, new_size);
        }
        Op::Alloc { .. } | Op::Free { .. } => {}
    }
    Ok(())
}

#[inline]
fn keep(blocks: &mut [NonNull<u8>], slot: u32, block: NonNull<u8>, size: usize) {
    if size != 0 {
        // SAFETY: the block has just been made, with at least this one byte.
        unsafe { block.write(slot as u8) };
    }
    blocks[slot as usize] = block;
}

/// Returns the slots that are still occupied when the trace ends, with their blocks' layouts.
fn left_behind(trace: &Trace) -> impl Iterator<Item = (u32, Layout)> {
    let mut last: Vec<Option<Layout>> = vec![None; trace.slots()];
    for op in trace.ops() {
        match *op {
            Op::Alloc { slot, layout } | Op::AllocZeroed { slot, layout } => {
                last[slot as usize] = Some(layout);
            }
            Op::Free { slot, .. } => last[slot as usize] = None,
            Op::Realloc { slot, layout, new_size } => {
                last[slot as usize] = Some(resized(layout, new_size));
            }
        }
    }
    (0..).zip(last).filter_map(|(slot, layout)| Some((slot, layout?)))
}

/// Returns the layout of a block after a realloc.
pub(super) fn resized(layout: Layout, new_size: usize) -> Layout {
    Layout::from_size_align(new_size, layout.align()).expect("T3: a trace's sizes make layouts")
}
