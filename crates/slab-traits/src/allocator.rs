//! `Locked` as an `Allocator`: of allocator-api2 0.2, and of `core` if the compiler has that trait.
//!
//! With allocator-api2's feature `nightly`, which any crate of a program may switch on, both are the same
//! trait. A build script cannot see that, so the types decide: [`SAME`] compares the error types of both
//! traits, and the implementation of allocator-api2's trait requires [`Blocks<SAME>`], which is
//! implemented for `SAME == false` only. If the traits are the same, that implementation never applies,
//! and the one of `core`'s trait remains.
#![expect(unsafe_code, reason = "Allocator is an unsafe trait")]

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use lock_api::RawMutex;

use crate::adapter::{Request, Resize};
use crate::{AllocResult, ByteAllocator, Locked};

/// Whether allocator-api2's `Allocator` is `core`'s.
#[cfg(core_allocator)]
const SAME: bool = {
    use core::alloc::AllocError as Core;
    use core::marker::PhantomData;

    use allocator_api2::alloc::AllocError as Api2;

    /// Its inherent constant exists for two equal types only, and takes precedence over that of a trait.
    struct Pair<A, B>(PhantomData<(A, B)>);
    #[allow(dead_code, reason = "used if the types are equal")]
    impl<A> Pair<A, A> {
        const EQUAL: bool = true;
    }
    #[allow(dead_code, reason = "used if the types differ")]
    trait Otherwise {
        const EQUAL: bool = false;
    }
    impl<P> Otherwise for P {}
    <Pair<Core, Api2>>::EQUAL
};
#[cfg(not(core_allocator))]
const SAME: bool = false;

/// The methods of both traits. No method unwinds.
trait Blocks<const SAME: bool> {
    fn allocate(&self, layout: Layout) -> AllocResult<NonNull<[u8]>>;

    fn allocate_zeroed(&self, layout: Layout) -> AllocResult<NonNull<[u8]>>;

