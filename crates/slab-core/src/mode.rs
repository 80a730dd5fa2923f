//! How much an allocator checks: three unit types and the sealed trait that reads them.

/// How much an allocator checks. Implemented by [`Unchecked`], [`Checked`] and [`Hardened`] only.
///
/// The constants are known at compile time, so what a mode does not ask for costs nothing.
pub trait Mode: sealed::Sealed + Copy + core::fmt::Debug + Default + Send + Sync + 'static {
    /// Whether a free is checked against the live map before anything is changed.
    const CHECKED: bool;
    /// Whether dead memory is filled and inspected, links are encoded and blocks end in a canary.
    const HARDENED: bool;
    /// The mode's name, for tables and messages.
    const NAME: &str;
}

/// A mode that knows which blocks are live: [`Checked`] and [`Hardened`].
pub trait Tracking: Mode {}

impl Tracking for Checked {}
impl Tracking for Hardened {}

/// Trusts its caller: the fastest, and the one in which a double free corrupts the heap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Unchecked;

/// Checks every free in constant time: double frees, interior and foreign pointers are refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Checked;

/// Checks what [`Checked`] does, and finds writes after free and past the end of a block too. It
/// reads and writes all of a block when that is freed.
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
