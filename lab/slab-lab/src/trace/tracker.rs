//! From the addresses of a recording to the slots of a trace.

use std::collections::HashMap;

use super::{Fault, MALLOC_ALIGN, Run, Stacks, Trace, TraceBuilder, Warnings};

/// Knows which block is live at which address.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    builder: TraceBuilder,
    /// The slot of the block at each address. The default hasher is keyed, so a crafted file
    /// cannot make lookups slow.
    slots: HashMap<u64, u32>,
    /// The slots of blocks that are being resized, by their old address.
    resizing: HashMap<u64, Vec<u32>>,
    pub(super) run: Run,
    pub(super) warnings: Warnings,
}

impl Tracker {
    pub(super) fn alloc(&mut self, block: u64, size: u64, align: u64) -> Result<(), Fault> {
        self.place(block, size, align, false)
    }

    pub(super) fn alloc_zeroed(&mut self, block: u64, size: u64) -> Result<(), Fault> {
        self.place(block, size, MALLOC_ALIGN as u64, true)
    }

    pub(super) fn free(&mut self, block: u64) -> Result<(), Fault> {
        match self.slots.remove(&block) {
            Some(slot) => self.builder.free(slot.into()),
            None => {
                self.warnings.unknown_frees += 1;
                Ok(())
            }
        }
    }

    pub(super) fn realloc(&mut self, old: u64, new: u64, size: u64) -> Result<(), Fault> {
        let Some(slot) = self.slots.remove(&old) else {
            self.warnings.unknown_frees += 1;
            return self.alloc(new, size, MALLOC_ALIGN as u64);
        };
        self.builder.realloc(slot.into(), size)?;
        self.occupy(new, slot)
    }

    pub(super) fn operations(&self) -> usize {
        self.builder.operations()
    }

    pub(super) fn finish(self, name: &str) -> Trace {
        self.builder.finish(name, self.run, self.warnings)
    }

    /// Says which thread makes the next request, at which call stack and when.
    pub(super) fn now(
        &mut self,
        thread: u16,
        site: u32,
        microseconds: Option<u64>,
    ) -> Result<(), Fault> {
        self.builder.now(thread, site, microseconds)
    }

    /// Returns the call stacks, to add to them.
    pub(super) fn stacks(&mut self) -> &mut Stacks {
        self.builder.stacks()
    }

    /// Starts a resize. From now on the block's old address may be another block's.
    pub(super) fn start_resize(&mut self, block: u64) {
        if let Some(slot) = self.slots.remove(&block) {
            self.resizing.entry(block).or_default().push(slot);
        }
    }

    /// Ends a resize of the block that was at `old`; the new address is 0 if it was refused.
    pub(super) fn end_resize(&mut self, old: u64, new: u64, size: u64) -> Result<(), Fault> {
        let slot = self.resizing.get_mut(&old).and_then(Vec::pop);
        if self.resizing.get(&old).is_some_and(Vec::is_empty) {
            self.resizing.remove(&old);
        }
        match slot {
            Some(slot) if new == 0 => {
                self.warnings.refused_requests += 1;
                self.occupy(old, slot)
            }
            Some(slot) => {
                self.builder.realloc(slot.into(), size)?;
                self.occupy(new, slot)
            }
            None if new == 0 => Ok(()),
            None => {
                self.warnings.unknown_frees += 1;
                self.alloc(new, size, MALLOC_ALIGN as u64)
            }
        }
    }

    pub(super) fn place(
        &mut self,
        block: u64,
        size: u64,
        align: u64,
        zeroed: bool,
    ) -> Result<(), Fault> {
        // The recorder missed the free of the block that was there. Freeing it first reuses its slot.
        if let Some(gone) = self.slots.remove(&block) {
            self.warnings.replaced_blocks += 1;
            self.builder.free(gone.into())?;
        }
        let slot = self.builder.alloc(size, align, zeroed)?;
        self.slots.insert(block, slot);
        Ok(())
    }

    fn occupy(&mut self, block: u64, slot: u32) -> Result<(), Fault> {
        match self.slots.insert(block, slot) {
            Some(gone) => {
                self.warnings.replaced_blocks += 1;
                self.builder.free(gone.into())
            }
            None => Ok(()),
        }
    }
}
