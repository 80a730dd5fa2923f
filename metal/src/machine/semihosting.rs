//! Semihosting: calls that a debugger, or QEMU, handles.
#![expect(unsafe_code, reason = "passes pointers to the host")]

use super::imp::semihost;

const WRITE_CHAR: usize = 0x03;
const EXIT_EXTENDED: usize = 0x20;
/// The reason code for a program that exits by itself.
const APPLICATION_EXIT: usize = 0x2_0026;

/// Ends the program and QEMU with an exit status.
pub fn exit(status: usize) -> ! {
    let parameters = [APPLICATION_EXIT, status];
    // SAFETY: the operation reads two words.
    unsafe { semihost(EXIT_EXTENDED, (&raw const parameters).cast()) };
    unreachable!("the host ended the program")
}

/// Writes to the host's terminal.
pub fn write(text: &str) {
    for byte in text.bytes() {
        // SAFETY: the operation reads one byte.
        unsafe { semihost(WRITE_CHAR, &raw const byte) };
    }
}
