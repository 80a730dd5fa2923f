//! How much an allocator checks: three unit types and the sealed trait that they implement.

/// How much an allocator checks: [`Unchecked`], [`Checked`] or [`Hardened`].
///
/// The constants are known at compile time, so that a check costs nothing in a mode without it.
pub trait Mode: sealed::Sealed + Copy + core::fmt::Debug + Default + Send + Sync + 'static {
    /// Whether a free is checked against the live map before anything is changed.
    const CHECKED: bool;
    /// Whether dead memory is filled and inspected, links are encoded, and a canary follows each block.
    const HARDENED: bool;
    /// The mode's name, for tables and messages.
    const NAME: &str;
}

/// A mode that knows which blocks are live: [`Checked`] and [`Hardened`].
pub trait Tracking: Mode {}

impl Tracking for Checked {}
impl Tracking for Hardened {}

/// Trusts the caller: the fastest mode, in which a double free corrupts the heap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Unchecked;

/// Checks every free in constant time: double frees, interior and foreign pointers are refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Checked;

/// Checks every free as [`Checked`] does, and also finds writes after free and past the end of a block. A
/// free reads and writes the whole block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Hardened;

impl Mode for Unchecked {
    const CHECKED: bool = false;
    const HARDENED: bool = false;
    const NAME: &str = "unchecked";
}

impl Mode for Checked {
    const CHECKED: bool = true;
    const HARDENED: bool = false;
    const NAME: &str = "checked";
}

impl Mode for Hardened {
    const CHECKED: bool = true;
    const HARDENED: bool = true;
    const NAME: &str = "hardened";
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Unchecked {}
    impl Sealed for super::Checked {}
    impl Sealed for super::Hardened {}
}
