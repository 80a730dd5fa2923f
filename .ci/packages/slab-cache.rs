//! Boxes dropped on another thread, after their cache.

use slab_cache::SharedCache;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let requests = SharedCache::<[u8; 200]>::shared()?;
    let mut open = Vec::new();
    for n in 0..1000_u32 {
        open.push(requests.alloc([n as u8; 200]).map_err(|full| full.to_string())?);
    }
    assert_eq!(requests.len(), 1000);
    drop(requests);
    let sum =
        std::thread::spawn(move || open.into_iter().map(|request| u32::from(request[199])).sum());
    let sum: u32 = sum.join().expect("no panic");
    assert_eq!(sum, (0..1000).map(|n| n % 256).sum());
    Ok(())
}
