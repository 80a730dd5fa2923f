//! A `SlabByteAllocator` as the subject of the operation language; shared with the fuzz target.

use slab_bytes::SlabByteAllocator;
use slab_core::Mode;
use slab_testkit::Subject;
use slab_traits::ByteAllocator;

/// A heap that starts without memory.
#[derive(Debug, Default)]
pub struct Heap<M: Mode>(pub SlabByteAllocator<M>);

// SAFETY: in `Checked` and `Hardened` mode `try_dealloc` accepts any pointer and refuses what is no
// live block; `Unchecked` does not claim to.
unsafe impl<M: Mode> Subject for Heap<M> {
    fn heap(&mut self) -> &mut dyn ByteAllocator {
        &mut self.0
    }

    fn validate(&self) -> Result<(), String> {
        self.0.validate().map_err(|inconsistency| inconsistency.to_string())
    }

    fn checked(&self) -> bool {
        M::CHECKED
    }

    fn reclaim(&mut self) -> bool {
        self.0.reclaim();
        true
    }
}
