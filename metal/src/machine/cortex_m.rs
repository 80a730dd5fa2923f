//! ARMv6-M and ARMv7-M.
#![expect(unsafe_code, reason = "contains inline assembly")]

use core::arch::{asm, global_asm};

// The vector table: the initial stack pointer, the reset handler, and `fault` for every other exception. `reset`
// zeroes .bss, copies .data from flash to memory and calls `start`.
global_asm!(
    ".section .vectors, \"a\"",
    ".word _stack_top, reset",
    ".rept 14",
    ".word fault",
    ".endr",
    ".section .text.reset, \"ax\"",
    ".global reset",
    ".thumb_func",
    "reset:",
    "    ldr r0, =_bss_start",
    "    ldr r1, =_bss_end",
    "    movs r2, #0",
    "1:  cmp r0, r1",
    "    bhs 2f",
    "    str r2, [r0]",
    "    adds r0, r0, #4",
    "    b 1b",
    "2:  ldr r0, =_data_start",
    "    ldr r1, =_data_end",
    "    ldr r2, =_data_load",
    "3:  cmp r0, r1",
    "    bhs 4f",
    "    ldr r3, [r2]",
    "    str r3, [r0]",
    "    adds r0, r0, #4",
    "    adds r2, r2, #4",
    "    b 3b",
    "4:  bl start",
    "    b .",
    ".pool",
);

/// Asks the host for a semihosting operation.
///
/// # Safety
///
/// `parameter` points to the memory that the operation reads.
pub unsafe fn semihost(operation: usize, parameter: *const u8) {
    // SAFETY: the host reads only the memory that the caller guarantees, and returns a value in the first register.
    unsafe { asm!("bkpt #0xab", inout("r0") operation => _, in("r1") parameter) };
}

/// Masks interrupts and returns whether they were unmasked before.
pub fn mask_interrupts() -> bool {
    let masked: usize;
    // SAFETY: reads a register and sets its one bit.
    unsafe { asm!("mrs {masked}, primask", "cpsid i", masked = out(reg) masked) };
    masked & 1 == 0
}

/// Unmasks interrupts.
///
/// # Safety
///
/// The caller's critical section is over.
pub unsafe fn unmask_interrupts() {
    // SAFETY: the caller guarantees that its critical section is over.
    unsafe { asm!("cpsie i") };
}
