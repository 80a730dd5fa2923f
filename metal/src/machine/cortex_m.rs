//! ARMv6-M and ARMv7-M.
#![expect(unsafe_code, reason = "talks to the processor")]

use core::arch::{asm, global_asm};

// The vector table: where the stack begins, where to start, and where all else ends.
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

/// Takes a semihosting operation to the host.
///
/// # Safety
///
/// `parameter` points to what the operation reads.
pub unsafe fn semihost(operation: usize, parameter: *const u8) {
    // SAFETY: the host reads what the caller vouches for, and answers in the first register.
    unsafe { asm!("bkpt #0xab", inout("r0") operation => _, in("r1") parameter) };
}

/// Keeps interrupts out and returns whether they were let in.
pub fn mask_interrupts() -> bool {
    let masked: usize;
    // SAFETY: reads a register and sets its one bit.
    unsafe { asm!("mrs {masked}, primask", "cpsid i", masked = out(reg) masked) };
    masked & 1 == 0
}

/// Lets interrupts in.
///
/// # Safety
///
/// The caller's critical section is over.
pub unsafe fn unmask_interrupts() {
    // SAFETY: the caller's promise.
    unsafe { asm!("cpsie i") };
}
