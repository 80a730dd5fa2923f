//! A segment: one buffer of the caller's, divided into slots of one size.
//!
//! A slot is handed out as a [`Slot`], which nobody else can make: pushing one back is safe, pushing
//! a raw pointer is not. Slots that were never handed out are carved from the front of the buffer
//! one by one; those that came back are listed in a [`FreeList`](crate::FreeList) whose links lie in
//! them. What is checked, and what that costs, is the [`Mode`]'s to say:
//!
//! | mode | bytes a slot of `n` takes, before alignment | a free checks | a pop checks |
//! |---|---|---|---|
//! | `Unchecked` | max(`n`, size of an index) | that it is a slot | the link's range |
//! | `Checked` | the same and one bit | and that it is live | and that the next slot is dead |
//! | `Hardened` | `n` + 8 and one bit | and the canary behind it | and every byte of the slot |
//!
//! A finding of a pop stands: the segment hands out nothing more, since whoever wrote into a dead
//! slot may write again. Slots can still be pushed.
//!
//! The segment never reads a `T`, never drops one, never locks and never asks for memory.

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
/// Any `T` will do: of one byte, of none (each then has an address of its own), of any alignment.
/// `I` numbers the slots; a `u16` numbers 65 535.
///
/// # Examples
///
/// ```
/// use core::ptr::NonNull;
/// use slab_core::{SlotError, Slots, SlotsState};
///
/// let mut buffer = [0_u64; 64];
/// let start = NonNull::from(&mut buffer).cast();
/// // SAFETY: the buffer is as long as said, outlives the slots and is used through them alone.
/// let mut slots = unsafe { Slots::<[u64; 4]>::new(start, size_of_val(&buffer)) }?;
/// assert_eq!(slots.slot_count(), 15, "and the map of live slots");
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
/// Its fields are its own business:
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
/// // SAFETY: the buffer is as long as said, outlives the slots and is used through them alone.
/// let mut slots = unsafe { ErasedSlots::<slab_core::Checked>::new(layout, start, 512) }?;
/// let mut slot = slots.try_pop_slot()?;
/// assert_eq!(slot.as_uninit_mut().len(), 24);
/// # slots.push(slot).expect("it came from here");
/// # Ok::<(), SlotError>(())
/// ```
pub type ErasedSlots<M = Checked, I = u16> = Segment<Erased, M, I>;

#[cfg(test)]
mod tests;
