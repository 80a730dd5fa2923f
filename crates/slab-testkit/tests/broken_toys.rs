//! A small allocator that is correct, and one flaw at a time that `check` must find.
#![expect(unsafe_code, reason = "a byte allocator and its subject are unsafe traits")]

use core::alloc::Layout;
use core::ptr::NonNull;

use slab_testkit::{Arena, Fault, Op, Report, ShadowError, Subject, Violation, check, try_check};
use slab_traits::{AllocError, AllocResult, BaseAllocator, ByteAllocator, RegionError};

/// The flaw of a toy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    Overlaps,
    Misaligns,
    LeavesRegion,
    WritesIntoLive,
    WritesBesideRegion,
    ForgetsToZero,
    LosesContent,
    TrimsUsable,
    CountsNothing,
    CountsTwice,
    LeaksCount,
    LosesRegion,
    CountsRefused,
    RefusesLive,
    AcceptsDoubleFree,
    AcceptsInterior,
    AcceptsForeign,
    AcceptsWrongLayout,
    AcceptsOwnedRegion,
    AnswersWithoutMemory,
    BreaksInvariant,
}

/// First fit over a sorted list of blocks that is kept outside the memory.
struct Toy {
    flaw: Flaw,
    regions: Vec<NonNull<[u8]>>,
    /// Start, bytes; sorted by start.
    blocks: Vec<(usize, usize)>,
    used: usize,
    allocs: usize,
}

impl Toy {
    fn new(flaw: Flaw) -> Self {
        Toy { flaw, regions: Vec::new(), blocks: Vec::new(), used: 0, allocs: 0 }
    }

    /// Returns whether the flaw shows in this call: in every seventh.
    fn slips(&self, flaw: Flaw) -> bool {
        self.flaw == flaw && self.allocs % 7 == 6
    }

    fn gap(&self, region: NonNull<[u8]>, size: usize, align: usize) -> Option<usize> {
        let start = region.cast::<u8>().addr().get();
        let end = start + region.len();
        let mut from = start;
        let inside = self.blocks.iter().filter(|block| (start..end).contains(&block.0));
        for &(block, len) in inside.chain([&(end, 0)]) {
            let place = from.checked_next_multiple_of(align)?;
            if place.checked_add(size)? <= block {
                return Some(place);
            }
            from = block + len;
        }
        None
    }

    fn find(&self, block: NonNull<u8>) -> Option<usize> {
        self.blocks.iter().position(|known| known.0 == block.addr().get())
    }

    fn wrong(&self, block: NonNull<u8>, layout: Layout) -> Option<AllocError> {
        let start = block.addr().get();
        let inside = self.blocks.iter().find(|known| (known.0..known.0 + known.1).contains(&start));
        let owned = self.regions.iter().any(|region| {
            (region.addr().get()..region.addr().get() + region.len()).contains(&start)
        });
        let excused = |flaw| (self.flaw != flaw).then_some(AllocError::NotAllocated);
        match inside {
            Some(known) if known.0 == start && known.1 < layout.size() => {
                (self.flaw != Flaw::AcceptsWrongLayout).then_some(AllocError::InvalidParam)
            }
            Some(known) if known.0 == start => {
                (self.flaw == Flaw::RefusesLive).then_some(AllocError::NotAllocated)
            }
            Some(_) => excused(Flaw::AcceptsInterior),
            None if owned => excused(Flaw::AcceptsDoubleFree),
            None => excused(Flaw::AcceptsForeign),
        }
    }
}

impl BaseAllocator for Toy {
    unsafe fn add_region(&mut self, region: NonNull<[u8]>) -> Result<(), RegionError> {
        let (start, size) = (region.addr().get(), region.len());
        let known = self.regions.iter().find(|known| known.addr() == region.addr());
        if let Some(known) = known
            && self.flaw != Flaw::AcceptsOwnedRegion
        {
            let (other_start, other_size) = (known.addr().get(), known.len());
            return Err(RegionError::Overlap { start, size, other_start, other_size });
        }
        self.regions.push(region);
        if self.flaw == Flaw::WritesBesideRegion {
            let edge = region.cast::<u8>().as_ptr().wrapping_add(size);
            // SAFETY: a guard byte of the arena, in the same allocation.
            unsafe { edge.write(0) };
        }
        Ok(())
    }
}

