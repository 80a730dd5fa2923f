//! What a byte allocator offers to be checked.
#![expect(unsafe_code, reason = "the subject vouches for what may be done to its allocator")]

use slab_traits::ByteAllocator;

/// An allocator under test, with what only its own crate can see.
///
/// # Safety
///
/// - The allocator is reachable through the subject alone and is dropped with it: its memory is
///   freed afterwards.
/// - Where [`checked`](Self::checked) answers `true`, `try_dealloc` may be called with any pointer
///   and any layout, and `add_region` with memory that is already owned.
pub unsafe trait Subject {
    /// Returns the allocator. It has no memory yet when a check begins.
    fn heap(&mut self) -> &mut dyn ByteAllocator;

    /// Walks the allocator's invariants.
    ///
    /// # Errors
    ///
    /// What is broken, in words. It may as well panic.
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }

    /// Returns whether the allocator finds misuse: double frees, pointers into blocks, foreign
    /// pointers, layouts larger than the usable size, and regions that it owns already. The
    /// operations that misuse it run only then.
    fn checked(&self) -> bool {
        false
    }

    /// Makes the allocator give back what it keeps for later; returns whether it knows how to.
    fn reclaim(&mut self) -> bool {
        false
    }
}
