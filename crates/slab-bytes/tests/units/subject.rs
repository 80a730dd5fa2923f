//! A `UnitByteAllocator` as the subject of the operation language.

use slab_bytes::{Policy, UnitByteAllocator};
use slab_testkit::Subject;
use slab_traits::ByteAllocator;

/// A heap that starts without memory.
#[derive(Debug, Default)]
pub struct Heap<P: Policy>(pub UnitByteAllocator<P>);

// SAFETY: `try_dealloc` accepts any pointer and refuses what is no live block.
unsafe impl<P: Policy> Subject for Heap<P> {
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
