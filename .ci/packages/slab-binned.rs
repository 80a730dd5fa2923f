//! Two peers do the same and have the same ids and fingerprints; then one does more.

use slab_binned::{BinnedError, LoggedAllocator, diverges_at};

fn main() -> Result<(), BinnedError> {
    let (mut server, mut client) = (LoggedAllocator::new(), LoggedAllocator::new());
    let mut ids = Vec::new();
    for peer in [&mut server, &mut client] {
        let id = peer.alloc(100)?;
        peer.write(id, b"spawn")?;
        ids.push(id);
    }
    assert_eq!(ids[0], ids[1]);
    assert_eq!(server.fingerprint(), client.fingerprint());
    client.alloc(64)?;
    assert!(diverges_at(server.log(), client.log()).is_some());
    Ok(())
}
