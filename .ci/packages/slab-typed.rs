//! Handles that go stale, in memory of the global allocator.

use slab_typed::{SlabAllocator, SlabError};

fn main() -> Result<(), SlabError> {
    let mut sessions = SlabAllocator::new(64);
    let handles = (0..1000).map(|n| sessions.allocate(n)).collect::<Result<Vec<_>, _>>()?;
    for &handle in handles.iter().skip(1).step_by(2) {
        sessions.free(handle)?;
    }
    sessions.compact();
    assert_eq!(sessions.get(handles[500]), Some(&500));
    assert_eq!(sessions.get(handles[501]), None);
    assert_eq!(sessions.iter().count(), 500);
    Ok(())
}
