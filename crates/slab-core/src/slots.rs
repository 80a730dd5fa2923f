//! A segment: one buffer from the caller, divided into slots of one size.
//!
//! A slot is handed out as a [`Slot`], a token that only a segment can make: pushing a token back is
//! safe, pushing a raw pointer is not. Slots that were never handed out are carved one by one from the
//! start of the buffer. Slots that came back are listed in a [`FreeList`](crate::FreeList), whose links
//! lie in them. The [`Mode`](crate::Mode) decides what is checked:
//!
//! | mode | bytes per slot of `n` bytes, before alignment | a push checks | a pop checks |
//! |---|---|---|---|
//! | `Unchecked` | max(`n`, size of an index) | that the pointer is a slot | the range of the link |
//! | `Checked` | the same and one bit | also that the slot is live | also that the next slot is dead |
//! | `Hardened` | `n` + 8 and one bit | also the canary behind the slot | also every byte of the slot |
//!
//! After a pop has found a fault, the segment hands out no more slots, because the code that wrote into
//! one dead slot may write into others. Slots can still be pushed.
//!
//! The segment never reads or drops a `T`, never locks and never allocates.

mod error;
mod guard;
mod segment;
mod shape;
mod slot;

use crate::Checked;

pub use error::SlotError;
pub use segment::{Segment, SlotsState};
pub use shape::{Erased, Shape, Typed};
pub use slot::{Rejected, Slot};

/// A segment of slots for values of type `T`. See [`Segment`] for its methods.
///
/// `T` may have any size and any alignment; values of zero bytes have distinct addresses too. `I` is the
/// type of a slot's number: a `u16` can number 65,535 slots.
///
/// # Examples
///
/// ```
/// use core::ptr::NonNull;
/// use slab_core::{SlotError, Slots, SlotsState};
///
/// let mut buffer = [0_u64; 64];
/// let start = NonNull::from(&mut buffer).cast();
/// // SAFETY: the buffer has that size, outlives the slots and is used through them alone.
/// let mut slots = unsafe { Slots::<[u64; 4]>::new(start, size_of_val(&buffer)) }?;
/// assert_eq!(slots.slot_count(), 15); // The rest holds the live map.
///
/// let mut slot = slots.try_pop_slot()?;
/// slot.as_uninit_mut().write([1, 2, 3, 4]);
/// assert_eq!(slots.state(), SlotsState::Partial);
///
/// slots.push(slot).expect("it came from here");
/// assert_eq!(slots.state(), SlotsState::Free);
/// # Ok::<(), SlotError>(())
/// ```
///
/// Its fields are private:
///
/// ```compile_fail,E0616
/// fn forge(slots: &mut slab_core::Slots<u64>) {
///     slots.carved = 7;
/// }
/// ```
pub type Slots<T, M = Checked, I = u16> = Segment<Typed<T>, M, I>;

/// A segment of slots for a layout known at run time. See [`Segment`] for its methods.
///
/// # Examples
///
/// ```
/// use core::alloc::Layout;
/// use core::ptr::NonNull;
/// use slab_core::{ErasedSlots, SlotError};
///
/// let mut buffer = [0_u64; 64];
/// let start = NonNull::from(&mut buffer).cast();
/// let layout = Layout::from_size_align(24, 8).expect("a valid layout");
/// // SAFETY: the buffer has that size, outlives the slots and is used through them alone.
/// let mut slots = unsafe { ErasedSlots::<slab_core::Checked>::new(layout, start, 512) }?;
/// let mut slot = slots.try_pop_slot()?;
/// assert_eq!(slot.as_uninit_mut().len(), 24);
/// # slots.push(slot).expect("it came from here");
/// # Ok::<(), SlotError>(())
/// ```
pub type ErasedSlots<M = Checked, I = u16> = Segment<Erased, M, I>;

#[cfg(test)]
mod tests;
