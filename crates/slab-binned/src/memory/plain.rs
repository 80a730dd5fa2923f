//! Values that zeroed memory may hold.
#![expect(unsafe_code, reason = "an unsafe trait")]

/// A value for which zero bytes are valid, and which needs no drop.
///
/// # Safety
///
/// A value of all zero bytes is valid.
pub unsafe trait Plain: Copy {}
