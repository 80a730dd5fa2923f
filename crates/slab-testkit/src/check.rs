//! Runs operations on a subject and compares every result with a shadow model.
//!
//! The model knows which blocks are live and what they contain. The subject's results and statistics must
//! agree with it after every operation. A refused operation must change nothing.
#![expect(unsafe_code, reason = "frees, resizes and misuses blocks of the subject")]

use std::alloc::Layout;
use std::ptr::NonNull;
use std::slice;

use slab_traits::{AllocError, AllocResult};

use crate::program::{self, Failure, Machine};
use crate::{Arena, Fault, Op, Report, Shadow, Subject, Violation};

/// Freed blocks remembered for [`Op::DoubleFree`].
const FREED_MAX: usize = 64;
/// The largest size class of all allocators that are checked.
const CLASS_BYTES_MAX: usize = 64 * 1024;

/// Runs operations, frees every block at the end, and returns the counts.
///
/// The subject has no memory yet. It gets the first arena before the first operation, and one more with each
/// [`Op::AddRegion`]. The statistics are checked after each operation. The subject's invariants are checked
/// after each operation too, or about a thousand times in a longer run.
///
/// # Panics
///
/// At the first [`Violation`], with its operation, and if the subject wrote outside its arenas.
///
/// # Examples
///
/// `tests/broken_toys.rs` has an allocator that passes, and broken ones that do not.
pub fn check(subject: impl Subject, arenas: Vec<Arena>, ops: &[Op]) -> Report {
    try_check(subject, arenas, ops).unwrap_or_else(|violation| panic!("{violation}"))
}

/// Does the same as [`check`], but returns the violation.
///
/// # Errors
///
/// The first [`Violation`].
///
/// # Panics
///
/// If the subject panics or wrote outside its arenas.
pub fn try_check(
    subject: impl Subject,
    arenas: Vec<Arena>,
    ops: &[Op],
) -> Result<Report, Violation> {
    let mut run = Run::new(subject, &arenas);
    let outside = |fault| Violation { step: 0, op: None, fault };
    run.begin().map_err(outside)?;
    let counts = program::run(&mut run, ops).map_err(|Failure { step, op, fault }| Violation {
        step,
        op: Some(op),
        fault,
    })?;
    run.report.executed += counts.executed;
    run.report.skipped += counts.skipped;
    run.finish().map_err(|fault| Violation { step: ops.len(), op: None, fault })?;
    arenas.iter().for_each(Arena::check_guards);
    Ok(run.report)
}

#[derive(Debug, Clone, Copy)]
struct Block {
    start: NonNull<u8>,
    layout: Layout,
}

struct Run<'a, S> {
    subject: S,
    spare: slice::Iter<'a, Arena>,
    given: Vec<NonNull<[u8]>>,
    /// Records each block with all its usable bytes, and fills them all.
    shadow: Shadow,
    live: Vec<Block>,
    freed: Vec<Block>,
    foreign: Arena,
    report: Report,
}

impl<'a, S: Subject> Run<'a, S> {
    fn new(subject: S, arenas: &'a [Arena]) -> Self {
        Self {
            subject,
            spare: arenas.iter(),
            given: Vec::new(),
            shadow: Shadow::new(),
            live: Vec::new(),
            freed: Vec::new(),
            foreign: Arena::new(4096, 0),
            report: Report::default(),
        }
    }

    fn begin(&mut self) -> Result<(), Fault> {
        match self.subject.heap().alloc(Layout::new::<u64>()) {
            Err(AllocError::NoMemory) => {}
            answer => return Err(Fault::AnswerWithoutMemory { answer: answer.err() }),
        }
        self.check_statistics()?;
        self.add_region();
        self.check_statistics()?;
        self.validate()
    }

    /// Frees every block. No byte may be in use afterwards.
    fn finish(&mut self) -> Result<(), Fault> {
        while let Some(block) = self.live.pop() {
            self.free(block, false)?;
            self.check_statistics()?;
        }
        self.validate()
    }

