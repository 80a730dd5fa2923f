//! The entities of a game: a wave of them arrives, hunts one another, and most of them die.
//!
//! An entity refers to another one by its handle. When that one dies the handle is stale, also when a newcomer gets the
//! slot. Only some entities burn; a secondary map stores their fires. After each wave the memory of the dead is released,
//! and no handle changes.
//!
//! `cargo run -p slab-typed --example entities` prints how many live and burn, and how many bytes they take.

use slab_typed::{SecondaryMap, SlabAllocator, SlotHandle};

struct Entity {
    health: u32,
    prey: Option<SlotHandle>,
}

struct World {
    entities: SlabAllocator<Entity>,
    /// The remaining rounds of each fire.
    fires: SecondaryMap<SlotHandle, u32>,
    random: u64,
}

impl World {
    fn new() -> Self {
        Self { entities: SlabAllocator::new(256), fires: SecondaryMap::new(256), random: 0x5eed }
    }

    /// Marsaglia's xorshift, so that every run prints the same.
    fn below(&mut self, limit: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 33) as usize % limit
    }

    /// Adds entities, each of which hunts another one of them.
    fn arrive(&mut self, count: usize) {
        let mut wave = Vec::new();
        for _ in 0..count {
            let health = 5 + self.below(20) as u32;
            wave.push(self.entities.insert(Entity { health, prey: None }));
        }
        for &hunter in &wave {
            let prey = wave[self.below(count)];
            self.entities[hunter].prey = Some(prey).filter(|&prey| prey != hunter);
            if self.below(10) == 0 {
                self.fires.insert(hunter, 3);
            }
        }
    }

    /// Each entity hurts its prey, fires hurt and go out, and the dead are removed. Returns how many lost their prey.
    fn round(&mut self) -> usize {
        let preys: Vec<_> = self.entities.values().filter_map(|entity| entity.prey).collect();
        for prey in preys {
            if let Some(entity) = self.entities.get_mut(prey) {
                entity.health = entity.health.saturating_sub(3);
            }
        }
        for handle in self.entities.keys().collect::<Vec<_>>() {
            let Some(rounds) = self.fires.get_mut(handle) else { continue };
            *rounds -= 1;
            self.entities[handle].health = self.entities[handle].health.saturating_sub(2);
            if *rounds == 0 {
                self.fires.remove(handle);
            }
        }
        let fires = &mut self.fires;
        self.entities.retain(|handle, entity| {
            if entity.health == 0 {
                fires.remove(handle);
            }
            entity.health > 0
        });
        self.forget_the_dead()
    }

    /// Finds the stale handles of dead prey.
    fn forget_the_dead(&mut self) -> usize {
        let hunters: Vec<_> =
            self.entities.iter().map(|(handle, entity)| (handle, entity.prey)).collect();
        let stale = |&(_, prey): &(_, Option<SlotHandle>)| {
            prey.is_some_and(|prey| !self.entities.contains(prey))
        };
        let losers: Vec<_> = hunters.into_iter().filter(stale).collect();
        for &(hunter, _) in &losers {
            self.entities[hunter].prey = None;
        }
        losers.len()
    }

    /// Removes all entities but the first `room`.
    fn night(&mut self, room: usize) {
        let mut beds = room;
        let fires = &mut self.fires;
        self.entities.retain(|handle, _| {
            let stays = beds > 0;
            if stays {
                beds -= 1;
            } else {
                fires.remove(handle);
            }
            stays
        });
    }

    fn report(&self, moment: &str) {
        println!(
            "{moment:<20} {:>6} live {:>5} burn {:>8} bytes in {:>3} slabs",
            self.entities.len(),
            self.fires.len(),
            self.entities.held_bytes(),
            self.entities.slab_count(),
        );
    }
}

fn main() {
    let mut world = World::new();
    for wave in 1..=3 {
        world.arrive(20_000);
        world.report(&format!("wave {wave} arrives"));
        let eldest = world.entities.keys().next().expect("a wave arrived");
        let mut lost = 0;
        for _ in 0..6 {
            lost += world.round();
        }
        world.report("after six rounds");
        world.night(100);
        world.report("after the night");
        let before: Vec<SlotHandle> = world.entities.keys().collect();
        let released = world.entities.compact();
        assert!(before.iter().all(|&handle| world.entities.contains(handle)), "no handle changed");
        world.report(&format!("{released} slabs released"));
        let fate = if world.entities.contains(eldest) { "lives" } else { "is dead" };
        println!("  {lost} lost their prey; the eldest {fate}");
    }
    world.entities.clear();
    world.entities.compact();
    world.report("all gone");
}
