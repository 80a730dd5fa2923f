//! The default memory source of what is made over an `Allocator`.

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

    /// Stands for the global allocator where there is none: without the feature `alloc` each
    /// allocator is made over a source of the caller's, and no value of this type exists.
    #[derive(Debug, Clone, Copy)]
    pub enum Global {}

    // SAFETY: there is no value to call it on.
    unsafe impl Allocator for Global {
        fn allocate(&self, _: Layout) -> Result<NonNull<[u8]>, AllocError> {
            match *self {}
        }

        unsafe fn deallocate(&self, _: NonNull<u8>, _: Layout) {
            match *self {}
        }
    }
}
