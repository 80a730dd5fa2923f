//! The semihosting call of RISC-V.
#![expect(unsafe_code, reason = "contains inline assembly")]

use core::arch::asm;

/// Asks the host for a semihosting operation.
///
/// # Safety
///
/// `parameter` points to the memory that the operation reads.
pub unsafe fn semihost(operation: usize, parameter: *const u8) {
    // SAFETY: the host reads only the memory that the caller guarantees, and returns a value in the first register.
    // The host recognises the call by these three instructions, uncompressed and in one page.
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
