//! `history` finds a heap that loses memory.
#![cfg(not(miri))]
#![expect(unsafe_code, reason = "the toys are allocators")]

use std::alloc::Layout;
use std::ptr::NonNull;

use slab_testkit::{Subject, history};
use slab_traits::{AllocError, AllocResult, BaseAllocator, ByteAllocator, RegionError};

/// Hands out memory from the start of each region, and starts again when everything is freed. A broken one starts
/// `lost_each_time` bytes further each time.
#[derive(Default)]
struct Bump {
    regions: Vec<(NonNull<[u8]>, usize)>,
    live_count: usize,
    used_bytes: usize,
    lost_bytes: usize,
    lost_each_time: usize,
}

impl BaseAllocator for Bump {
    unsafe fn add_region(&mut self, region: NonNull<[u8]>) -> Result<(), RegionError> {
        self.regions.push((region, 0));
        Ok(())
    }
}

// SAFETY: each block is cut from the free part of a region, so no two live ones overlap.
unsafe impl ByteAllocator for Bump {
    fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        for (region, taken) in &mut self.regions {
            let start = region.cast::<u8>();
            let from = (start.addr().get() + *taken).next_multiple_of(layout.align());
            let end = from - start.addr().get() + layout.size();
            if end <= region.len() {
                *taken = end;
                self.live_count += 1;
                self.used_bytes += layout.size();
                // SAFETY: the block ends within the region.
                return Ok(unsafe { start.add(end - layout.size()) });
            }
        }
        Err(AllocError::NoMemory)
    }

    unsafe fn dealloc(&mut self, _: NonNull<u8>, layout: Layout) {
        self.live_count -= 1;
        self.used_bytes -= layout.size();
        if self.live_count == 0 {
            self.lost_bytes += self.lost_each_time;
            self.regions.iter_mut().for_each(|(_, taken)| *taken = self.lost_bytes);
        }
    }

    fn total_bytes(&self) -> usize {
        self.regions.iter().map(|(region, _)| region.len()).sum()
    }

    fn used_bytes(&self) -> usize {
        self.used_bytes
    }
}

struct Toy(Bump);

// SAFETY: the toy is accessible through the subject only.
unsafe impl Subject for Toy {
    fn heap(&mut self) -> &mut dyn ByteAllocator {
        &mut self.0
    }
}

fn toy(lost_each_time: usize) -> Box<dyn Subject> {
    Box::new(Toy(Bump { lost_each_time, ..Bump::default() }))
}

#[test]
fn a_heap_that_starts_again_serves_what_a_fresh_one_serves() {
    let report = history(5, |_| 0, || toy(0));
    assert_eq!((report.histories, report.fills, report.short_bytes_max), (5, 5 * 24, 0));
    assert!(report.aged_blocks > 100, "{report:?}");
}

#[test]
#[should_panic(expected = "where a fresh heap has")]
fn a_heap_that_lost_a_few_bytes_is_found() {
    history(5, |_| 0, || toy(100));
}

#[test]
#[should_panic(expected = "the largest block has")]
fn a_largest_block_that_became_smaller_is_found() {
    history(5, |_| usize::MAX / 4, || toy(100));
}
