//! What one thread has of one pool.

use std::sync::Arc;

use crate::buffer::Buffer;
use crate::core::Core;
use crate::magazine::Local;

/// A thread's part of a pool. It keeps the pool's core, but not the pool open.
#[derive(Debug)]
pub struct Cache {
    pub id: u64,
    pub core: Arc<Core>,
    pub local: Local<Buffer>,
}

impl Cache {
    pub fn new(core: &Arc<Core>) -> Self {
        Self { id: core.id, core: Arc::clone(core), local: Local::new(&core.depot) }
    }

    /// Returns whether the pool is gone, so that nothing here is of use.
    pub fn is_closed(&self) -> bool {
        self.core.depot.is_closed()
    }
}

impl Drop for Cache {
    /// The thread ends, or the pool has: buffers go where others can use them.
    fn drop(&mut self) {
        self.local.flush(&self.core.depot);
    }
}
