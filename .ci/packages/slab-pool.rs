//! A buffer is written, shared, cut, and used again.

use slab_pool::{BufferPool, PoolError};

fn main() -> Result<(), PoolError> {
    let pool = BufferPool::builder().outstanding_bytes_max(1 << 20).build()?;
    for round in 0..10 {
        let mut page = pool.acquire(10_000);
        assert!(page.iter().all(|&byte| byte == 0), "round {round}");
        page.write_at(0, b"header")?;
        let shared = page.freeze();
        assert_eq!(&*shared.slice(..6), b"header");
    }
    assert_eq!((pool.misses(), pool.recycles()), (1, 9));
    assert!(matches!(pool.try_acquire(2 << 20), Err(PoolError::ExceedsLimit { .. })));
    Ok(())
}
