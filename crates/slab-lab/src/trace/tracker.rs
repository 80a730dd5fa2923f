//! From the addresses of a recording to the slots of a trace.

use std::collections::HashMap;
use std::fmt;

use super::{Fault, MALLOC_ALIGN, Trace, TraceBuilder};

/// What did not add up in a recording. Recorders attach late and miss calls, so none of it is fatal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Oddities {
    /// Frees and reallocs of an address at which nothing was recorded; frees are left out, a realloc
    /// counts as an allocation.
    pub unknown_frees: u64,
    /// Allocations at an address whose block was never seen freed; it is freed first.
    pub replaced_blocks: u64,
    /// Requests that the recorded allocator refused; they are left out.
    pub refused_requests: u64,
    /// Lines of processes that the recorded one forked; they are left out.
    pub foreign_lines: u64,
}

/// Says what did not add up; nothing if everything did.
impl fmt::Display for Oddities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.unknown_frees, "frees of unknown blocks"),
            (self.replaced_blocks, "blocks that were never seen freed"),
            (self.refused_requests, "requests refused when recorded"),
            (self.foreign_lines, "lines of other processes"),
        ];
        let seen = counts.iter().filter(|(count, _)| *count > 0);
        let seen: Vec<_> = seen.map(|(count, what)| format!("{count} {what}")).collect();
        f.write_str(&seen.join(", "))
    }
}

/// Follows which block lives at which address.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    builder: TraceBuilder,
    /// The slot of the block at each address. The default hasher is keyed, so a crafted file
    /// cannot make it slow.
    slots: HashMap<u64, u32>,
    pub(super) oddities: Oddities,
}

impl Recorder {
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
                self.oddities.unknown_frees += 1;
                Ok(())
            }
        }
    }

    pub(super) fn realloc(&mut self, old: u64, new: u64, size: u64) -> Result<(), Fault> {
        let Some(slot) = self.slots.remove(&old) else {
            self.oddities.unknown_frees += 1;
            return self.alloc(new, size, MALLOC_ALIGN as u64);
        };
        self.builder.realloc(slot.into(), size)?;
        self.occupy(new, slot)
    }

    pub(super) fn operations(&self) -> usize {
        self.builder.operations()
    }

    pub(super) fn finish(self, name: &str) -> Trace {
        self.builder.finish(name, self.oddities)
    }

    fn place(&mut self, block: u64, size: u64, align: u64, zeroed: bool) -> Result<(), Fault> {
        // Whatever lived there has gone unseen; it goes first, so that its slot is used again.
        if let Some(gone) = self.slots.remove(&block) {
            self.oddities.replaced_blocks += 1;
            self.builder.free(gone.into())?;
        }
        let slot = self.builder.alloc(size, align, zeroed)?;
        self.slots.insert(block, slot);
        Ok(())
    }

    fn occupy(&mut self, block: u64, slot: u32) -> Result<(), Fault> {
        match self.slots.insert(block, slot) {
            Some(gone) => {
                self.oddities.replaced_blocks += 1;
                self.builder.free(gone.into())
            }
            None => Ok(()),
        }
    }
}
