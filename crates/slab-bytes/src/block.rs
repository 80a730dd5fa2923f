//! Which class or run a layout takes, and which layouts a block may have. Arithmetic only.

use core::alloc::Layout;

use slab_core::Mode;

use crate::class::{GRANULE_BYTES, SizeClass, granules_for};
use crate::slack::CANARY_BYTES;

/// The slot or run that a layout needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fitting {
    Class(SizeClass),
    /// A run of `len` granules that starts at a multiple of `align` bytes.
    Run {
        len: u32,
        align: usize,
    },
    /// More than any region holds.
    Never,
}

/// Returns the bytes that the mode adds to every request.
pub const fn canary_bytes<M: Mode>() -> usize {
    if M::HARDENED { CANARY_BYTES } else { 0 }
}

/// Returns the slot or run that a layout needs.
#[inline]
pub fn fitting<M: Mode>(layout: Layout) -> Fitting {
    // A layout's size is at most `isize::MAX`, so the sum does not overflow.
    let size = layout.size() + canary_bytes::<M>();
    match SizeClass::of(size, layout.align()) {
        Some(class) => Fitting::Class(class),
        None => match granules_for(size) {
            Some(len) => Fitting::Run { len, align: layout.align().max(GRANULE_BYTES) },
            None => Fitting::Never,
        },
    }
}

/// Returns whether the slot of `class` at an address may be a block of this layout: the layout's own
/// class, or, in a segment with borrowed slots, a larger one.
pub fn fits_class<M: Mode>(
    layout: Layout,
    address: usize,
    class: SizeClass,
    borrowed: bool,
) -> bool {
    match fitting::<M>(layout) {
        Fitting::Class(own) if own == class => true,
        Fitting::Class(own) => borrowed && own < class && address.is_multiple_of(layout.align()),
        _ => false,
    }
}

/// Returns whether so many bytes of units at an address may be a block of this layout.
pub fn fits_units<M: Mode>(layout: Layout, address: usize, bytes: usize) -> bool {
    let own = matches!(fitting::<M>(layout), Fitting::Class(class) if class.slot_bytes() == bytes);
    own && address.is_multiple_of(layout.align())
}

/// Returns the sizes of blocks that have so many bytes of units.
pub fn units_sizes<M: Mode>(bytes: usize, align: usize) -> Sizes {
    let class = SizeClass::of(bytes, 1);
    class.map_or((0, bytes), |class| class_sizes::<M>(class, align, false))
}

/// Returns whether a run of `len` granules at an address may be a block of this layout.
#[inline]
pub fn fits_run<M: Mode>(layout: Layout, address: usize, len: u32) -> bool {
    match fitting::<M>(layout) {
        Fitting::Run { len: own, align } => own == len && address & (align - 1) == 0,
        _ => false,
    }
}

/// Returns whether a run of `len` granules at an address may be a block that was a run and was shrunk to
/// this layout of a class.
pub fn fits_borrowed_run<M: Mode>(layout: Layout, address: usize, len: u32) -> bool {
    let of_class = matches!(fitting::<M>(layout), Fitting::Class(_));
    of_class && run_granules::<M>(layout) == Some(len) && address.is_multiple_of(layout.align())
}

/// Returns the granules of a run that holds a block of this layout, whether or not a class does too.
pub fn run_granules<M: Mode>(layout: Layout) -> Option<u32> {
    granules_for(layout.size() + canary_bytes::<M>())
}

/// The smallest and the largest size that a block can have been allocated with.
pub type Sizes = (usize, usize);

/// Returns the sizes of blocks of a class at an alignment; all up to the slot's if it may be borrowed.
pub fn class_sizes<M: Mode>(class: SizeClass, align: usize, borrowed: bool) -> Sizes {
    let least = if borrowed { 0 } else { class.size_min(align) };
    let canary_bytes = canary_bytes::<M>();
    (least.saturating_sub(canary_bytes), class.slot_bytes() - canary_bytes)
}

/// Returns the sizes of blocks that are runs of `len` granules.
pub fn run_sizes<M: Mode>(len: u32) -> Sizes {
    let granules_bytes = len as usize * GRANULE_BYTES;
    let least = if len == 1 { 0 } else { granules_bytes - GRANULE_BYTES + 1 };
    let canary_bytes = canary_bytes::<M>();
    (least.saturating_sub(canary_bytes), granules_bytes - canary_bytes)
}
