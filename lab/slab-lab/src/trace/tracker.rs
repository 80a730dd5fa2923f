//! From the addresses of a recording to the slots of a trace.

use std::collections::HashMap;

use super::{Fault, MALLOC_ALIGN, Run, Trace, TraceBuilder, Warnings};

/// Knows which block is live at which address.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    builder: TraceBuilder,
    /// The slot of the block at each address. The default hasher is keyed, so a crafted file
    /// cannot make lookups slow.
    slots: HashMap<u64, u32>,
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

    fn place(&mut self, block: u64, size: u64, align: u64, zeroed: bool) -> Result<(), Fault> {
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
