//! The checking pass finds every defect of a broken allocator.

use std::alloc::Layout;
use std::ptr::NonNull;

use slab_traits::{AllocError, AllocResult, BaseAllocator, ByteAllocator, RegionError};

use super::{Failure, Heap, Region};
use crate::trace::{Run, Trace, TraceBuilder, Warnings};

/// The defect of a broken allocator.
#[derive(Clone, Copy, PartialEq)]
enum Defect {
    None,
    Misaligns,
    GoesOutside,
    Overlaps,
    Scribbles,
    LeavesDirt,
    LosesContent,
    RunsOut,
}

/// Cuts blocks from the front of its region, with one defect.
struct Broken {
    free: NonNull<[u8]>,
    last: Option<NonNull<u8>>,
    defect: Defect,
}

impl Broken {
    fn cut(&mut self, layout: Layout) -> NonNull<u8> {
        let first = self.free.cast::<u8>();
        let bytes = first.align_offset(layout.align()) + layout.size();
        // SAFETY: the trace below needs less than the region.
        let (block, rest) = unsafe { (first.add(bytes - layout.size()), first.add(bytes)) };
        self.free = NonNull::slice_from_raw_parts(rest, self.free.len() - bytes);
        block
    }
}

impl BaseAllocator for Broken {
    unsafe fn add_region(&mut self, _: NonNull<[u8]>) -> Result<(), RegionError> {
        Ok(())
    }
}

// SAFETY: it violates the trait on purpose; the checks must see that before they touch a wrong byte.
unsafe impl ByteAllocator for Broken {
    fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        let block = self.cut(layout);
        let last = self.last.replace(block);
        Ok(match (self.defect, last) {
            (Defect::RunsOut, _) => return Err(AllocError::NoMemory),
            (Defect::Misaligns, _) => block.map_addr(|address| address.saturating_add(1)),
            (Defect::GoesOutside, _) => block.map_addr(|address| address.saturating_add(1 << 30)),
            (Defect::Overlaps, Some(last)) => last,
            (Defect::Scribbles, Some(last)) => {
                // SAFETY: the last block is still in the region.
                unsafe { last.write_bytes(0xEE, 9) };
                block
            }
            _ => block,
        })
    }

    fn alloc_zeroed(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        let block = self.alloc(layout)?;
        // SAFETY: a block of this length.
        unsafe { block.write_bytes(0, layout.size()) };
        if self.defect == Defect::LeavesDirt {
            // SAFETY: the trace below requests more than three zeroed bytes.
            unsafe { block.add(3).write(1) };
        }
        Ok(block)
    }

    unsafe fn dealloc(&mut self, _: NonNull<u8>, _: Layout) {}

    unsafe fn realloc(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        new_size: usize,
    ) -> AllocResult<NonNull<u8>> {
        let new = Layout::from_size_align(new_size, layout.align()).expect("a trace's layout");
        let moved = self.cut(new);
        if self.defect != Defect::LosesContent {
            // SAFETY: both blocks hold as many bytes, and a cut block is a fresh one.
            unsafe { moved.copy_from_nonoverlapping(block, layout.size().min(new_size)) };
        }
        Ok(moved)
    }

    fn total_bytes(&self) -> usize {
        0
    }

    fn used_bytes(&self) -> usize {
        0
    }
}

fn trace() -> Trace {
    let mut builder = TraceBuilder::default();
    for (size, align) in [(40, 16), (0, 16), (100, 64)] {
        builder.alloc(size, align, false).expect("sound");
    }
    builder.realloc(0, 90).expect("sound");
    builder.alloc(33, 16, true).expect("sound");
    builder.free(2).expect("sound");
    builder.realloc(3, 5).expect("sound");
    builder.finish("test", Run::default(), Warnings::default())
}

fn outcome(defect: Defect) -> Result<(), Failure> {
    let mut region = Region::new(1 << 16).expect("64 KiB");
    let free = region.first(usize::MAX);
    let start = free.addr().get();
    let allocator = Box::new(Broken { free, last: None, defect });
    Heap { allocator, bounds: Some(start..start + free.len()) }.check(&trace())
}

#[test]
fn a_sound_allocator_passes() {
    assert_eq!(outcome(Defect::None), Ok(()));
}

#[test]
fn every_defect_is_found() {
    assert_eq!(outcome(Defect::Misaligns), Err(Failure::Misaligned { operation: 0, align: 16 }));
    assert_eq!(outcome(Defect::GoesOutside), Err(Failure::Outside { operation: 0 }));
    assert_eq!(outcome(Defect::Overlaps), Err(Failure::Overlap { operation: 1 }));
    assert!(matches!(outcome(Defect::Scribbles), Err(Failure::Overwritten { offset: 0, .. })));
    let dirty = Failure::NotZeroed { operation: 4, offset: 3 };
    assert_eq!(outcome(Defect::LeavesDirt), Err(dirty));
    let lost = outcome(Defect::LosesContent);
    assert!(matches!(lost, Err(Failure::Overwritten { operation: 3, .. })), "{lost:?}");
    let refused = outcome(Defect::RunsOut);
    assert!(matches!(refused, Err(Failure::Refused { operation: 0, .. })), "{refused:?}");
}
