//! An input that is handed back because the request was refused.

use core::error::Error;
use core::fmt;

/// A value that a request could not use, together with the reason: the error of every request that takes
/// a value by ownership.
///
/// It is displayed as its error is. Its `Debug` and [`Error`] implementations do not ask anything of `T`,
/// so that `unwrap` and `?` work for every value.
///
/// # Examples
///
/// ```
/// use slab_traits::{AllocError, Refused};
///
/// fn insert(name: String) -> Result<usize, Refused<String, AllocError>> {
///     Err(Refused::new(name, AllocError::NoMemory))
/// }
///
/// let refused = insert("Ada".to_owned()).unwrap_err();
/// assert_eq!(*refused.error(), AllocError::NoMemory);
/// assert_eq!(refused.to_string(), "no free memory fits the request");
/// assert_eq!(refused.into_value(), "Ada");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[must_use = "it holds the value that was handed back"]
pub struct Refused<T, E> {
    value: T,
    error: E,
}

impl<T, E> Refused<T, E> {
    /// Hands `value` back because of `error`.
    #[cold]
    pub const fn new(value: T, error: E) -> Self {
        Self { value, error }
    }

    /// Returns the value.
    pub const fn value(&self) -> &T {
        &self.value
    }

    /// Returns why the request was refused.
    pub const fn error(&self) -> &E {
        &self.error
    }

    /// Returns the value, and drops the error.
    pub fn into_value(self) -> T {
        self.value
    }

    /// Returns the error, and drops the value.
    pub fn into_error(self) -> E {
        self.error
    }

    /// Returns the value and the error.
    pub fn into_parts(self) -> (T, E) {
        (self.value, self.error)
    }
}

impl<T, E: fmt::Debug> fmt::Debug for Refused<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<T, E: fmt::Display> fmt::Display for Refused<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<T, E: Error> Error for Refused<T, E> {
    /// Returns the source of the error: the error itself is what is displayed.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::ToString;

    use super::*;
    use crate::AllocError;

    /// Implements nothing.
    struct Opaque(u32);

    #[test]
    fn it_hands_back_a_value_that_implements_nothing() {
        let refused = Refused::new(Opaque(7), AllocError::NoMemory);
        assert_eq!((refused.value().0, *refused.error()), (7, AllocError::NoMemory));
        assert_eq!(format!("{refused:?}"), "Refused { error: NoMemory, .. }");
        assert_eq!(format!("{refused:>40}"), format!("{:>40}", AllocError::NoMemory));
        let (value, error) = refused.into_parts();
        assert_eq!((value.0, error), (7, AllocError::NoMemory));
        assert_eq!(Refused::new(Opaque(8), 1).into_value().0, 8);
        assert_eq!(Refused::new(Opaque(8), 1).into_error(), 1);
    }

    #[test]
    fn it_is_an_error_with_the_source_of_its_error() {
        #[derive(Debug)]
        struct Outer(AllocError);

        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("outer")
            }
        }

        impl Error for Outer {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }

        let refused = Refused::new(Opaque(7), Outer(AllocError::NoMemory));
        let error: &dyn Error = &refused;
        assert_eq!(error.to_string(), "outer");
        let source = error.source().expect("the source of the error");
        assert_eq!(source.to_string(), AllocError::NoMemory.to_string());
    }
}
