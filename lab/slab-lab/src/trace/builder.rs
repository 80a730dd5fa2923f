//! Builds every trace and establishes its invariants.

use std::alloc::Layout;

use super::{Context, Fault, Op, Run, Stacks, THREADS_MAX, Trace, Warnings};

/// The most requests of one trace. An [`Op`] takes 32 bytes, so this bounds a trace at 256 MiB.
pub const OPERATIONS_MAX: usize = 1 << 23;

/// The most blocks alive at one time.
pub const LIVE_BLOCKS_MAX: usize = 1 << 21;

/// The largest block. A larger size comes from a damaged file, not from a program.
pub const BLOCK_BYTES_MAX: usize = 1 << 40;

/// The largest alignment.
const ALIGN_MAX: u64 = 1 << 30;

/// Takes requests one by one and refuses those that would break an invariant of [`Trace`].
#[derive(Debug, Default)]
pub struct TraceBuilder {
    ops: Vec<Op>,
    /// The layout of the block in each slot; `None` for a vacant slot.
    blocks: Vec<Option<Layout>>,
    /// Vacant slots below `blocks.len()`; the newest is used first.
    vacant: Vec<u32>,
    live_bytes: usize,
    peak_live_bytes: usize,
    /// Thread and call stack of the next request.
    thread: u16,
    site: u32,
    context: Context,
}

/// Times nearer to each other than this are one.
const TIME_STEP_MICROSECONDS: u64 = 100;

impl TraceBuilder {
    /// Adds an allocation and returns its slot: the one vacated last, else a new one.
    ///
    /// # Errors
    ///
    /// [`Fault::LargeBlock`], [`Fault::Alignment`], [`Fault::ManyOperations`] or
    /// [`Fault::ManyBlocks`].
    pub fn alloc(&mut self, size: u64, align: u64, zeroed: bool) -> Result<u32, Fault> {
        let layout = checked_layout(size, align)?;
        let slot = match self.vacant.last() {
            Some(&slot) => slot,
            None if self.blocks.len() < LIVE_BLOCKS_MAX => self.blocks.len() as u32,
            None => return Err(Fault::ManyBlocks { limit: LIVE_BLOCKS_MAX }),
        };
        self.push(match zeroed {
            true => Op::AllocZeroed { slot, layout },
            false => Op::Alloc { slot, layout },
        })?;
        match self.vacant.pop() {
            Some(_) => self.blocks[slot as usize] = Some(layout),
            None => self.blocks.push(Some(layout)),
        }
        self.live_bytes += layout.size();
        self.peak_live_bytes = self.peak_live_bytes.max(self.live_bytes);
        Ok(slot)
    }

    /// Adds a free.
    ///
    /// # Errors
    ///
    /// [`Fault::VacantSlot`] or [`Fault::ManyOperations`].
    pub fn free(&mut self, slot: u64) -> Result<(), Fault> {
        let (slot, layout) = self.block(slot)?;
        self.push(Op::Free { slot, layout })?;
        self.blocks[slot as usize] = None;
        self.vacant.push(slot);
        self.live_bytes -= layout.size();
        Ok(())
    }

    /// Adds a realloc.
    ///
    /// # Errors
    ///
    /// [`Fault::VacantSlot`], [`Fault::LargeBlock`] or [`Fault::ManyOperations`].
    pub fn realloc(&mut self, slot: u64, new_size: u64) -> Result<(), Fault> {
        let (slot, layout) = self.block(slot)?;
        let new = checked_layout(new_size, layout.align() as u64)?;
        self.push(Op::Realloc { slot, layout, new_size: new.size() })?;
        self.blocks[slot as usize] = Some(new);
        self.live_bytes = self.live_bytes - layout.size() + new.size();
        self.peak_live_bytes = self.peak_live_bytes.max(self.live_bytes);
        Ok(())
    }

    /// Says which thread makes the next requests, at which call stack, counted from 1, and when.
    ///
    /// # Errors
    ///
    /// [`Fault::ManyThreads`].
    pub fn now(&mut self, thread: u16, site: u32, microseconds: Option<u64>) -> Result<(), Fault> {
        if usize::from(thread) >= THREADS_MAX {
            return Err(Fault::ManyThreads { limit: THREADS_MAX });
        }
        (self.thread, self.site) = (thread, site);
        if let Some(microseconds) = microseconds {
            let times = &mut self.context.times;
            let last = times.last().copied();
            let is_later = last.is_none_or(|(index, time)| {
                index < self.ops.len()
                    && microseconds >= time.saturating_add(TIME_STEP_MICROSECONDS)
            });
            if is_later {
                times.push((self.ops.len(), microseconds));
            }
        }
        Ok(())
    }

    /// Returns the call stacks, to add to them.
    pub(super) fn stacks(&mut self) -> &mut Stacks {
        &mut self.context.stacks
    }

    /// Returns the number of requests so far.
    pub fn operations(&self) -> usize {
        self.ops.len()
    }

    /// Returns the trace. Blocks that are still live were never freed by the program.
    pub fn finish(self, name: impl Into<String>, run: Run, warnings: Warnings) -> Trace {
        Trace {
            name: name.into(),
            ops: self.ops,
            slots: self.blocks.len(),
            peak_live_bytes: self.peak_live_bytes,
            run,
            warnings,
            context: self.context,
        }
    }

    /// Adds a request of another trace, its sizes larger by `bytes`.
    fn repeat(&mut self, op: &Op, bytes: u64) -> Result<(), Fault> {
        match *op {
            Op::Alloc { layout, .. } | Op::AllocZeroed { layout, .. } => {
                let zeroed = matches!(op, Op::AllocZeroed { .. });
                let size = (layout.size() as u64).saturating_add(bytes);
                self.alloc(size, layout.align() as u64, zeroed).map(|_slot| ())
            }
            Op::Free { slot, .. } => self.free(slot.into()),
            Op::Realloc { slot, new_size, .. } => {
                self.realloc(slot.into(), (new_size as u64).saturating_add(bytes))
            }
        }
    }

