//! Two processes simulate the same; one of them has a bit flipped. Each knows only its own log, and by a few messages
//! both find the operation, the block and the byte in which they differ.
//!
//! `cargo run -p slab-binned --example peers`
//!
//! The messages go through the pipes of a child process. Over a socket it is the same: `carry` takes anything that can
//! be read and written.

use std::error::Error;
use std::io::{self, Read, Write};
use std::process::{Command, Stdio};

use slab_binned::{BinnedError, BlockId, DivergenceSearch, LoggedAllocator, MESSAGE_BYTES_MAX};

const STEPS: u32 = 20_000;

/// Bodies that move; the state of each is a block.
fn simulate(flip_at: Option<u32>) -> Result<LoggedAllocator, BinnedError> {
    let mut memory = LoggedAllocator::new();
    let mut bodies: Vec<BlockId> = Vec::new();
    for step in 0..STEPS {
        if step % 50 == 0 {
            bodies.push(memory.alloc(64)?);
        }
        let id = bodies[step as usize * 7 % bodies.len()];
        let mut state: [u8; 64] = memory.try_get(id)?.try_into().unwrap_or([0; 64]);
        for (at, byte) in state.iter_mut().enumerate() {
            *byte = byte.wrapping_mul(5).wrapping_add(at as u8 + 1);
        }
        if Some(step) == flip_at {
            state[41] ^= 0x10;
        }
        memory.write(id, &state)?;
    }
    Ok(memory)
}

/// Carries the messages of a search, each behind its length, and returns the bytes sent.
fn carry(
    search: &mut DivergenceSearch<'_>,
    from: &mut impl Read,
    to: &mut impl Write,
) -> Result<usize, Box<dyn Error>> {
    let mut bytes = 0;
    while let Some(message) = search.message() {
        to.write_all(&(message.len() as u16).to_le_bytes())?;
        to.write_all(message)?;
        to.flush()?;
        bytes += 2 + message.len();
        let mut len = [0; 2];
        from.read_exact(&mut len)?;
        let len = usize::from(u16::from_le_bytes(len));
        // No peer makes us read more than a message can have.
        if len > MESSAGE_BYTES_MAX {
            return Err("the peer announces too long a message".into());
        }
        let mut received = vec![0; len];
        from.read_exact(&mut received)?;
        search.receive(&received)?;
    }
    Ok(bytes)
}

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().any(|argument| argument == "--peer") {
        let memory = simulate(Some(12_345))?;
        let mut search = DivergenceSearch::new(memory.log());
        carry(&mut search, &mut io::stdin(), &mut io::stdout())?;
        return Ok(());
    }
    let mut peer = Command::new(std::env::current_exe()?)
        .arg("--peer")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (Some(mut to), Some(mut from)) = (peer.stdin.take(), peer.stdout.take()) else {
        return Err("the peer has no pipes".into());
    };
    let memory = simulate(None)?;
    let mut search = DivergenceSearch::new(memory.log());
    let bytes = carry(&mut search, &mut from, &mut to)?;
    if !peer.wait()?.success() {
        return Err("the peer failed".into());
    }
    let found = search.divergence().ok_or("no difference was found")?;
    println!("{found}");
    let (rounds, operations) = (search.rounds(), memory.log().len());
    println!("\n{rounds} messages from either, {bytes} bytes, for logs of {operations} operations");
    assert!(found.to_string().contains("from byte 41 of the block on"));
    Ok(())
}
