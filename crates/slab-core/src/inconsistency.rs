//! The error of `validate` methods.

use thiserror::Error;

/// A violated invariant of an allocator's bookkeeping, as its `validate` method found it.
///
/// # Examples
///
/// ```
/// use slab_core::Inconsistency;
///
/// fn validate(counted: u64, listed: u64) -> Result<(), Inconsistency> {
///     Inconsistency::check("vacant slots are listed", 0x1000, counted, listed)
/// }
///
/// assert_eq!(validate(7, 7), Ok(()));
/// assert_eq!(
///     validate(7, 6).unwrap_err().to_string(),
///     "invariant violated: vacant slots are listed: expected 7, found 6 (at 0x1000)",
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("invariant violated: {invariant}: expected {expected}, found {found} (at {place:#x})")]
pub struct Inconsistency {
    invariant: &'static str,
    place: u64,
    expected: u64,
    found: u64,
}

impl Inconsistency {
    /// Returns an error if two numbers differ. `place` is the address or the index where the invariant is
    /// checked, and 0 for a sum.
    ///
    /// # Errors
    ///
    /// An [`Inconsistency`] with the arguments.
    #[inline]
    pub const fn check(
        invariant: &'static str,
        place: u64,
        expected: u64,
        found: u64,
    ) -> Result<(), Self> {
        if expected == found { Ok(()) } else { Err(Self { invariant, place, expected, found }) }
    }

    /// Returns an error if a condition does not hold, which is then reported as 1 expected and 0 found.
    ///
    /// # Errors
    ///
    /// An [`Inconsistency`] with the arguments.
    #[inline]
    pub const fn check_that(holds: bool, invariant: &'static str, place: u64) -> Result<(), Self> {
        Self::check(invariant, place, 1, holds as u64)
    }

    /// Returns the invariant in words.
    pub const fn invariant(&self) -> &'static str {
        self.invariant
    }

    /// Returns the address or the index where the invariant is violated.
    pub const fn place(&self) -> u64 {
        self.place
    }

    /// Returns the number that the invariant requires.
    pub const fn expected(&self) -> u64 {
        self.expected
    }

    /// Returns the number that was found.
    pub const fn found(&self) -> u64 {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::Inconsistency;
    use std::string::ToString;

    #[test]
    fn only_a_difference_is_an_error() {
        assert_eq!(Inconsistency::check("sums agree", 3, u64::MAX, u64::MAX), Ok(()));
        let error = Inconsistency::check("sums agree", 3, 5, 4).expect_err("they differ");
        let numbers = (error.invariant(), error.place(), error.expected(), error.found());
        assert_eq!(numbers, ("sums agree", 3, 5, 4));
        assert_eq!(
            error.to_string(),
            "invariant violated: sums agree: expected 5, found 4 (at 0x3)"
        );
        assert_eq!(Inconsistency::check_that(true, "it is listed", 9), Ok(()));
        let error = Inconsistency::check_that(false, "it is listed", 9).expect_err("it is not");
        assert_eq!((error.expected(), error.found()), (1, 0));
    }
}
