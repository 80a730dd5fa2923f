//! Pointers to allocators are allocators.
#![expect(unsafe_code, reason = "implements unsafe traits")]

use core::alloc::Layout;
use core::ptr::NonNull;

use crate::{AllocResult, BaseAllocator, ByteAllocator, Fault, RegionError};

/// Forwards every method to the allocator pointed to, the provided ones too, so that its overrides are used.
macro_rules! forward_byte_allocator {
    ($pointer:ty) => {
        impl<A: BaseAllocator + ?Sized> BaseAllocator for $pointer {
            unsafe fn add_region(&mut self, region: NonNull<[u8]>) -> Result<(), RegionError> {
                // SAFETY: the method pointed to has the same preconditions.
                unsafe { (**self).add_region(region) }
            }

            unsafe fn init(&mut self, start: usize, size: usize) -> AllocResult {
                // SAFETY: the method pointed to has the same preconditions.
                unsafe { (**self).init(start, size) }
            }

            unsafe fn add_memory(&mut self, start: usize, size: usize) -> AllocResult {
                // SAFETY: the method pointed to has the same preconditions.
                unsafe { (**self).add_memory(start, size) }
            }
        }

        // SAFETY: the allocator pointed to keeps the contract, and its blocks do not move with the pointer.
        unsafe impl<A: ByteAllocator + ?Sized> ByteAllocator for $pointer {
            fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
                (**self).alloc(layout)
            }

            unsafe fn dealloc(&mut self, block: NonNull<u8>, layout: Layout) {
                // SAFETY: the method pointed to has the same preconditions.
                unsafe { (**self).dealloc(block, layout) }
            }

            fn total_bytes(&self) -> usize {
                (**self).total_bytes()
            }

            fn used_bytes(&self) -> usize {
                (**self).used_bytes()
            }

            fn metadata_bytes(&self) -> usize {
                (**self).metadata_bytes()
            }

            fn available_bytes(&self) -> usize {
                (**self).available_bytes()
            }

            fn alloc_zeroed(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
                (**self).alloc_zeroed(layout)
            }

            unsafe fn resize_in_place(
                &mut self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> AllocResult<NonNull<u8>> {
                // SAFETY: the method pointed to has the same preconditions.
                unsafe { (**self).resize_in_place(block, old, new) }
            }

            unsafe fn alloc_for_move(
                &mut self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> AllocResult<NonNull<u8>> {
                // SAFETY: the method pointed to has the same preconditions.
                unsafe { (**self).alloc_for_move(block, old, new) }
            }

            unsafe fn grow(
                &mut self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> AllocResult<NonNull<u8>> {
                // SAFETY: the method pointed to has the same preconditions.
                unsafe { (**self).grow(block, old, new) }
            }

            unsafe fn shrink(
                &mut self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> AllocResult<NonNull<u8>> {
                // SAFETY: the method pointed to has the same preconditions.
                unsafe { (**self).shrink(block, old, new) }
            }

            unsafe fn realloc(
                &mut self,
                block: NonNull<u8>,
                layout: Layout,
                new_size: usize,
            ) -> AllocResult<NonNull<u8>> {
                // SAFETY: the method pointed to has the same preconditions.
                unsafe { (**self).realloc(block, layout, new_size) }
            }

            unsafe fn usable_size(&self, block: NonNull<u8>, layout: Layout) -> usize {
                // SAFETY: the method pointed to has the same preconditions.
                unsafe { (**self).usable_size(block, layout) }
            }

            unsafe fn try_dealloc(&mut self, block: NonNull<u8>, layout: Layout) -> AllocResult {
                // SAFETY: the method pointed to has the same preconditions.
                unsafe { (**self).try_dealloc(block, layout) }
            }

            fn take_fault(&mut self) -> Option<Fault> {
                (**self).take_fault()
            }
        }
    };
}

forward_byte_allocator!(&mut A);
#[cfg(feature = "alloc")]
forward_byte_allocator!(alloc::boxed::Box<A>);
