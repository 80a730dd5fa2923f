//! A user's allocator behind the traits and the adapter, in a vector.

use std::alloc::Layout;
use std::ptr::NonNull;

use allocator_api2::vec::Vec;
use slab_traits::{AllocError, AllocResult, BaseAllocator, ByteAllocator, Local, RegionError};

/// Hands out the region from its start and takes nothing back.
#[derive(Default)]
struct Bump {
    region: Option<NonNull<[u8]>>,
    used_bytes: usize,
}

impl BaseAllocator for Bump {
    unsafe fn add_region(&mut self, region: NonNull<[u8]>) -> Result<(), RegionError> {
        self.region = Some(region);
        Ok(())
    }
}

// SAFETY: each block starts where the last one ended.
unsafe impl ByteAllocator for Bump {
    fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        let region = self.region.ok_or(AllocError::NoMemory)?;
        let start = self.used_bytes.next_multiple_of(layout.align());
        if layout.align() > 64 || start + layout.size() > region.len() {
            return Err(AllocError::NoMemory);
        }
        self.used_bytes = start + layout.size();
        // SAFETY: below the region's length.
        Ok(unsafe { region.cast().add(start) })
    }

    unsafe fn dealloc(&mut self, _: NonNull<u8>, _: Layout) {}

    fn total_bytes(&self) -> usize {
        self.region.map_or(0, NonNull::len)
    }

    fn used_bytes(&self) -> usize {
        self.used_bytes
    }
}

#[repr(align(64))]
struct Memory([u8; 1024]);

fn main() {
    let mut memory = Memory([0; 1024]);
    let heap = Local::new(Bump::default());
    // SAFETY: the memory outlives the heap and is used through it alone.
    unsafe { heap.add_region(NonNull::from(&mut memory.0[..])) }.expect("one region");
    let mut numbers = Vec::new_in(&heap);
    numbers.extend(1..=100_u32);
    assert_eq!(numbers.iter().sum::<u32>(), 5050);
    assert!(numbers.try_reserve(1000).is_err(), "1024 bytes do not hold that");
}