    /// Returns `None` if the operation had nothing to act on.
    fn execute(&mut self, op: Op) -> Result<Option<()>, Fault> {
        match op {
            Op::Alloc { size, align_log2 } => self.alloc(size, align_log2, false),
            Op::AllocZeroed { size, align_log2 } => self.alloc(size, align_log2, true),
            Op::Dealloc { nth } | Op::TryDealloc { nth } => {
                let Some(index) = self.pick(nth) else { return Ok(None) };
                let block = self.live.swap_remove(index);
                self.report.freed += 1;
                self.free(block, matches!(op, Op::TryDealloc { .. })).map(Some)
            }
            Op::Realloc { nth, new_size } => self.realloc(nth, new_size),
            Op::Grow { nth, by, align_log2 } => {
                self.resize(nth, align_log2, |size| size.checked_add(by))
            }
            Op::Shrink { nth, to_256ths, align_log2 } => {
                let part = usize::from(to_256ths);
                let cut = move |size: usize| Some(size / 256 * part + size % 256 * part / 256);
                self.resize(nth, align_log2, cut)
            }
            Op::AddRegion => Ok(self.add_region()),
            Op::Reclaim => Ok(self.subject.reclaim().then_some(())),
            Op::DoubleFree { .. }
            | Op::FreeInterior { .. }
            | Op::FreeForeign
            | Op::FreeWrongLayout { .. }
            | Op::AddOwnedRegion => self.misuse(op),
        }
    }

    fn pick(&self, nth: usize) -> Option<usize> {
        nth.checked_rem(self.live.len())
    }

    fn alloc(&mut self, size: usize, align_log2: u8, zeroed: bool) -> Result<Option<()>, Fault> {
        let Some(layout) = layout(size, align_log2) else { return Ok(None) };
        let before = self.subject.heap().used_bytes();
        let heap = self.subject.heap();
        let outcome = if zeroed { heap.alloc_zeroed(layout) } else { heap.alloc(layout) };
        let Ok(start) = outcome else { return self.refused(before) };
        let block = Block { start, layout };
        let usable = self.usable(block)?;
        self.shadow.insert(start, usable)?;
        if zeroed {
            check_zero(block)?;
        }
        // SAFETY: the subject guarantees the usable bytes, which overlap no other live block.
        unsafe { self.shadow.fill(start) }?;
        self.live.push(block);
        self.report.allocated += 1;
        Ok(Some(()))
    }

    fn free(&mut self, Block { start, layout }: Block, reporting: bool) -> Result<(), Fault> {
        // SAFETY: the block is live and was filled when it was handed out or resized.
        unsafe { self.shadow.check_content(start) }?;
        self.shadow.remove(start)?;
        if reporting {
            // SAFETY: the block is live, has this layout, and is forgotten here.
            unsafe { self.subject.heap().try_dealloc(start, layout) }
                .map_err(|error| Fault::LiveRefused { start: start.addr().get(), error })?;
        } else {
            // SAFETY: the block is live, has this layout, and is forgotten here.
            unsafe { self.subject.heap().dealloc(start, layout) };
        }
        if self.freed.len() == FREED_MAX {
            self.freed.remove(0);
        }
        self.freed.push(Block { start, layout });
        Ok(())
    }

    fn realloc(&mut self, nth: usize, new_size: usize) -> Result<Option<()>, Fault> {
        let Some(index) = self.pick(nth) else { return Ok(None) };
        let Block { start, layout } = self.live[index];
        let before = self.before_resize(start)?;
        // SAFETY: the block is live and has this layout; after success only the result is used.
        let outcome = unsafe { self.subject.heap().realloc(start, layout, new_size) };
        let Ok(new) = Layout::from_size_align(new_size, layout.align()) else {
            // No layout is that large: a block for it would lie outside every region.
            return match outcome {
                Err(_) => self.refused(before),
                Ok(_) => Err(Fault::UsableBelowSize { size: new_size, usable: 0 }),
            };
        };
        self.resized(index, new, outcome, before)
    }

