//! A rapier world between two frames: its parts, serialised into blocks of an allocator with checkpoints.
//!
//! rapier gets its memory from the global allocator and has no parameter for another, so its collections cannot lie in
//! blocks. Each frame reads the world from the blocks, steps it, and writes back the bytes that differ. The blocks are
//! the whole state: nothing else survives a frame.

use std::error::Error;

use rapier2d::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use slab_binned::{BinnedError, BlockAllocator, BlockId, Checkpoint, Global, Logged, Rewindable};

pub type Memory = BlockAllocator<Global, Rewindable<Logged>>;
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// The parts of a world, a block each.
pub const PARTS: [&str; 6] =
    ["bodies", "colliders", "islands", "broad_phase", "narrow_phase", "impulse_joints"];

/// Bytes of an entry of the directory: a block, and how many of its bytes are in use.
const ENTRY_BYTES: usize = 16;

/// Bytes that are compared and written at once.
const STRETCH_BYTES: usize = 64;

/// The blocks of a world.
pub struct State {
    pub memory: Memory,
    /// The first block: the directory of the others.
    directory: BlockId,
}

impl State {
    /// Puts a world into a fresh allocator.
    pub fn new(world: &PhysicsWorld) -> Outcome<Self> {
        let mut memory = Memory::new();
        let directory = memory.alloc(PARTS.len() * ENTRY_BYTES)?;
        for part in 0..PARTS.len() {
            let id = memory.alloc(1024)?;
            memory.write_at(directory, part * ENTRY_BYTES, &id.to_bits().to_le_bytes())?;
        }
        let mut state = Self { memory, directory };
        state.store(world)?;
        Ok(state)
    }

    /// Returns the block of a part and how many of its bytes are in use.
    pub fn part(&self, part: usize) -> Outcome<(BlockId, usize)> {
        let entry = &self.memory.try_get(self.directory)?[part * ENTRY_BYTES..][..ENTRY_BYTES];
        let (id, len) = (entry[..8].try_into()?, entry[8..].try_into()?);
        let id = BlockId::from_bits(u64::from_le_bytes(id)).ok_or("the directory has no block")?;
        Ok((id, u64::from_le_bytes(len) as usize))
    }

    /// Returns the name of the part that a block holds.
    pub fn name(&self, block: BlockId) -> Option<&'static str> {
        let holds = |part: &usize| self.part(*part).is_ok_and(|(id, _)| id == block);
        (0..PARTS.len()).find(holds).map(|part| PARTS[part])
    }

    /// Returns the bytes of all parts.
    pub fn bytes(&self) -> usize {
        (0..PARTS.len()).filter_map(|part| self.part(part).ok()).map(|(_, len)| len).sum()
    }

    /// Reads the world.
    pub fn load(&self) -> Outcome<PhysicsWorld> {
        Ok(PhysicsWorld {
            bodies: self.read(0)?,
            colliders: self.read(1)?,
            islands: self.read(2)?,
            broad_phase: self.read(3)?,
            narrow_phase: self.read(4)?,
            impulse_joints: self.read(5)?,
            ..PhysicsWorld::default()
        })
    }

    fn read<T: DeserializeOwned>(&self, part: usize) -> Outcome<T> {
        let (id, len) = self.part(part)?;
        Ok(bincode::deserialize(&self.memory.try_get(id)?[..len])?)
    }

    /// Writes the bytes of the world that differ from what the blocks hold.
    pub fn store(&mut self, world: &PhysicsWorld) -> Outcome<()> {
        self.write(0, &world.bodies)?;
        self.write(1, &world.colliders)?;
        self.write(2, &world.islands)?;
        self.write(3, &world.broad_phase)?;
        self.write(4, &world.narrow_phase)?;
        self.write(5, &world.impulse_joints)
    }

    fn write(&mut self, part: usize, value: &impl Serialize) -> Outcome<()> {
        let bytes = bincode::serialize(value)?;
        let (mut id, len) = self.part(part)?;
        if bytes.len() > self.memory.try_get(id)?.len() {
            self.memory.free(id)?;
            id = self.memory.alloc(bytes.len().next_power_of_two())?;
            self.set_entry(part, 0, id.to_bits())?;
        }
        if bytes.len() != len {
            self.set_entry(part, 8, bytes.len() as u64)?;
        }
        for (nth, new) in bytes.chunks(STRETCH_BYTES).enumerate() {
            let offset = nth * STRETCH_BYTES;
            if &self.memory.try_get(id)?[offset..offset + new.len()] != new {
                self.memory.write_at(id, offset, new)?;
            }
        }
        Ok(())
    }

    fn set_entry(&mut self, part: usize, offset: usize, number: u64) -> Result<(), BinnedError> {
        let offset = part * ENTRY_BYTES + offset;
        self.memory.write_at(self.directory, offset, &number.to_le_bytes())
    }

    pub fn checkpoint(&mut self) -> Outcome<Checkpoint> {
        Ok(self.memory.checkpoint()?)
    }
}
