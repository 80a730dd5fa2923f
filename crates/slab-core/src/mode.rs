//! How much an allocator checks: four unit types and the sealed trait that they implement.

use core::fmt::Debug;

/// How much an allocator checks: [`Unchecked`], [`Checked`], [`Hardened`] or [`Exhaustive`].
///
/// The constants are known at compile time, so that a check costs nothing in a mode without it.
pub trait Mode: sealed::Sealed + Copy + core::fmt::Debug + Default + Send + Sync + 'static {
    /// Whether a free is checked against the live map before anything is changed.
    const CHECKED: bool;
    /// Whether dead memory is filled and inspected, links are encoded, and a canary follows each block.
    const HARDENED: bool;
    /// Whether every byte is filled and inspected where [`Hardened`] takes samples.
    const EXHAUSTIVE: bool;
    /// The mode's name, for tables and messages.
    const NAME: &str;

    /// A `T` if the mode is [`HARDENED`](Self::HARDENED), else nothing: state that other modes need no memory
    /// for.
    type IfHardened<T: Initial>: Optional<T>;
}

/// A mode that knows which blocks are live: all but [`Unchecked`].
pub trait Tracking: Mode {}

impl Tracking for Checked {}
impl Tracking for Hardened {}
impl Tracking for Exhaustive {}

/// A type with a value to start from that is known at compile time.
pub trait Initial: Debug {
    /// The value to start from.
    const INITIAL: Self;
}

/// A `T` ([`Present`]), or nothing ([`Absent`]), as the type says.
pub trait Optional<T>: Debug {
    /// The initial `T`, or nothing.
    const INITIAL: Self;

    /// Returns the `T`, if there is one.
    fn get(&self) -> Option<&T>;

    /// Returns the `T`, if there is one.
    fn get_mut(&mut self) -> Option<&mut T>;
}

/// An [`Optional`] that has a `T`.
#[derive(Debug)]
pub struct Present<T>(T);

/// An [`Optional`] that has none.
#[derive(Debug)]
pub struct Absent;

impl<T: Initial> Optional<T> for Present<T> {
    const INITIAL: Self = Self(T::INITIAL);

    #[inline]
    fn get(&self) -> Option<&T> {
        Some(&self.0)
    }

    #[inline]
    fn get_mut(&mut self) -> Option<&mut T> {
        Some(&mut self.0)
    }
}

impl<T: Initial> Optional<T> for Absent {
    const INITIAL: Self = Self;

    #[inline]
    fn get(&self) -> Option<&T> {
        None
    }

    #[inline]
    fn get_mut(&mut self) -> Option<&mut T> {
        None
    }
}

/// Trusts the caller: the fastest mode, in which a double free corrupts the heap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Unchecked;

/// Checks every free in constant time: double frees, interior and foreign pointers are refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Checked;

/// Checks every free as [`Checked`] does, and also finds writes after free and past the end of a block.
///
/// Each allocator says how much of a dead block it fills and inspects: `slab-bytes` takes samples, `Slots` and
/// `slab-cache` fill whole slots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Hardened;

/// As [`Hardened`], with every byte of a dead block filled and inspected, to hunt a write after free that the
/// samples miss. It is too slow to ship.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Exhaustive;

impl Mode for Unchecked {
    const CHECKED: bool = false;
    const HARDENED: bool = false;
    const EXHAUSTIVE: bool = false;
    const NAME: &str = "unchecked";
    type IfHardened<T: Initial> = Absent;
}

impl Mode for Checked {
    const CHECKED: bool = true;
    const HARDENED: bool = false;
    const EXHAUSTIVE: bool = false;
    const NAME: &str = "checked";
    type IfHardened<T: Initial> = Absent;
}

impl Mode for Hardened {
    const CHECKED: bool = true;
    const HARDENED: bool = true;
    const EXHAUSTIVE: bool = false;
    const NAME: &str = "hardened";
    type IfHardened<T: Initial> = Present<T>;
}

impl Mode for Exhaustive {
    const CHECKED: bool = true;
    const HARDENED: bool = true;
    const EXHAUSTIVE: bool = true;
    const NAME: &str = "exhaustive";
    type IfHardened<T: Initial> = Present<T>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Unchecked {}
    impl Sealed for super::Checked {}
    impl Sealed for super::Hardened {}
    impl Sealed for super::Exhaustive {}
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Initial for u64 {
        const INITIAL: Self = 7;
    }

    fn state_of<M: Mode>() -> Option<u64> {
        let mut state = M::IfHardened::<u64>::INITIAL;
        if let Some(state) = state.get_mut() {
            *state += 1;
        }
        state.get().copied()
    }

    #[test]
    fn hardened_modes_alone_have_the_state_that_they_need() {
        assert_eq!([state_of::<Unchecked>(), state_of::<Checked>()], [None, None]);
        assert_eq!([state_of::<Hardened>(), state_of::<Exhaustive>()], [Some(8), Some(8)]);
        assert_eq!(size_of::<<Checked as Mode>::IfHardened<u64>>(), 0);
    }
}
