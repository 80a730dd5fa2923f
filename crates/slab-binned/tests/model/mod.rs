//! The operation language of the allocator of blocks, and the model that each answer is compared
//! with. Shared by the property tests, the fixed programs and the fuzz target.

use std::collections::BTreeMap;

use slab_binned::{
    ALIGN_MAX, BinnedError, BlockId, Config, LoggedAllocator, SizeClasses, diverges_at,
};

/// Bytes that encode one operation; every byte string is a program.
pub const OP_BYTES: usize = 4;

/// Freed ids that are remembered and have to stay refused.
const FREED_MAX: usize = 64;

/// The operations of the language. `nth` picks a live block, modulo their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Alloc { size: usize, align: usize, zeroed: bool },
    Free { nth: usize },
    Write { nth: usize, len: usize },
    Fill { nth: usize },
    Trim,
    Snapshot,
    FreeAgain { nth: usize },
    Forge { index: u32, generation: u32 },
}

impl Op {
    pub fn decode(bytes: &[u8]) -> Vec<Op> {
        let widen = |chunk: &[u8]| {
            let mut code = [0; OP_BYTES];
            code[..chunk.len()].copy_from_slice(chunk);
            Self::from_bytes(code)
        };
        bytes.chunks(OP_BYTES).map(widen).collect()
    }

    fn from_bytes([tag, kind, low, high]: [u8; OP_BYTES]) -> Op {
        let wide = usize::from(u16::from_le_bytes([low, high]));
        let size = match kind {
            // Miri takes its time over every byte: there only few blocks are large.
            200..=247 if cfg!(miri) => 1 + wide % 5000,
            248..=249 if cfg!(miri) => 65_537,
            0..=149 => 1 + wide % 200,
            150..=199 => 1 + wide % 5000,
            200..=229 => 1 + wide % 70_000,
            230..=247 => 1 + wide * 5,
            248..=249 => 64 * wide,
            _ => [0, usize::MAX, usize::MAX - 3, (1 << 30) + 1, isize::MAX as usize, 65_537]
                [wide % 6],
        };
        match tag {
            0..=69 => Op::Alloc { size, align: 1, zeroed: false },
            70..=109 => Op::Alloc { size, align: 1, zeroed: true },
            110..=124 => {
                Op::Alloc { size, align: 1 << (wide % 14), zeroed: wide.is_multiple_of(3) }
            }
            125 => Op::Alloc { size, align: wide, zeroed: true },
            126..=209 => Op::Free { nth: wide },
            210..=224 => Op::Write { nth: wide, len: usize::from(kind) },
            225..=234 => Op::Fill { nth: wide },
            235..=238 => Op::Trim,
            239..=242 => Op::Snapshot,
            243..=249 => Op::FreeAgain { nth: wide },
            _ => Op::Forge { index: u32::from(low), generation: u32::from(high) << (kind % 25) },
        }
    }
}

/// Counts of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    pub executed: usize,
    pub skipped: usize,
    pub allocated: usize,
    pub freed: usize,
    pub refused: usize,
    pub released: usize,
    pub restored: usize,
}

/// A live block as the model knows it.
#[derive(Debug, Clone)]
struct Block {
    id: BlockId,
    bytes: Vec<u8>,
}

struct Run {
    blocks: LoggedAllocator,
    /// Live blocks in the order of their allocation.
    live: Vec<Block>,
    freed: Vec<BlockId>,
    /// The bytes that each place held last, for what `alloc_dirty` has to show.
    bytes: BTreeMap<(usize, usize), u8>,
    report: Report,
    whole_log: bool,
    fill: u8,
}

/// Runs operations and compares every answer; frees everything at the end.
pub fn check(config: Config, ops: &[Op]) -> Report {
    let mut run = Run {
        blocks: LoggedAllocator::with_config(config),
        live: Vec::new(),
        freed: Vec::new(),
        bytes: BTreeMap::new(),
        report: Report::default(),
        whole_log: true,
        fill: 0,
    };
    let validate_every = ops.len().div_ceil(64).max(1);
    for (step, &op) in ops.iter().enumerate() {
        match run.step(op) {
            Some(()) => run.report.executed += 1,
            None => run.report.skipped += 1,
        }
        run.check_counts();
        if step % validate_every == 0 {
            run.validate();
        }
    }
    run.finish()
}

/// Picks a configuration by a number.
pub fn config(seed: u8) -> Config {
    let classes = if seed.is_multiple_of(2) { SizeClasses::Standard } else { SizeClasses::Fine };
    let config =
        Config::new().classes(classes).chunk_bytes([65_536, 262_144][usize::from(seed / 2 % 2)]);
    match seed / 4 % 3 {
        0 => config.cap_bytes(300_000),
        1 => config.cap_bytes(2_000_000),
        _ => config.cap_bytes(8 << 20),
    }
}

