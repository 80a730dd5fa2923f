//! The default memory source of types with an `Allocator` parameter.

#[cfg(feature = "alloc")]
pub use allocator_api2::alloc::Global;

#[cfg(not(feature = "alloc"))]
pub use none::Global;

#[cfg(not(feature = "alloc"))]
mod none {
    #![expect(unsafe_code, reason = "implements the unsafe trait Allocator")]

    use core::alloc::Layout;
    use core::ptr::NonNull;

    use allocator_api2::alloc::{AllocError, Allocator};

    /// The default memory source in builds without the feature `alloc`. It has no values, so every allocator
    /// must be given a source.
    #[derive(Debug, Clone, Copy)]
    pub enum Global {}

    // SAFETY: the type has no values, so no method can be called.
    unsafe impl Allocator for Global {
        fn allocate(&self, _: Layout) -> Result<NonNull<[u8]>, AllocError> {
            match *self {}
        }

        unsafe fn deallocate(&self, _: NonNull<u8>, _: Layout) {
            match *self {}
        }
    }
}
