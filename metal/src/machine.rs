//! The machine: start-up, interrupts, output to the host, and exit.

use core::fmt;

#[cfg_attr(target_arch = "arm", path = "machine/cortex_m.rs")]
#[cfg_attr(target_arch = "riscv32", path = "machine/riscv.rs")]
#[cfg_attr(target_arch = "wasm32", path = "machine/wasm.rs")]
mod imp;
#[cfg(not(target_arch = "wasm32"))]
mod semihosting;

#[cfg(target_arch = "wasm32")]
pub use imp::{exit, grow};
pub use imp::{mask_interrupts, unmask_interrupts};
#[cfg(not(target_arch = "wasm32"))]
pub use semihosting::exit;

/// The host's terminal.
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        #[cfg(target_arch = "wasm32")]
        imp::write(text);
        #[cfg(not(target_arch = "wasm32"))]
        semihosting::write(text);
        Ok(())
    }
}
