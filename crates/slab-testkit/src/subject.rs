//! An allocator under test.
#![expect(unsafe_code, reason = "Subject is an unsafe trait")]

use slab_traits::ByteAllocator;

/// An allocator under test, with the checks that only its crate can make.
///
/// # Safety
///
/// - The allocator is accessible only through the subject and is dropped with it, because its memory is freed
///   afterwards.
/// - If [`checked`](Self::checked) returns `true`, `try_dealloc` may be called with any pointer and any layout,
///   and `add_region` with memory that the allocator owns.
pub unsafe trait Subject {
    /// Returns the allocator. It has no memory yet when a check begins.
    fn heap(&mut self) -> &mut dyn ByteAllocator;

    /// Checks the allocator's invariants.
    ///
    /// # Errors
    ///
    /// A description of the violation. It may also panic.
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }

    /// Returns whether the allocator refuses misuse: double frees, pointers into blocks, foreign pointers,
    /// layouts larger than the usable size, and regions that it owns already. Operations that misuse the
    /// allocator run only if it does.
    fn checked(&self) -> bool {
        false
    }

    /// Makes cached memory of the allocator available for other sizes. Returns whether the allocator can do that.
    fn reclaim(&mut self) -> bool {
        false
    }
}
