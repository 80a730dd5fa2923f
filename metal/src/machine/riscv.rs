//! RV32 in machine mode.
#![expect(unsafe_code, reason = "contains inline assembly")]

#[path = "riscv_semihost.rs"]
mod riscv_semihost;

use core::arch::{asm, global_asm};

pub use riscv_semihost::semihost;

/// The bit of `mstatus` that enables interrupts.
const INTERRUPT_ENABLE: usize = 8;

global_asm!(
    ".section .vectors, \"ax\"",
    ".global reset",
    "reset:",
    "    la sp, _stack_top",
    "    la t0, trap",
    "    csrw mtvec, t0",
    "    la t0, _bss_start",
    "    la t1, _bss_end",
    "1:  bgeu t0, t1, 2f",
    "    sw zero, 0(t0)",
    "    addi t0, t0, 4",
    "    j 1b",
    "2:  call start",
    "3:  j 3b",
    ".balign 4",
    "trap:",
    "    call fault",
);

/// Masks interrupts and returns whether they were unmasked before.
pub fn mask_interrupts() -> bool {
    let status: usize;
    // SAFETY: reads a register and clears one bit of it.
    unsafe {
        asm!("csrrci {status}, mstatus, {bit}", status = out(reg) status, bit = const INTERRUPT_ENABLE)
    };
    status & INTERRUPT_ENABLE != 0
}

/// Unmasks interrupts.
///
/// # Safety
///
/// The caller's critical section is over.
pub unsafe fn unmask_interrupts() {
    // SAFETY: the caller guarantees that its critical section is over.
    unsafe { asm!("csrsi mstatus, {bit}", bit = const INTERRUPT_ENABLE) };
}