impl Run {
    fn step(&mut self, op: Op) -> Option<()> {
        match op {
            Op::Alloc { size, align, zeroed } => self.alloc(size, align, zeroed),
            Op::Free { nth } => {
                let at = nth.checked_rem(self.live.len())?;
                let block = self.live.swap_remove(at);
                self.free(block);
            }
            Op::Write { nth, len } => {
                let at = nth.checked_rem(self.live.len())?;
                let bytes: Vec<u8> = (0..len).map(|at| (at * 7 + nth) as u8).collect();
                let block = &mut self.live[at];
                let block_len = block.bytes.len();
                let offset = if len.is_multiple_of(3) { 0 } else { nth % 300 };
                let outcome = self.blocks.write_at(block.id, offset, &bytes);
                if offset + len > block_len {
                    let (index, generation) = (block.id.index(), block.id.generation());
                    let refusal =
                        BinnedError::WriteTooLong { len, offset, block_len, index, generation };
                    assert_eq!(outcome, Err(refusal));
                    self.report.refused += 1;
                } else {
                    assert_eq!(outcome, Ok(()));
                    block.bytes[offset..offset + len].copy_from_slice(&bytes);
                }
            }
            Op::Fill { nth } => {
                let at = nth.checked_rem(self.live.len())?;
                self.fill = self.fill.wrapping_add(37);
                let block = &mut self.live[at];
                let fill = self.fill;
                self.blocks.update(block.id, |bytes| bytes.fill(fill)).expect("live");
                block.bytes.fill(self.fill);
            }
            Op::Trim => {
                let (before, live) = (self.blocks.storage_bytes(), self.blocks.live_count());
                let released = self.blocks.trim().expect("memory for the log");
                assert_eq!(self.blocks.storage_bytes(), before - released);
                assert_eq!(self.blocks.live_count(), live);
                assert_eq!(self.blocks.trim(), Ok(0), "nothing is left to trim");
                if live == 0 {
                    assert_eq!(self.blocks.storage_bytes(), 0);
                }
                self.report.released += released;
                // Chunks come back as zeros: forget what is known of those without memory.
                self.bytes.clear();
            }
            Op::Snapshot => self.restore(),
            Op::FreeAgain { nth } => {
                let id = self.freed[nth.checked_rem(self.freed.len())?];
                self.refuse(id);
            }
            Op::Forge { index, generation } => {
                let id = BlockId::from_bits(u64::from(generation) << 32 | u64::from(index))?;
                if self.live.iter().any(|block| block.id == id) {
                    return None;
                }
                self.refuse(id);
            }
        }
        Some(())
    }

    fn alloc(&mut self, size: usize, align: usize, zeroed: bool) {
        let before = self.blocks.fingerprint();
        let outcome = match (align, zeroed) {
            (1, true) => self.blocks.alloc(size),
            (1, false) => self.blocks.alloc_dirty(size),
            (_, true) => self.blocks.alloc_aligned(size, align),
            (_, false) => self.blocks.alloc_dirty_aligned(size, align),
        };
        let possible =
            (1..=1 << 30).contains(&size) && align.is_power_of_two() && align <= ALIGN_MAX;
        let id = match outcome {
            Ok(id) => id,
            Err(error) => {
                assert!(!possible || matches!(error, BinnedError::OverCap { .. }), "{error:?}");
                assert_eq!(self.blocks.fingerprint(), before, "a refusal changes nothing");
                self.report.refused += 1;
                return;
            }
        };
        assert!(possible);
        assert!(self.live.iter().all(|block| block.id != id), "{id} is live twice");
        assert!(!self.freed.contains(&id), "{id} is used again");
        let shown = self.blocks.get(id).expect("just allocated");
        assert_eq!(shown.len(), size);
        assert!(shown.as_ptr().addr().is_multiple_of(align.max(16)));
        assert!(self.blocks.usable_size(id).expect("live") >= size);
        let (chunk, offset) = self.blocks.locate(id).expect("live");
        if zeroed {
            assert_eq!(shown, vec![0; size]);
        } else {
            for (&(_, at), &known) in self.bytes.range((chunk, offset)..(chunk, offset + size)) {
                assert_eq!(shown[at - offset], known, "dirty bytes are what was there");
            }
        }
        let bytes = shown.to_vec();
        self.live.push(Block { id, bytes });
        self.report.allocated += 1;
    }

