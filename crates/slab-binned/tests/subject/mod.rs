//! A `BinnedByteAllocator` as the subject of the test kit's operation language; shared with the fuzz
//! target.

use slab_binned::BinnedByteAllocator;
use slab_testkit::Subject;
use slab_traits::ByteAllocator;

/// A heap that starts without memory.
#[derive(Debug, Default)]
pub struct Heap(pub BinnedByteAllocator);

// SAFETY: `try_dealloc` accepts any pointer and any layout and refuses what is no live block;
// `add_region` refuses memory that it owns.
unsafe impl Subject for Heap {
    fn heap(&mut self) -> &mut dyn ByteAllocator {
        &mut self.0
    }

    fn validate(&self) -> Result<(), String> {
        self.0.validate().map_err(|inconsistency| inconsistency.to_string())
    }

    fn checked(&self) -> bool {
        true
    }

    fn reclaim(&mut self) -> bool {
        self.0.reclaim();
        true
    }
}