    fn resize(
        &mut self,
        nth: usize,
        align_log2: u8,
        new_size: impl Fn(usize) -> Option<usize>,
    ) -> Result<Option<()>, Fault> {
        let Some(index) = self.pick(nth) else { return Ok(None) };
        let Block { start, layout: old } = self.live[index];
        let Some(new) = new_size(old.size()).and_then(|size| layout(size, align_log2)) else {
            return Ok(None);
        };
        let before = self.before_resize(start)?;
        let heap = self.subject.heap();
        let outcome = if new.size() >= old.size() {
            // SAFETY: the block is live and has layout `old`; after success only the result is used.
            unsafe { heap.grow(start, old, new) }
        } else {
            // SAFETY: the block is live and has layout `old`; after success only the result is used.
            unsafe { heap.shrink(start, old, new) }
        };
        self.resized(index, new, outcome, before)
    }

    fn before_resize(&mut self, start: NonNull<u8>) -> Result<usize, Fault> {
        // SAFETY: the block is live and was filled when it was handed out or resized.
        unsafe { self.shadow.check_content(start) }?;
        Ok(self.subject.heap().used_bytes())
    }

    fn resized(
        &mut self,
        index: usize,
        layout: Layout,
        outcome: AllocResult<NonNull<u8>>,
        before: usize,
    ) -> Result<Option<()>, Fault> {
        let Ok(start) = outcome else { return self.refused(before) };
        let old = self.live[index];
        let block = Block { start, layout };
        let usable = self.usable(block)?;
        self.shadow.resize(old.start, start, usable)?;
        let kept = old.layout.size().min(layout.size());
        // SAFETY: the subject guarantees the usable bytes, which overlap no other live block and begin with
        // the `kept` bytes that were filled.
        unsafe {
            self.shadow.check_prefix(start, kept)?;
            self.shadow.fill(start)?;
        }
        self.live[index] = block;
        self.report.resized += 1;
        Ok(Some(()))
    }

    fn refused(&mut self, before: usize) -> Result<Option<()>, Fault> {
        let after = self.subject.heap().used_bytes();
        if before != after {
            return Err(Fault::RefusalUsed { before, after });
        }
        self.report.refused += 1;
        Ok(Some(()))
    }

    fn add_region(&mut self) -> Option<()> {
        let region = self.spare.next()?.region();
        // SAFETY: the arena outlives the subject, which is dropped with this run, and only the subject uses it.
        match unsafe { self.subject.heap().add_region(region) } {
            Ok(()) => {
                self.shadow.add_region(region);
                self.given.push(region);
                self.report.regions += 1;
            }
            Err(_) => self.report.refused += 1,
        }
        Some(())
    }

    fn misuse(&mut self, op: Op) -> Result<Option<()>, Fault> {
        if !self.subject.checked() {
            return Ok(None);
        }
        let before = self.subject.heap().used_bytes();
        let accepted = if op == Op::AddOwnedRegion {
            let Some(&region) = self.given.first() else { return Ok(None) };
            // SAFETY: a checked subject refuses memory that it owns, and changes nothing.
            unsafe { self.subject.heap().add_region(region) }.is_ok()
        } else {
            let Some(Block { start, layout }) = self.wrong_block(op) else { return Ok(None) };
            // SAFETY: a checked subject permits any pointer and any layout.
            unsafe { self.subject.heap().try_dealloc(start, layout) }.is_ok()
        };
        if accepted {
            return Err(Fault::MisuseAccepted);
        }
        self.report.misuse_found += 1;
        let refused = self.refused(before);
        self.report.refused -= 1;
        refused
    }

