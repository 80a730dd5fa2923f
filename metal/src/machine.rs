//! The machine: start-up, interrupts, and words to the host by semihosting.
#![expect(unsafe_code, reason = "talks to the processor")]

use core::fmt;

#[cfg_attr(target_arch = "arm", path = "machine/cortex_m.rs")]
#[cfg_attr(target_arch = "riscv32", path = "machine/riscv.rs")]
mod imp;

pub use imp::{mask_interrupts, unmask_interrupts};

/// Semihosting operations.
const WRITE_CHAR: usize = 0x03;
const EXIT_EXTENDED: usize = 0x20;
/// The program ended by itself.
const APPLICATION_EXIT: usize = 0x2_0026;

/// Ends the program and QEMU with an exit status.
pub fn exit(status: usize) -> ! {
    let parameters = [APPLICATION_EXIT, status];
    // SAFETY: the operation reads two words.
    unsafe { imp::semihost(EXIT_EXTENDED, (&raw const parameters).cast()) };
    unreachable!("the host ended the program")
}

/// The host's terminal.
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: the operation reads one byte.
            unsafe { imp::semihost(WRITE_CHAR, &raw const byte) };
        }
        Ok(())
    }
}