    /// # Safety
    ///
    /// That of `Allocator::deallocate`.
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout);

    /// # Safety
    ///
    /// That of `Allocator::grow`.
    unsafe fn grow(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> AllocResult<NonNull<[u8]>>;

    /// # Safety
    ///
    /// That of `Allocator::grow_zeroed`.
    unsafe fn grow_zeroed(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> AllocResult<NonNull<[u8]>>;

    /// # Safety
    ///
    /// That of `Allocator::shrink`.
    unsafe fn shrink(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> AllocResult<NonNull<[u8]>>;
}

/// Gives a block the requested length.
fn sized(block: AllocResult<NonNull<u8>>, layout: Layout) -> AllocResult<NonNull<[u8]>> {
    Ok(NonNull::slice_from_raw_parts(block?, layout.size()))
}

/// Returns an empty block for a zero-sized layout, without asking an allocator.
fn empty(layout: Layout) -> NonNull<[u8]> {
    let address = ptr::without_provenance_mut(layout.align());
    NonNull::slice_from_raw_parts(NonNull::new(address).unwrap_or(NonNull::dangling()), 0)
}

impl<R: RawMutex, A: ByteAllocator> Blocks<false> for Locked<R, A> {
    #[inline]
    fn allocate(&self, layout: Layout) -> AllocResult<NonNull<[u8]>> {
        if layout.size() == 0 {
            return Ok(empty(layout));
        }
        // SAFETY: the request names no block.
        sized(unsafe { self.request(Request::Alloc(layout)) }, layout)
    }

    #[inline]
    fn allocate_zeroed(&self, layout: Layout) -> AllocResult<NonNull<[u8]>> {
        if layout.size() == 0 {
            return Ok(empty(layout));
        }
        // SAFETY: the request names no block.
        sized(unsafe { self.request(Request::AllocZeroed(layout)) }, layout)
    }

    #[inline]
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        if layout.size() != 0 {
            // SAFETY: the caller guarantees a live block of this allocator and a layout that fits it.
            unsafe { self.free(block, layout) };
        }
    }

    #[inline]
    unsafe fn grow(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> AllocResult<NonNull<[u8]>> {
        if old.size() == 0 {
            return self.allocate(new);
        }
        let request = Request::Grow(Resize { block, old, new });
        // SAFETY: the caller guarantees a live block and its layout.
        let grown = unsafe { self.request(request) };
        sized(grown, new)
    }

    #[inline]
    unsafe fn grow_zeroed(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> AllocResult<NonNull<[u8]>> {
        // SAFETY: `grow` has the same preconditions.
        let grown = unsafe { self.grow(block, old, new) }?;
        let added_bytes = new.size().saturating_sub(old.size());
        // SAFETY: the grown block has `new.size()` bytes, which no other code uses yet; the added ones are the
        // last of them.
        unsafe { grown.cast::<u8>().add(old.size()).write_bytes(0, added_bytes) };
        Ok(grown)
    }

    #[inline]
    unsafe fn shrink(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> AllocResult<NonNull<[u8]>> {
        if new.size() == 0 {
            // SAFETY: the caller guarantees a live block and its layout, and gives the block up.
            unsafe { self.deallocate(block, old) };
            return Ok(empty(new));
        }
        let request = Request::Shrink(Resize { block, old, new });
        // SAFETY: the caller guarantees a live block and its layout.
        let shrunk = unsafe { self.request(request) };
        sized(shrunk, new)
    }
}

/// The methods of an `Allocator` with error `$error`. Each calls the method of the same name of the trait
/// `$blocks` on `$this`.
macro_rules! forward_allocator {
    ($error:path, $blocks:ident, |$self:ident| $this:expr) => {
        #[inline]
        fn allocate(&$self, layout: Layout) -> Result<NonNull<[u8]>, $error> {
            $blocks::allocate($this, layout).map_err(|_| $error)
        }

        #[inline]
        fn allocate_zeroed(&$self, layout: Layout) -> Result<NonNull<[u8]>, $error> {
            $blocks::allocate_zeroed($this, layout).map_err(|_| $error)
        }

        #[inline]
        unsafe fn deallocate(&$self, block: NonNull<u8>, layout: Layout) {
            // SAFETY: the method called has the same preconditions.
            unsafe { $blocks::deallocate($this, block, layout) }
        }

        #[inline]
        unsafe fn grow(
            &$self,
            block: NonNull<u8>,
            old: Layout,
            new: Layout,
        ) -> Result<NonNull<[u8]>, $error> {
            // SAFETY: the method called has the same preconditions.
            unsafe { $blocks::grow($this, block, old, new) }.map_err(|_| $error)
        }

        #[inline]
        unsafe fn grow_zeroed(
            &$self,
            block: NonNull<u8>,
            old: Layout,
            new: Layout,
        ) -> Result<NonNull<[u8]>, $error> {
            // SAFETY: the method called has the same preconditions.
            unsafe { $blocks::grow_zeroed($this, block, old, new) }.map_err(|_| $error)
        }

        #[inline]
        unsafe fn shrink(
            &$self,
            block: NonNull<u8>,
            old: Layout,
            new: Layout,
        ) -> Result<NonNull<[u8]>, $error> {
            // SAFETY: the method called has the same preconditions.
            unsafe { $blocks::shrink($this, block, old, new) }.map_err(|_| $error)
        }
    };
}
#[cfg(core_allocator)]
pub(crate) use forward_allocator;

// SAFETY: blocks come from the inner allocator, which keeps them valid when it is moved and which no safe
// function takes out or replaces. `Locked` is neither `Clone` nor `Copy`. No method unwinds.
unsafe impl<R, A> allocator_api2::alloc::Allocator for Locked<R, A>
where
    Self: Blocks<{ SAME }>,
{
    forward_allocator!(allocator_api2::alloc::AllocError, Blocks, |self| self);
}

// SAFETY: blocks come from the inner allocator, which keeps them valid when it is moved and which no safe
// function takes out or replaces. `Locked` is neither `Clone` nor `Copy`, no method unwinds, and no safe
// function frees a block. By the contract of `ByteAllocator`, blocks are disjoint and lie in regions, which
// do not reach the last address.
#[cfg(core_allocator)]
unsafe impl<R: RawMutex, A: ByteAllocator> core::alloc::Allocator for Locked<R, A> {
    forward_allocator!(core::alloc::AllocError, Blocks, |self| self);
}
