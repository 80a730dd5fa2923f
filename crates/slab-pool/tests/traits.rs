//! Buffers through the standard traits and `bytes::BufMut`.

use std::io::Write;

use slab_pool::{BufferPool, SharedBuffer};

#[test]
fn a_buffer_is_its_bytes() {
    let pool = BufferPool::new(4);
    let mut buffer = pool.acquire(4096);
    assert!(!buffer.is_empty());
    buffer.as_mut()[0] = 1;
    buffer.as_mut_slice()[1] = 2;
    buffer[2] = 3;
    assert_eq!((&buffer.as_ref()[..4], &buffer.as_slice()[..4]), (&[1, 2, 3, 0][..], &buffer[..4]));
    buffer.resize(0, 0);
    assert!(buffer.is_empty());
    buffer.write_all(b"appended").expect("room");
    buffer.flush().expect("nothing waits");
    let shared = SharedBuffer::from(buffer);
    assert_eq!(&shared[..], b"appended");
}

#[test]
fn what_a_debugger_prints() {
    let pool = BufferPool::new(4);
    let said = format!("{pool:?}");
    assert!(said.starts_with("BufferPool { id: ") && said.contains("1048576"), "{said}");
    let buffer = pool.acquire(5000);
    assert_eq!(format!("{buffer:?}"), "PooledBuffer { len: 8192, capacity: 8192, .. }");
    let part = buffer.freeze().slice(1..4);
    assert_eq!(format!("{part:?}"), "SharedBuffer { len: 3, capacity: 8192, .. }");
}

#[cfg(feature = "bytes")]
mod bytes {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use bytes::{BufMut, Bytes};
    use slab_pool::BufferPool;

    #[test]
    #[expect(unsafe_code, reason = "advances over what was written")]
    fn appending_fills_the_buffer_and_no_more() {
        let pool = BufferPool::new(4);
        let mut buffer = pool.acquire_for_write(4096);
        assert_eq!((buffer.len(), buffer.remaining_mut()), (0, 4096));
        buffer.put_slice(b"ab");
        buffer.put_bytes(b'c', 3);
        buffer.put_u16(0x6465);
        assert_eq!((&buffer[..], buffer.remaining_mut()), (&b"abcccde"[..], 4089));
        assert_eq!(buffer.chunk_mut().len(), 4089);
        buffer.chunk_mut()[..2].copy_from_slice(b"fg");
        // SAFETY: two bytes were written there.
        unsafe { buffer.advance_mut(2) };
        assert_eq!(&buffer[..], b"abcccdefg");
        let refused = |action: &mut dyn FnMut()| catch_unwind(AssertUnwindSafe(action)).is_err();
        assert!(refused(&mut || buffer.put_bytes(0, 4088)));
        assert!(refused(&mut || buffer.put_slice(&[0; 4088])));
        // SAFETY: it checks, and refuses.
        assert!(refused(&mut || unsafe { buffer.advance_mut(4088) }));
        assert_eq!(buffer.len(), 9, "a refusal changes nothing");
        assert_eq!(Bytes::from(buffer), &b"abcccdefg"[..]);
    }

    #[test]
    fn what_was_written_and_never_advanced_over_does_not_show_up() {
        let pool = BufferPool::new(4);
        let mut buffer = pool.acquire_for_write(4096);
        buffer.chunk_mut()[100..200].copy_from_slice(&[7; 100]);
        let place = buffer.as_ptr();
        drop(buffer);
        let buffer = pool.acquire(4096);
        assert_eq!(buffer.as_ptr(), place, "the same memory");
        assert!(buffer.iter().all(|&byte| byte == 0));
    }
}
