//! WebAssembly: memory can grow, and the host (`host.mjs`) provides two functions.
#![expect(unsafe_code, reason = "calls the host")]

use core::arch::wasm32;
use core::ptr::{self, NonNull};

const PAGE_BYTES: usize = 65_536;

#[link(wasm_import_module = "host")]
unsafe extern "C" {
    #[link_name = "write"]
    fn host_write(start: *const u8, len: usize);
    #[link_name = "exit"]
    safe fn host_exit(status: usize) -> !;
}

/// Ends the program with an exit status.
pub fn exit(status: usize) -> ! {
    host_exit(status)
}

/// Writes to the host's terminal.
pub fn write(text: &str) {
    // SAFETY: the host only reads the text, during the call.
    unsafe { host_write(text.as_ptr(), text.len()) };
}

/// Returns a new page, or `None` if the module's limit is reached.
pub fn grow() -> Option<NonNull<[u8]>> {
    match wasm32::memory_grow(0, 1) {
        usize::MAX => None,
        page => {
            let start = ptr::with_exposed_provenance_mut(page * PAGE_BYTES);
            Some(NonNull::slice_from_raw_parts(NonNull::new(start)?, PAGE_BYTES))
        }
    }
}

/// Does nothing: there are no interrupts.
pub fn mask_interrupts() -> bool {
    false
}

/// Does nothing: there are no interrupts.
///
/// # Safety
///
/// It has no precondition.
pub unsafe fn unmask_interrupts() {}