// SAFETY: blocks come from gaps between live blocks, except where a flaw says otherwise; even then
// they lie in the regions, so that using them is defined and only wrong.
unsafe impl ByteAllocator for Toy {
    fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        if self.regions.is_empty() && self.flaw == Flaw::AnswersWithoutMemory {
            return Err(AllocError::InvalidParam);
        }
        let size = layout.size().max(1);
        let found = self.regions.iter().find_map(|&region| {
            let place = self.gap(region, size, layout.align())?;
            Some((region.cast::<u8>(), place))
        });
        let Some((base, mut place)) = found else {
            if self.flaw == Flaw::CountsRefused && !self.regions.is_empty() {
                self.used += 1;
            }
            return Err(AllocError::NoMemory);
        };
        self.allocs += 1;
        if self.slips(Flaw::Overlaps)
            && let Some(&(other, len)) = self.blocks.iter().find(|known| known.1 >= size)
            && (other + len - size).is_multiple_of(layout.align())
        {
            place = other + len - size;
        }
        if self.flaw == Flaw::Misaligns && layout.align() > 1 && size > 8 {
            // The block was placed with room for the size alone, so stay inside it.
            place = place.saturating_sub(1).max(base.addr().get());
        }
        if self.slips(Flaw::LeavesRegion) {
            place = (base.addr().get() - 1) / layout.align() * layout.align();
        }
        if self.slips(Flaw::WritesIntoLive)
            && let Some(&(other, _)) = self.blocks.iter().rfind(|known| known.0 < place)
            && other >= base.addr().get()
        {
            let victim = base.as_ptr().with_addr(other);
            // SAFETY: the first byte of a live block, in the region, which the check has filled.
            unsafe { victim.write(!victim.read()) };
        }
        let at = self.blocks.partition_point(|known| known.0 < place);
        self.blocks.insert(at, (place, size));
        self.used += size;
        if self.flaw == Flaw::CountsTwice {
            self.used += size;
        }
        Ok(base.map_addr(|_| place.try_into().expect("blocks are not at null")))
    }

    unsafe fn dealloc(&mut self, block: NonNull<u8>, _: Layout) {
        let index = self.find(block).expect("dealloc of a live block");
        let (_, size) = self.blocks.remove(index);
        if self.flaw != Flaw::LeaksCount {
            self.used -= size;
        }
    }

    unsafe fn try_dealloc(&mut self, block: NonNull<u8>, layout: Layout) -> AllocResult {
        if let Some(error) = self.wrong(block, layout) {
            return Err(error);
        }
        if self.find(block).is_some() {
            // SAFETY: live, as was just looked up.
            unsafe { self.dealloc(block, layout) };
        }
        Ok(())
    }

    fn alloc_zeroed(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        let block = self.alloc(layout)?;
        if self.flaw == Flaw::LeavesRegion {
            return Ok(block);
        }
        // SAFETY: the block is that long.
        unsafe { block.write_bytes(0, layout.size()) };
        if self.flaw == Flaw::ForgetsToZero && layout.size() > 2 {
            let last = block.as_ptr().wrapping_add(layout.size() - 1);
            // SAFETY: the block's last byte.
            unsafe { last.write(1) };
        }
        Ok(block)
    }

    unsafe fn realloc(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        new_size: usize,
    ) -> AllocResult<NonNull<u8>> {
        let new = Layout::from_size_align(new_size, layout.align())
            .map_err(|_| AllocError::InvalidParam)?;
        let moved = self.alloc(new)?;
        let mut kept = layout.size().min(new_size);
        if self.flaw == Flaw::LosesContent {
            kept /= 2;
            // SAFETY: the new block is that long. Initialised, so that reading it is defined.
            unsafe { moved.write_bytes(0, new_size) };
        }
        // SAFETY: both blocks are that long and disjoint.
        unsafe { moved.copy_from_nonoverlapping(block, kept) };
        // SAFETY: the caller gives the block up.
        unsafe { self.dealloc(block, layout) };
        Ok(moved)
    }

    unsafe fn usable_size(&self, _: NonNull<u8>, layout: Layout) -> usize {
        if self.flaw == Flaw::TrimsUsable { layout.size() / 2 } else { layout.size() }
    }

    fn total_bytes(&self) -> usize {
        let skipped = usize::from(self.flaw == Flaw::LosesRegion);
        self.regions.iter().skip(skipped).map(|region| region.len()).sum()
    }

    fn used_bytes(&self) -> usize {
        if self.flaw == Flaw::CountsNothing { 0 } else { self.used }
    }
}

