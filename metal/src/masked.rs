//! The heap's lock: interrupts are masked while it is held.
#![expect(unsafe_code, reason = "MaskInterrupts is an unsafe trait")]

use slab_traits::locks::{MaskInterrupts, Masked};

use crate::machine;

/// The lock of the heap.
pub type Lock = Masked<Machine>;

/// Masks the interrupts of this machine.
pub struct Machine;

// SAFETY: there is one core, and no interrupt handler runs while interrupts are masked. This program keeps no
// guard of a lock.
unsafe impl MaskInterrupts for Machine {
    /// Whether interrupts were enabled.
    type State = bool;

    fn mask() -> bool {
        machine::mask_interrupts()
    }

    unsafe fn restore(were_enabled: bool) {
        if were_enabled {
            // SAFETY: the caller guarantees that the critical section is over.
            unsafe { machine::unmask_interrupts() };
        }
    }
}
