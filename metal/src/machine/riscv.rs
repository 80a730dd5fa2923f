//! RV32 in machine mode.
#![expect(unsafe_code, reason = "talks to the processor")]

use core::arch::{asm, global_asm};

/// The bit of `mstatus` that lets interrupts in.
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

/// Takes a semihosting operation to the host.
///
/// # Safety
///
/// `parameter` points to what the operation reads.
pub unsafe fn semihost(operation: usize, parameter: *const u8) {
    // SAFETY: the host reads what the caller vouches for, and answers in the first register. The
    // three instructions, none compressed and all in one page, are how the host knows the call.
    unsafe {
        asm!(
            ".balign 16",
            ".option push",
            ".option norvc",
            "slli x0, x0, 0x1f",
            "ebreak",
            "srai x0, x0, 7",
            ".option pop",
            inout("a0") operation => _,
            in("a1") parameter,
        )
    };
}

/// Keeps interrupts out and returns whether they were let in.
pub fn mask_interrupts() -> bool {
    let status: usize;
    // SAFETY: reads a register and clears one bit of it.
    unsafe {
        asm!("csrrci {status}, mstatus, {bit}", status = out(reg) status, bit = const INTERRUPT_ENABLE)
    };
    status & INTERRUPT_ENABLE != 0
}

/// Lets interrupts in.
///
/// # Safety
///
/// The caller's critical section is over.
pub unsafe fn unmask_interrupts() {
    // SAFETY: the caller's promise.
    unsafe { asm!("csrsi mstatus, {bit}", bit = const INTERRUPT_ENABLE) };
}