    fn free(&mut self, block: Block) {
        assert_eq!(self.blocks.get(block.id).expect("live"), block.bytes);
        let (chunk, offset) = self.blocks.locate(block.id).expect("live");
        let known = (chunk, offset)..(chunk, offset + block.bytes.len());
        let gone: Vec<_> = self.bytes.range(known).map(|(&place, _)| place).collect();
        for place in gone {
            self.bytes.remove(&place);
        }
        for (at, &byte) in block.bytes.iter().enumerate().step_by(61).take(50) {
            self.bytes.insert((chunk, offset + at), byte);
        }
        self.blocks.free(block.id).expect("live");
        let already = (block.id.index(), block.id.generation());
        assert_eq!(
            self.blocks.free(block.id),
            Err(BinnedError::AlreadyFreed { index: already.0, generation: already.1 })
        );
        if self.freed.len() < FREED_MAX {
            self.freed.push(block.id);
        }
        self.report.freed += 1;
    }

    fn refuse(&mut self, id: BlockId) {
        let before = self.blocks.fingerprint();
        assert!(self.blocks.get(id).is_none());
        assert!(self.blocks.update(id, |_| ()).is_err());
        assert!(self.blocks.write(id, &[]).is_err());
        assert!(self.blocks.usable_size(id).is_err());
        let refusal = self.blocks.free(id).expect_err("not live");
        let current = match refusal {
            BinnedError::AlreadyFreed { .. } => Some(id.generation() + 1),
            BinnedError::Stale { current, .. } | BinnedError::Forged { current, .. } => {
                Some(current)
            }
            BinnedError::UnknownIndex { .. } => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(current.is_none(), id.index() as usize >= self.blocks.total_blocks());
        assert_eq!(self.blocks.fingerprint(), before);
        self.report.refused += 1;
    }

    /// Goes on with a restored allocator, which has to be the same in every respect.
    fn restore(&mut self) {
        let saved = self.blocks.snapshot().expect("memory for a snapshot");
        let budget = saved.bytes_to_restore() as usize;
        let short = budget.checked_sub(1).map(|short| LoggedAllocator::restore(&saved, short));
        assert!(short.is_none_or(|short| short.is_err()), "the budget is kept");
        let restored = LoggedAllocator::restore(&saved, budget).expect("a whole snapshot");
        assert_eq!(restored.snapshot().as_ref(), Ok(&saved));
        assert_eq!(restored.fingerprint(), self.blocks.fingerprint());
        assert_eq!(restored.steps_max(), self.blocks.steps_max());
        assert!(restored.metadata_bytes() + restored.storage_bytes() <= budget + 8192);
        let clone = self.blocks.clone();
        assert_eq!(clone.snapshot().as_ref(), Ok(&saved));
        assert_eq!(clone.log(), self.blocks.log());
        assert_eq!(clone.held_bytes(), self.blocks.held_bytes());
        clone.validate().unwrap_or_else(|error| panic!("{error}"));
        self.replay();
        self.blocks = if self.report.restored.is_multiple_of(2) { restored } else { clone };
        let fresh = LoggedAllocator::with_config(self.blocks.config());
        self.whole_log = self.blocks.log().start_fingerprint() == fresh.fingerprint();
        self.report.restored += 1;
    }

    /// The log, done again, ends where the allocator is; also when it was written and read.
    fn replay(&self) {
        if !self.whole_log {
            return;
        }
        let log = self.blocks.log();
        let replayed = log.replay().expect("the same operations");
        assert_eq!(replayed.fingerprint(), self.blocks.fingerprint());
        assert_eq!(diverges_at(log, replayed.log()), None);
        if log.len() < 300 {
            assert_eq!(log.to_string().parse().as_ref(), Ok(log));
        }
    }

    fn check_counts(&self) {
        let blocks = &self.blocks;
        assert_eq!((blocks.len(), blocks.is_empty()), (self.live.len(), self.live.is_empty()));
        assert_eq!(blocks.live_count(), self.live.len());
        assert_eq!(blocks.alloc_count() - blocks.free_count(), self.live.len() as u64);
        assert!(blocks.storage_bytes() <= blocks.config().cap().unwrap_or(usize::MAX));
        assert!(blocks.live_count() + blocks.free_block_count() <= blocks.total_blocks());
    }

    fn validate(&self) {
        self.blocks.validate().unwrap_or_else(|error| panic!("{error}"));
        for block in &self.live {
            assert_eq!(self.blocks.get(block.id).expect("live"), block.bytes);
        }
        let asked: usize = self.live.iter().map(|block| block.bytes.len()).sum();
        assert_eq!(self.blocks.occupancy().requested_bytes(), asked);
        assert_eq!(self.blocks.occupancy().live_bytes(), self.blocks.used_bytes());
    }

    fn finish(mut self) -> Report {
        self.validate();
        self.replay();
        while let Some(block) = self.live.pop() {
            self.free(block);
        }
        self.check_counts();
        self.validate();
        self.blocks.trim().expect("memory for the log");
        assert_eq!((self.blocks.storage_bytes(), self.blocks.free_block_count()), (0, 0));
        self.validate();
        self.report
    }
}
