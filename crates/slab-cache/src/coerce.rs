//! Conversions of boxes and counted pointers to unsized values: trait objects and slices.
//!
//! Stable Rust converts the pointers of `std` by itself, but no pointers of other crates. It does convert raw
//! pointers, and that is enough: a [`Coercion`] is a function that does so.
#![expect(unsafe_code, reason = "a promise that a function only converts")]

use core::fmt;
use core::ptr::NonNull;

/// The conversion of a pointer to `T` into a pointer to the same value as a `U`, from [`coerce!`](crate::coerce).
///
/// # Invariants
///
/// - **D1 (conversion)**: the function returns its argument, after an unsizing coercion of the compiler. So the
///   result has the same address and provenance, and describes the same value.
pub struct Coercion<T: ?Sized, U: ?Sized>(fn(*mut T) -> *mut U);

impl<T: ?Sized, U: ?Sized> Coercion<T, U> {
    /// Makes a conversion of a function. Programs use [`coerce!`](crate::coerce) instead.
    pub const fn new(convert: fn(*mut T) -> *mut U, _: OnlyConverts) -> Self {
        Self(convert)
    }

    #[inline(always)]
    pub(crate) fn apply(self, pointer: NonNull<T>) -> NonNull<U> {
        let converted = self.0(pointer.as_ptr());
        // SAFETY: by D1 it has the address of a pointer that is not null.
        unsafe { NonNull::new_unchecked(converted) }
    }
}

impl<T: ?Sized, U: ?Sized> fmt::Debug for Coercion<T, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Coercion(..)")
    }
}

/// The promise of D1, an argument of [`Coercion::new`].
///
/// It is apart from the function, so that [`coerce!`](crate::coerce) needs no `unsafe` around the type that it is given:
/// the length of an array may call a function.
#[derive(Debug)]
pub struct OnlyConverts(());

impl OnlyConverts {
    /// Makes the promise.
    ///
    /// # Safety
    ///
    /// The function that is passed with it does nothing but return its argument, which the compiler coerces to the
    /// result's type.
    pub const unsafe fn promise() -> Self {
        Self(())
    }
}

/// Returns the [`Coercion`] to a trait object or a slice, for `SlabBox::unsize` and `SlabCounted::unsize`.
///
/// ```
/// use core::fmt::Display;
/// use slab_cache::{SlabBox, SlabCache, coerce};
///
/// let numbers = SlabCache::new()?;
/// let number: SlabBox<dyn Display> = SlabBox::unsize(numbers.alloc(7_u32)?, coerce!(dyn Display));
/// assert_eq!(number.to_string(), "7");
///
/// let triples = SlabCache::new()?;
/// let triple: SlabBox<[u8]> = SlabBox::unsize(triples.alloc([1_u8, 2, 3])?, coerce!([u8]));
/// assert_eq!(triple.len(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The compiler rejects what it does not coerce itself: a type without the trait, or a field of the value.
///
/// ```compile_fail,E0277
/// use slab_cache::{SlabBox, SlabCache, coerce};
///
/// struct Silent;
/// let cache = SlabCache::new().expect("memory");
/// SlabBox::unsize(cache.alloc(Silent).expect("memory"), coerce!(dyn core::fmt::Display));
/// ```
///
/// ```compile_fail,E0308
/// use slab_cache::{SlabBox, SlabCache, coerce};
///
/// let cache = SlabCache::new().expect("memory");
/// SlabBox::unsize(cache.alloc((1_u8, 2_u32)).expect("memory"), coerce!(u8));
/// ```
///
/// A type is no place for `unsafe` calls:
///
/// ```compile_fail,E0133
/// use slab_cache::{SlabBox, SlabCache, coerce};
///
/// const unsafe fn length() -> usize {
///     3
/// }
/// let cache = SlabCache::new().expect("memory");
/// SlabBox::unsize(cache.alloc([1_u8; 3]).expect("memory"), coerce!([u8; { length() }]));
/// ```
///
/// The value outlives what the trait object promises:
///
/// ```compile_fail,E0597
/// use slab_cache::{SlabBox, SlabCache, coerce};
///
/// let words = SlabCache::<&String>::new().expect("memory");
/// let word = "slab".to_owned();
/// let held = words.alloc(&word).expect("memory");
/// let shown: SlabBox<dyn core::fmt::Display + 'static> =
///     SlabBox::unsize(held, coerce!(dyn core::fmt::Display + 'static));
/// ```
#[macro_export]
macro_rules! coerce {
    ($target:ty) => {
        $crate::Coercion::<_, $target>::new(
            |pointer| pointer,
            // SAFETY: the function returns its argument, which the compiler coerces.
            unsafe { $crate::OnlyConverts::promise() },
        )
    };
}