struct Lab(Toy);

// SAFETY: the toy is accessible through the subject only. It looks up every pointer before it uses it, and, unless
// a flaw says otherwise, refuses regions that it owns.
unsafe impl Subject for Lab {
    fn heap(&mut self) -> &mut dyn ByteAllocator {
        &mut self.0
    }

    fn validate(&self) -> Result<(), String> {
        let sorted = self.0.blocks.is_sorted();
        let broken = self.0.flaw == Flaw::BreaksInvariant && self.0.allocs == 5;
        if sorted && !broken { Ok(()) } else { Err("the blocks are not sorted".to_owned()) }
    }

    fn checked(&self) -> bool {
        true
    }

    fn reclaim(&mut self) -> bool {
        true
    }
}

/// Returns a fixed program with every kind of operation.
fn program(ops: usize, seed: u64) -> Vec<Op> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    Op::decode(&(0..ops * slab_testkit::OP_BYTES).map(|_| next()).collect::<Vec<_>>())
}

fn arenas() -> Vec<Arena> {
    vec![Arena::new(20_000, 1), Arena::new(3000, 0), Arena::aligned(70_000, 8192, 4096)]
}

fn run(flaw: Flaw, ops: &[Op]) -> Result<Report, Violation> {
    try_check(Lab(Toy::new(flaw)), arenas(), ops)
}

const OPS: usize = if cfg!(miri) { 300 } else { 3000 };

#[test]
fn a_right_allocator_passes_and_everything_was_tried() {
    let report = check(Lab(Toy::new(Flaw::None)), arenas(), &program(OPS, 1));
    assert_eq!(report.executed + report.skipped, OPS);
    assert!(report.executed > OPS * 8 / 10, "{report:?}");
    assert!(report.allocated > OPS / 5 && report.freed > OPS / 6, "{report:?}");
    assert!(report.resized > OPS / 20 && report.refused > OPS / 50, "{report:?}");
    assert!(report.misuse_found > OPS / 50 && report.regions > 1, "{report:?}");
    assert!(report.validated > OPS / 4, "{report:?}");
}

#[test]
fn no_operation_means_nothing_executed() {
    let report = check(Lab(Toy::new(Flaw::None)), arenas(), &[]);
    assert_eq!((report.executed, report.allocated), (0, 0));
    let without_memory = check(Lab(Toy::new(Flaw::None)), Vec::new(), &program(50, 1));
    assert_eq!((without_memory.allocated, without_memory.regions), (0, 0));
}

