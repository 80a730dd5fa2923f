//! A lockstep game with rollback: each peer predicts what the other player does, goes on at once, and rolls back
//! when the real input arrives and differs. Both peers end with the same fingerprint.
//!
//! `cargo run -p slab-binned --example rollback`

use std::collections::VecDeque;
use std::error::Error;

use slab_binned::{BinnedError, BlockId, Checkpoint, Config, RollbackAllocator};

const FRAMES: u32 = 600;
/// Frames that an input takes to the other peer.
const DELAY: u32 = 5;
const PLAYERS: usize = 2;

type Input = u8;

/// The input of a player: it changes rarely, so that a prediction is often right.
fn input_of(player: usize, frame: u32) -> Input {
    (frame / (7 + 4 * player as u32) * 37 % 5) as Input
}

/// The state of the game. Every block, the list of the shots included, lies in `memory`, so that one rollback
/// brings all of it back.
struct World {
    memory: RollbackAllocator,
    /// The first block: positions of the players, and how many shots there are.
    state: BlockId,
    /// The ids of the shots.
    shots: BlockId,
}

const SHOTS_MAX: usize = 256;

impl World {
    fn new() -> Result<Self, BinnedError> {
        let mut memory = RollbackAllocator::with_config(Config::new().cap_bytes(8 << 20));
        // The checkpoints of the frames whose inputs may still be predicted.
        memory.set_checkpoint_limit(DELAY as usize + 1);
        let state = memory.alloc(4 * PLAYERS + 4)?;
        let shots = memory.alloc(8 * SHOTS_MAX)?;
        Ok(Self { memory, state, shots })
    }

    fn number(&self, at: usize) -> Result<u32, BinnedError> {
        let bytes = &self.memory.try_get(self.state)?[4 * at..4 * at + 4];
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn set_number(&mut self, at: usize, number: u32) -> Result<(), BinnedError> {
        self.memory.write_at(self.state, 4 * at, &number.to_le_bytes())
    }

    fn shot(&self, at: usize) -> Result<BlockId, Box<dyn Error>> {
        let bytes = self.memory.try_get(self.shots)?[8 * at..8 * at + 8].try_into()?;
        BlockId::from_bits(u64::from_le_bytes(bytes)).ok_or_else(|| "no shot there".into())
    }

    fn set_shot(&mut self, at: usize, shot: BlockId) -> Result<(), BinnedError> {
        self.memory.write_at(self.shots, 8 * at, &shot.to_bits().to_le_bytes())
    }

    /// Players move and shoot; each shot is a block, which ages and is freed.
    fn frame(&mut self, inputs: [Input; PLAYERS]) -> Result<(), Box<dyn Error>> {
        for (player, &input) in inputs.iter().enumerate() {
            let position = self.number(player)?.wrapping_add(u32::from(input));
            self.set_number(player, position)?;
            let count = self.number(PLAYERS)? as usize;
            if input == 3 && count < SHOTS_MAX {
                let shot = self.memory.alloc(40 + position as usize % 100)?;
                self.memory.write_at(shot, 4, &position.to_le_bytes())?;
                self.set_shot(count, shot)?;
                self.set_number(PLAYERS, count as u32 + 1)?;
            }
        }
        let mut at = 0;
        while at < self.number(PLAYERS)? as usize {
            let shot = self.shot(at)?;
            let age = self.memory.try_get(shot)?[0] + 1;
            if age < 30 {
                self.memory.write(shot, &[age])?;
                at += 1;
                continue;
            }
            self.memory.free(shot)?;
            let last = self.number(PLAYERS)? as usize - 1;
            let moved = self.shot(last)?;
            self.set_shot(at, moved)?;
            self.set_number(PLAYERS, last as u32)?;
        }
        Ok(())
    }
}

/// One peer: it knows its own inputs at once, and those of the other player `DELAY` frames later.
struct Peer {
    player: usize,
    world: World,
    /// Frames whose inputs of the other player are predicted: the checkpoint before each, and the prediction.
    predicted: VecDeque<(u32, Checkpoint, Input)>,
    last_known: Input,
    rollbacks: u32,
    frames_again: u32,
}

impl Peer {
    fn new(player: usize) -> Result<Self, BinnedError> {
        Ok(Self {
            player,
            world: World::new()?,
            predicted: VecDeque::new(),
            last_known: 0,
            rollbacks: 0,
            frames_again: 0,
        })
    }

    fn inputs(&self, frame: u32, other: Input) -> [Input; PLAYERS] {
        let mut inputs = [other; PLAYERS];
        inputs[self.player] = input_of(self.player, frame);
        inputs
    }

    fn advance(&mut self, frame: u32) -> Result<(), Box<dyn Error>> {
        let checkpoint = self.world.memory.checkpoint()?;
        self.predicted.push_back((frame, checkpoint, self.last_known));
        self.world.frame(self.inputs(frame, self.last_known))
    }

    /// The other player's input of the oldest predicted frame arrives.
    fn receive(&mut self, input: Input) -> Result<(), Box<dyn Error>> {
        let (frame, checkpoint, prediction) = self.predicted.pop_front().ok_or("not expected")?;
        self.last_known = input;
        if input == prediction {
            return Ok(());
        }
        self.world.memory.rollback(checkpoint)?;
        self.rollbacks += 1;
        self.world.frame(self.inputs(frame, input))?;
        for (frame, ..) in std::mem::take(&mut self.predicted) {
            self.advance(frame)?;
            self.frames_again += 1;
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut peers = [Peer::new(0)?, Peer::new(1)?];
    for frame in 0..FRAMES + DELAY {
        for peer in &mut peers {
            if frame < FRAMES {
                peer.advance(frame)?;
            }
            if let Some(arrived) = frame.checked_sub(DELAY) {
                let other = 1 - peer.player;
                peer.receive(input_of(other, arrived))?;
            }
        }
    }
    for peer in &peers {
        let Peer { player, world, rollbacks, frames_again, .. } = peer;
        let (fingerprint, shots) = (world.memory.fingerprint(), world.number(PLAYERS)?);
        println!("peer {player}: fingerprint {fingerprint:016x}, {shots} shots in flight");
        println!("    {rollbacks} rollbacks, {frames_again} frames simulated again");
        println!("    {} bytes for checkpoints", world.memory.checkpoint_bytes());
    }
    let [ours, theirs] = peers;
    assert_eq!(ours.world.memory.fingerprint(), theirs.world.memory.fingerprint());
    assert!(ours.rollbacks > 0 && theirs.rollbacks > 0);
    Ok(())
}
