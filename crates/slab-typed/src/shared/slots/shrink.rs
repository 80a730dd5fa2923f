//! Gives back all memory that no value needs, for the only user of the slab.

use allocator_api2::alloc::Allocator;
use slab_core::OnDrop;

use super::Slots;
use super::chunk::ChunkList;
use super::record::Record;
use super::sync::{AtomicUsize, Ordering};

impl<T, A: Allocator> Slots<T, A> {
    /// Drops the values of forgotten guards, releases all memory without values, and forgets the last chunks that have
    /// none. *O*(slots).
    ///
    /// If a destructor or the source panics, the slab stays usable, and some memory is kept.
    pub fn shrink_to_fit(&mut self) {
        // Guards and pins borrow the slab: the ones that are left were forgotten.
        self.memory.records().for_each(Record::end_announcements);
        self.crowd = AtomicUsize::new(0);
        self.compact();
        // From here on all tokens are in the sets: the rings are empty, and nothing is pending.
        let live = self.len();
        self.unrecorded_live = AtomicUsize::new(live);
        self.memory.hide_records();
        let mut relisting = OnDrop::new(self, |slots| slots.relist());
        relisting.memory.forget_tail();
        relisting.memory.release_idle();
    }

    /// Makes the lists of chunks anew from their sets.
    fn relist(&mut self) {
        self.available = ChunkList::new();
        self.memory.relist_released();
        for number in (0..self.memory.count()).rev() {
            let chunk = self.memory.chunk(number).expect("there are `count` chunks");
            chunk.available.listed.store(false, Ordering::Relaxed);
            if chunk.vacant.iter().any(|word| word.load(Ordering::Relaxed) != 0) {
                self.available.offer(number, &chunk.available);
            }
        }
    }
}
