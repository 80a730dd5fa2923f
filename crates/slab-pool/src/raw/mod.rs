//! All that is unsafe in this crate, in four files:
//!
//! * [`block`]: aligned memory from the allocator, always initialised;
//! * [`owner`]: a buffer's handle, alone or counted, one pointer wide;
//! * [`table`]: the thread's caches, and the pointer to the one used last;
//! * `buf_mut`: an unsafe trait of another crate.
#![expect(unsafe_code, reason = "memory with an alignment, and pointers that skip checks")]

mod block;
#[cfg(feature = "bytes")]
mod buf_mut;
mod owner;
mod table;

pub use block::Block;
pub use owner::{Owned, Shared};
pub use table::{hot_pop, hot_push, remove_cache, with_cache};
