//! `Locked` as an `Allocator`: of allocator-api2 0.2, and of `core` where the compiler has that trait.
//!
//! With allocator-api2's feature `nightly`, which any crate of a program may switch on, both are one
//! trait. No build script can see that, so the types decide: [`SAME`] compares the error types of both
//! traits, and the implementation of allocator-api2's trait requires [`Blocks<SAME>`], which is
//! implemented for `SAME == false` alone. If the traits are one, that implementation never applies, and
//! that of `core`'s trait is the only one.
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

    /// An inherent constant goes before that of a trait, and is there for two equal types alone.
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
    /// As `Allocator::deallocate`.
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout);

    /// # Safety
    ///
    /// As `Allocator::grow`.
    unsafe fn grow(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> AllocResult<NonNull<[u8]>>;

    /// # Safety
    ///
    /// As `Allocator::grow_zeroed`.
    unsafe fn grow_zeroed(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> AllocResult<NonNull<[u8]>>;

    /// # Safety
    ///
    /// As `Allocator::shrink`.
    unsafe fn shrink(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> AllocResult<NonNull<[u8]>>;
}

/// Gives a block the length it was asked for.
fn sized(block: AllocResult<NonNull<u8>>, layout: Layout) -> AllocResult<NonNull<[u8]>> {
    Ok(NonNull::slice_from_raw_parts(block?, layout.size()))
}

/// Returns the empty block of a zero-sized layout, which no allocator needs to know of.
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
            // SAFETY: the caller promises a block of this allocator and a layout that fits it.
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
        // SAFETY: the caller promises a live block and its layout.
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
        // SAFETY: the caller's promise is the same.
        let grown = unsafe { self.grow(block, old, new) }?;
        let added_bytes = new.size().saturating_sub(old.size());
        // SAFETY: the grown block has `new.size()` bytes, so the added ones start inside it.
        let added = unsafe { grown.cast::<u8>().add(old.size()) };
        // SAFETY: they are ours to write and end where the block ends.
        unsafe { added.write_bytes(0, added_bytes) };
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
            // SAFETY: the caller gives the block up.
            unsafe { self.deallocate(block, old) };
            return Ok(empty(new));
        }
        let request = Request::Shrink(Resize { block, old, new });
        // SAFETY: the caller promises a live block and its layout.
        let shrunk = unsafe { self.request(request) };
        sized(shrunk, new)
    }
}

/// The methods of an `Allocator` whose errors are `$error`: those of the same names that `$this` has as
/// a `$blocks`.
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
            // SAFETY: the caller's promise is the same.
            unsafe { $blocks::deallocate($this, block, layout) }
        }

        #[inline]
        unsafe fn grow(
            &$self,
            block: NonNull<u8>,
            old: Layout,
            new: Layout,
        ) -> Result<NonNull<[u8]>, $error> {
            // SAFETY: the caller's promise is the same.
            unsafe { $blocks::grow($this, block, old, new) }.map_err(|_| $error)
        }

        #[inline]
        unsafe fn grow_zeroed(
            &$self,
            block: NonNull<u8>,
            old: Layout,
            new: Layout,
        ) -> Result<NonNull<[u8]>, $error> {
            // SAFETY: the caller's promise is the same.
            unsafe { $blocks::grow_zeroed($this, block, old, new) }.map_err(|_| $error)
        }

        #[inline]
        unsafe fn shrink(
            &$self,
            block: NonNull<u8>,
            old: Layout,
            new: Layout,
        ) -> Result<NonNull<[u8]>, $error> {
            // SAFETY: the caller's promise is the same.
            unsafe { $blocks::shrink($this, block, old, new) }.map_err(|_| $error)
        }
    };
}
#[cfg(core_allocator)]
pub(crate) use forward_allocator;

// SAFETY: blocks come from the inner allocator, which no safe function takes out or replaces, and
// which keeps them valid wherever it is moved. It is neither `Clone` nor `Copy`. No method unwinds.
unsafe impl<R, A> allocator_api2::alloc::Allocator for Locked<R, A>
where
    Self: Blocks<{ SAME }>,
{
    forward_allocator!(allocator_api2::alloc::AllocError, Blocks, |self| self);
}

// SAFETY: as above. Blocks are disjoint and end below the last address, as `ByteAllocator` promises, and
// no safe function of a shared or an exclusive reference frees one.
#[cfg(core_allocator)]
unsafe impl<R: RawMutex, A: ByteAllocator> core::alloc::Allocator for Locked<R, A> {
    forward_allocator!(core::alloc::AllocError, Blocks, |self| self);
}
