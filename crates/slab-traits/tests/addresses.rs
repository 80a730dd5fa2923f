//! Regions given by address, with exposed provenance. They have a separate test binary, because strict
//! provenance forbids integer addresses.
#![expect(unsafe_code, reason = "implements and calls unsafe traits")]

use std::alloc::Layout;
use std::ptr::NonNull;

use slab_traits::{AllocError, BaseAllocator, RegionError, region_at};

#[derive(Default)]
struct Recorder {
    regions: Vec<NonNull<[u8]>>,
}

impl BaseAllocator for Recorder {
    unsafe fn add_region(&mut self, region: NonNull<[u8]>) -> Result<(), RegionError> {
        let start = region.cast::<u8>().addr().get();
        if let Some(other) =
            self.regions.iter().find(|other| other.cast::<u8>().addr().get() == start)
        {
            let (other_start, other_size) = (start, other.len());
            return Err(RegionError::Overlap {
                start,
                size: region.len(),
                other_start,
                other_size,
            });
        }
        self.regions.push(region);
        Ok(())
    }
}

#[test]
fn impossible_ranges_are_refused() {
    let mut heap = Recorder::default();
    let top = usize::MAX - 4095;
    let too_long = isize::MAX as usize + 1;
    for (start, size) in [(0, 0), (0, 4096), (top, 8192), (4096, usize::MAX), (4096, too_long)] {
        // SAFETY: the range is refused.
        assert_eq!(unsafe { heap.init(start, size) }, Err(AllocError::InvalidParam), "{start:#x}");
        // SAFETY: the range is refused.
        assert_eq!(unsafe { heap.add_memory(start, size) }, Err(AllocError::InvalidParam));
    }
    assert!(heap.regions.is_empty());
    assert_eq!(region_at(0, 5), Err(RegionError::Null { size: 5 }));
    let overflow = region_at(top, 8192).expect_err("past the end");
    assert_eq!(
        overflow.to_string(),
        format!("a region of 8192 bytes from {top:#x} runs past the end of the address space")
    );
}

#[test]
fn memory_given_by_address_is_the_memory_at_that_address() {
    let layout = Layout::from_size_align(256, 16).expect("valid");
    // SAFETY: the layout is not empty.
    let memory = unsafe { std::alloc::alloc(layout) };
    let start = memory.expose_provenance();
    let mut heap = Recorder::default();
    // SAFETY: 256 bytes that only the heap and this test use.
    unsafe { heap.init(start, 256) }.expect("a valid range");
    // SAFETY: the range is refused.
    let again = unsafe { heap.add_memory(start, 256) };
    assert_eq!(again, Err(AllocError::MemoryOverlap));
    let region = heap.regions[0];
    // SAFETY: the pointer is the first byte of the range.
    unsafe { region.cast::<u8>().write(42) };
    // SAFETY: the byte was just written, through the other pointer.
    assert_eq!(unsafe { memory.read() }, 42);
    // SAFETY: the memory was allocated with this layout and is not used again.
    unsafe { std::alloc::dealloc(memory, layout) };
}
