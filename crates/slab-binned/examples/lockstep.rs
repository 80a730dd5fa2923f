//! Two peers simulate the same world in lockstep and compare fingerprints after each tick. One of
//! them has a bug that shows once; the logs say at which operation.
//!
//! `cargo run -p slab-binned --example lockstep`

use std::error::Error;

use slab_binned::{
    BinnedError, BlockId, Config, Divergence, LoggedAllocator, Snapshot, diverges_at,
};

/// A world of creatures, each of which is a block: a kind, an age, and notes that get longer.
struct Peer {
    memory: LoggedAllocator,
    creatures: Vec<BlockId>,
    random: u64,
    /// The bug: from this tick on, the old are spared when the dice say so.
    forgiving_from: Option<u32>,
}

impl Peer {
    fn new(forgiving_from: Option<u32>) -> Self {
        let memory = LoggedAllocator::with_config(Config::new().cap_bytes(8 << 20));
        Self { memory, creatures: Vec::new(), random: 0x5EED, forgiving_from }
    }

    fn dice(&mut self, sides: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) % sides
    }

    /// Some are born, all grow older, some die.
    fn tick(&mut self, tick: u32) -> Result<(), BinnedError> {
        for _ in 0..3 {
            let notes = 8 + self.dice(120) as usize;
            let born = self.memory.alloc(2 + notes)?;
            let kind = self.dice(5) as u8;
            self.memory.write(born, &[kind, 0])?;
            self.creatures.push(born);
        }
        let mut at = 0;
        while at < self.creatures.len() {
            let id = self.creatures[at];
            let [kind, age] = [self.memory.try_get(id)?[0], self.memory.try_get(id)?[1] + 1];
            self.memory.write(id, &[kind, age])?;
            let dies = u64::from(age) > 3 + self.dice(12);
            let spared = self.forgiving_from.is_some_and(|from| tick >= from) && age == 9;
            if dies && !spared {
                self.memory.free(id)?;
                self.creatures.swap_remove(at);
            } else {
                at += 1;
            }
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut server, mut client) = (Peer::new(None), Peer::new(Some(40)));
    let mut agreed: Snapshot = server.memory.snapshot()?;
    for tick in 0..1000 {
        server.tick(tick)?;
        client.tick(tick)?;
        if server.memory.fingerprint() == client.memory.fingerprint() {
            // The next difference comes after this tick: the log before it is not needed.
            agreed = server.memory.snapshot()?;
            server.memory.clear_log();
            client.memory.clear_log();
            continue;
        }
        println!("tick {tick}: the peers disagree");
        let divergence =
            diverges_at(server.memory.log(), client.memory.log()).ok_or("no difference")?;
        println!("{divergence}");
        let Divergence::Operation { at, .. } = divergence else {
            return Err("the logs start at the same fingerprint".into());
        };
        println!("the last operations that they share:");
        let shared: Vec<_> = server.memory.log().operations().take(at).collect();
        for operation in shared.iter().rev().take(3).rev() {
            println!("    {operation}");
        }
        // The client starts over from what was agreed on, and does what the server did.
        let mut repaired = LoggedAllocator::restore(&agreed, 16 << 20)?;
        server.memory.log().replay_onto(&mut repaired)?;
        assert_eq!(repaired.fingerprint(), server.memory.fingerprint());
        println!("the client is repaired: {repaired:?}\n\n{}", repaired.occupancy());
        return Ok(());
    }
    Err("the peers never disagreed".into())
}
