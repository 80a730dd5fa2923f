//! The connection table of a small server on a machine without a heap. It has 64 KiB of static memory, which
//! interrupts and the main loop share behind a spin lock.
//!
//! Connections are boxes: a handler owns one, a queue owns several, and dropping one anywhere frees its slot. When
//! the memory is used up, the table returns the connection, and the server refuses the peer instead of failing.
//!
//! `cargo run -p slab-cache --example connections` prints what the table holds at each stage. Only the
//! printing and the second thread, which stands for the interrupts, need an operating system.
#![expect(unsafe_code, reason = "gives a static region to the heap")]

use core::ptr::NonNull;
use std::collections::VecDeque;
use std::thread;

use slab_bytes::SlabByteAllocator;
use slab_cache::{Checked, Config, Full, SlabBox, SlabCache};
use slab_traits::Locked;

const REGION_BYTES: usize = 64 * 1024;

type Lock = spin::Mutex<()>;
type Heap = Locked<Lock, SlabByteAllocator>;
type Connections = SlabCache<Connection, Static>;
type Handle = SlabBox<Connection, Static>;

/// Slabs of 1024 bytes in the static region, behind a spin lock.
enum Static {}

impl Config for Static {
    type Lock = Lock;
    type Mode = Checked;
    type Source = &'static Heap;
    const SLAB_BYTES: usize = 1024;
}

static HEAP: Heap = Locked::new(SlabByteAllocator::new());
static mut REGION: [u64; REGION_BYTES / 8] = [0; REGION_BYTES / 8];

/// A peer, and the bytes received from it.
struct Connection {
    peer: u32,
    received: usize,
    buffer: [u8; 200],
}

impl Connection {
    const fn new(peer: u32) -> Self {
        Self { peer, received: 0, buffer: [0; 200] }
    }

    fn receive(&mut self, bytes: &[u8]) {
        let end = (self.received + bytes.len()).min(self.buffer.len());
        self.buffer[self.received..end].copy_from_slice(&bytes[..end - self.received]);
        self.received = end;
    }
}

fn report(stage: &str, table: &Connections) {
    let stats = table.stats();
    let used = HEAP.used_bytes();
    println!(
        "{stage:<28} {:>4} live of {:>4} slots, {used:>6} bytes held",
        stats.live, stats.slots
    );
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let start = NonNull::new((&raw mut REGION).cast::<u8>()).ok_or("statics are not null")?;
    // SAFETY: nothing else names `REGION`.
    unsafe { HEAP.add_region(NonNull::slice_from_raw_parts(start, REGION_BYTES)) }?;
    let table = Connections::with_config_in(&HEAP)?;
    report("at first", &table);

    // Peers connect until the memory is used up.
    let mut open: VecDeque<Handle> = VecDeque::new();
    let refused = loop {
        match table.alloc(Connection::new(open.len() as u32)) {
            Ok(connection) => open.push_back(connection),
            Err(Full(connection)) => break connection.peer,
        }
    };
    report("used up", &table);
    println!("peer {refused} was refused");

    // Half of them are served and closed where the interrupts run.
    let closing = open.split_off(open.len() / 2);
    let served = thread::spawn(move || {
        closing
            .into_iter()
            .map(|mut connection| {
                connection.receive(b"goodbye");
                connection.received
            })
            .sum::<usize>()
    });
    let bytes = served.join().map_err(|_| "the handler failed")?;
    report("half were closed elsewhere", &table);
    println!("{bytes} bytes were received there");

    let mut again = table.alloc(Connection::new(refused)).map_err(|full| full.to_string())?;
    again.receive(b"hello");
    println!("peer {} was let in: {:?}", again.peer, &again.buffer[..again.received]);

    // The table's handle may go before the connections do.
    drop((table, again));
    println!("{} are served after the table is gone", open.len());
    drop(open);
    println!("{:<28} {:>30} bytes held", "at last", HEAP.used_bytes());
    Ok(())
}