#[test]
#[cfg_attr(miri, ignore = "slow: needs the whole program for some flaws")]
fn each_flaw_is_found_by_its_check() {
    use Fault::{Block, NotZero, Statistics, Total};
    use ShadowError::{Content, Misaligned, OutsideRegions, Overlap};

    let seen = |flaw, is_it: fn(&Fault) -> bool| {
        let violation = run(flaw, &program(OPS, 1)).expect_err(&format!("{flaw:?} was not found"));
        assert!(is_it(&violation.fault), "{flaw:?} was found as {violation}");
    };
    seen(Flaw::Overlaps, |f| matches!(f, Block(Overlap { .. })));
    seen(Flaw::Misaligns, |f| matches!(f, Block(Misaligned { .. })));
    seen(Flaw::LeavesRegion, |f| matches!(f, Block(OutsideRegions { .. })));
    seen(Flaw::WritesIntoLive, |f| matches!(f, Block(Content { .. })));
    seen(Flaw::ForgetsToZero, |f| matches!(f, NotZero { .. }));
    seen(Flaw::LosesContent, |f| matches!(f, Block(Content { .. })));
    seen(Flaw::TrimsUsable, |f| matches!(f, Fault::UsableBelowSize { .. }));
    seen(Flaw::CountsNothing, |f| matches!(f, Fault::UsedBelowLive { .. }));
    seen(Flaw::CountsTwice, |f| {
        matches!(f, Fault::UsedWithoutBlocks { .. } | Statistics { .. } | Fault::RefusalUsed { .. })
    });
    seen(Flaw::LeaksCount, |f| matches!(f, Fault::UsedWithoutBlocks { .. } | Statistics { .. }));
    seen(Flaw::LosesRegion, |f| matches!(f, Total { .. }));
    seen(Flaw::CountsRefused, |f| matches!(f, Fault::RefusalUsed { .. }));
    seen(Flaw::RefusesLive, |f| matches!(f, Fault::LiveRefused { .. }));
    seen(Flaw::AcceptsDoubleFree, |f| matches!(f, Fault::MisuseAccepted));
    seen(Flaw::AcceptsInterior, |f| matches!(f, Fault::MisuseAccepted));
    seen(Flaw::AcceptsForeign, |f| matches!(f, Fault::MisuseAccepted));
    seen(Flaw::AcceptsWrongLayout, |f| matches!(f, Fault::MisuseAccepted));
    seen(Flaw::AcceptsOwnedRegion, |f| matches!(f, Fault::MisuseAccepted));
    seen(Flaw::AnswersWithoutMemory, |f| matches!(f, Fault::AnswerWithoutMemory { .. }));
    seen(Flaw::BreaksInvariant, |f| matches!(f, Fault::Invariant(_)));
}

#[test]
#[should_panic(expected = "of an arena of 20000 was written")]
fn a_write_beside_the_region_is_found() {
    let _ = check(Lab(Toy::new(Flaw::WritesBesideRegion)), arenas(), &program(10, 1));
}

#[test]
fn a_violation_names_the_step() {
    let ops = [Op::AddRegion, Op::AllocZeroed { size: 9, align_log2: 0 }];
    let violation = run(Flaw::ForgetsToZero, &ops).expect_err("the last byte is one");
    assert_eq!((violation.step, violation.op), (1, Some(ops[1])));
    assert!(violation.to_string().starts_with("step 1, AllocZeroed { size: 9"), "{violation}");
}

#[cfg(feature = "proptest")]
mod random {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;

    proptest! {
        #[test]
        fn a_right_allocator_passes_any_program(ops in Op::strategy(200)) {
            let report = check(Lab(Toy::new(Flaw::None)), arenas(), &ops);
            prop_assert_eq!(report.executed + report.skipped, ops.len());
        }
    }

    #[test]
    fn a_flaw_is_found_and_shrunk_to_a_short_program() {
        let mut runner = TestRunner::default();
        let outcome = runner.run(&Op::strategy(200), |ops| {
            run(Flaw::ForgetsToZero, &ops)
                .map(|_| ())
                .map_err(|violation| TestCaseError::fail(violation.to_string()))
        });
        let Err(proptest::test_runner::TestError::Fail(_, ops)) = outcome else {
            panic!("the flaw was not found: {outcome:?}")
        };
        assert!(ops.len() <= 2, "not shrunk: {ops:?}");
    }
}