    /// Returns a block that the subject must refuse to free.
    fn wrong_block(&mut self, op: Op) -> Option<Block> {
        match op {
            Op::DoubleFree { nth } => {
                let block = self.freed[nth.checked_rem(self.freed.len())?];
                (!self.shadow.contains(block.start)).then_some(block)
            }
            Op::FreeInterior { nth, offset } => {
                let block = self.live[self.pick(nth)?];
                let offset = 1 + offset.checked_rem(block.layout.size().checked_sub(1)?)?;
                // SAFETY: the offset is below the block's size.
                Some(Block { start: unsafe { block.start.add(offset) }, ..block })
            }
            Op::FreeForeign => {
                let start = self.foreign.region().cast();
                Some(Block { start, layout: Layout::new::<u64>() })
            }
            Op::FreeWrongLayout { nth } => {
                let block = self.live[self.pick(nth)?];
                let usable = self.usable(block).ok()?.size();
                // A heap that checks the bytes behind a block reports only the block's size as usable. Its slot
                // may then be as large as the largest class.
                let least = if usable > block.layout.size() { 1 } else { CLASS_BYTES_MAX + 1 };
                let size = usable.checked_mul(2)?.checked_add(least)?;
                let layout = Layout::from_size_align(size, block.layout.align()).ok()?;
                Some(Block { layout, ..block })
            }
            _ => None,
        }
    }

    /// Returns the block's layout with its usable size.
    fn usable(&mut self, Block { start, layout }: Block) -> Result<Layout, Fault> {
        // SAFETY: the block is live and has this layout.
        let usable = unsafe { self.subject.heap().usable_size(start, layout) };
        let too_small = Fault::UsableBelowSize { size: layout.size(), usable };
        if usable < layout.size() {
            return Err(too_small);
        }
        Layout::from_size_align(usable, layout.align()).map_err(|_| too_small)
    }

    fn check_statistics(&mut self) -> Result<(), Fault> {
        let live = self.shadow.live_bytes();
        let given = self.given.iter().map(|region| region.len()).sum();
        let heap = self.subject.heap();
        let (total, used) = (heap.total_bytes(), heap.used_bytes());
        let (available, metadata) = (heap.available_bytes(), heap.metadata_bytes());
        let parts = [available, metadata].into_iter().try_fold(used, usize::checked_add);
        if parts != Some(total) {
            return Err(Fault::Statistics { used, available, metadata, total });
        }
        if total != given {
            return Err(Fault::Total { total, given });
        }
        if used < live {
            return Err(Fault::UsedBelowLive { used, live });
        }
        if used != 0 && self.live.is_empty() {
            return Err(Fault::UsedWithoutBlocks { used });
        }
        Ok(())
    }
}

impl<S: Subject> Machine<Op> for Run<'_, S> {
    type Fault = Fault;

    fn step(&mut self, op: Op) -> Result<bool, Fault> {
        let executed = self.execute(op)?.is_some();
        self.check_statistics()?;
        Ok(executed)
    }

    fn validate(&mut self) -> Result<(), Fault> {
        self.report.validated += 1;
        self.subject.validate().map_err(Fault::Invariant)
    }
}

fn layout(size: usize, align_log2: u8) -> Option<Layout> {
    let align = 1_usize.checked_shl(align_log2.into())?;
    Layout::from_size_align(size, align).ok()
}

fn check_zero(Block { start, layout }: Block) -> Result<(), Fault> {
    // SAFETY: a zeroed block is initialised for its whole layout.
    let bytes = unsafe { slice::from_raw_parts(start.as_ptr(), layout.size()) };
    let zeros = [0; 4096];
    if bytes.chunks(zeros.len()).all(|chunk| chunk == &zeros[..chunk.len()]) {
        return Ok(());
    }
    let offset = bytes.iter().position(|&byte| byte != 0).unwrap_or_default();
    Err(Fault::NotZero { start: start.addr().get(), offset, found: bytes[offset] })
}