    fn block(&self, slot: u64) -> Result<(u32, Layout), Fault> {
        let block = usize::try_from(slot).ok().and_then(|slot| *self.blocks.get(slot)?);
        // A slot in range is below `LIVE_BLOCKS_MAX`, so it fits into 32 bits.
        block.map(|layout| (slot as u32, layout)).ok_or(Fault::VacantSlot { slot })
    }

    fn push(&mut self, op: Op) -> Result<(), Fault> {
        if self.ops.len() == OPERATIONS_MAX {
            return Err(Fault::ManyOperations { limit: OPERATIONS_MAX });
        }
        self.ops.push(op);
        let Context { threads, sites, .. } = &mut self.context;
        // As long as all requests are of the first thread, or without stacks, there is no list.
        if self.thread != 0 || !threads.is_empty() {
            threads.resize(self.ops.len() - 1, 0);
            threads.push(self.thread);
        }
        let site = if matches!(op, Op::Free { .. }) { 0 } else { self.site };
        if site != 0 || !sites.is_empty() {
            sites.resize(self.ops.len() - 1, 0);
            sites.push(site);
        }
        Ok(())
    }
}

impl Trace {
    /// Returns the same requests with all blocks larger by `bytes`. The facts about the run are left
    /// out, because no program ran so.
    ///
    /// # Errors
    ///
    /// [`Fault::LargeBlock`].
    pub fn with_larger_blocks(&self, bytes: usize) -> Result<Self, Fault> {
        let mut builder = TraceBuilder::default();
        self.ops().iter().try_for_each(|op| builder.repeat(op, bytes as u64))?;
        Ok(builder.finish(self.name(), Run::default(), self.warnings()))
    }
}

fn checked_layout(size: u64, align: u64) -> Result<Layout, Fault> {
    if align > ALIGN_MAX || !align.is_power_of_two() {
        return Err(Fault::Alignment { align, limit: ALIGN_MAX });
    }
    let bytes = usize::try_from(size).ok().filter(|&bytes| bytes <= BLOCK_BYTES_MAX);
    bytes
        .and_then(|bytes| Layout::from_size_align(bytes, align as usize).ok())
        .ok_or(Fault::LargeBlock { size, limit: BLOCK_BYTES_MAX as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 16).expect("valid")
    }

    #[test]
    fn slots_are_dense_and_reused() {
        let mut builder = TraceBuilder::default();
        assert_eq!(builder.alloc(10, 16, false).expect("first"), 0);
        assert_eq!(builder.alloc(20, 16, true).expect("second"), 1);
        builder.free(0).expect("live");
        assert_eq!(builder.alloc(30, 16, false).expect("third"), 0);
        builder.realloc(1, 50).expect("live");
        let trace = builder.finish("t", Run::default(), Warnings::default());
        assert_eq!((trace.slots(), trace.peak_live_bytes()), (2, 80));
        assert_eq!(trace.ops()[2], Op::Free { slot: 0, layout: layout(10) });
        assert_eq!(trace.ops()[4], Op::Realloc { slot: 1, layout: layout(20), new_size: 50 });
    }

    #[test]
    fn requests_that_would_break_a_replay_are_refused() {
        let mut builder = TraceBuilder::default();
        assert!(matches!(builder.free(0), Err(Fault::VacantSlot { slot: 0 })));
        assert!(matches!(builder.alloc(u64::MAX, 16, false), Err(Fault::LargeBlock { .. })));
        assert!(matches!(builder.alloc(8, 24, false), Err(Fault::Alignment { align: 24, .. })));
        assert!(matches!(builder.alloc(8, 0, false), Err(Fault::Alignment { .. })));
        builder.alloc(8, 16, false).expect("sound");
        assert!(matches!(builder.realloc(0, 1 << 63), Err(Fault::LargeBlock { .. })));
        builder.free(0).expect("live");
        assert!(matches!(builder.free(0), Err(Fault::VacantSlot { slot: 0 })));
        assert!(matches!(builder.realloc(u64::MAX, 1), Err(Fault::VacantSlot { .. })));
        assert_eq!(builder.operations(), 2);
    }

    #[test]
    fn larger_blocks_keep_requests_and_slots() {
        let mut builder = TraceBuilder::default();
        builder.alloc(10, 64, true).expect("sound");
        builder.alloc(20, 16, false).expect("sound");
        builder.free(0).expect("live");
        builder.realloc(1, 50).expect("live");
        let trace = builder.finish("t", Run::default(), Warnings::default());
        let larger = trace.with_larger_blocks(8).expect("small sizes");
        assert_eq!((larger.ops().len(), larger.slots(), larger.peak_live_bytes()), (4, 2, 58));
        let first = Layout::from_size_align(18, 64).expect("valid");
        assert_eq!(larger.ops()[0], Op::AllocZeroed { slot: 0, layout: first });
        assert_eq!(larger.ops()[3], Op::Realloc { slot: 1, layout: layout(28), new_size: 58 });
        assert!(matches!(trace.with_larger_blocks(1 << 40), Err(Fault::LargeBlock { .. })));
    }

    #[test]
    fn live_blocks_are_capped() {
        let mut builder = TraceBuilder::default();
        for _ in 0..LIVE_BLOCKS_MAX {
            builder.alloc(1, 1, false).expect("below the cap");
        }
        assert!(matches!(builder.alloc(1, 1, false), Err(Fault::ManyBlocks { .. })));
    }
}
