//! Acquiring and releasing slabs: `try_reserve`, `compact`, `shrink_to`, `defragment`, `try_clone`.

use allocator_api2::alloc::Allocator;

use crate::error::SlabError;
use crate::handle::Key;
use crate::slab::SlabAllocator;
use crate::storage::{Relisting, Storage};

impl<T, K, A: Allocator> SlabAllocator<T, K, A> {
    /// Acquires memory for `additional` more values. *O*(slots acquired).
    ///
    /// # Panics
    ///
    /// If memory is refused; nothing changes then.
    #[track_caller]
    pub fn reserve(&mut self, additional: usize) {
        if let Err(reason) = self.try_reserve(additional) {
            panic!("cannot reserve {additional} slots: {reason}");
        }
    }

    /// As [`reserve`](Self::reserve), without the panic.
    ///
    /// # Errors
    ///
    /// [`SlabError::OutOfMemory`] or [`SlabError::IndexSpaceExhausted`]; slabs acquired before the refusal are released.
    /// A request that handles or addresses cannot name is refused before any memory is acquired.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names: SlabAllocator<String> = SlabAllocator::new(64);
    /// names.try_reserve(100)?;
    /// assert_eq!(names.free_slots(), 128);
    /// assert!(names.try_reserve(usize::MAX).is_err());
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn try_reserve(&mut self, additional: usize) -> Result<(), SlabError> {
        let missing = additional.saturating_sub(self.free_slots());
        self.storage.check_room(missing.div_ceil(self.slab_capacity()))?;
        let before = self.slab_count();
        while self.free_slots() < additional {
            if let Err(reason) = self.storage.grow() {
                self.storage.count_live();
                self.release_empty(self.slab_count() - before);
                return Err(reason);
            }
        }
        Ok(())
    }

    /// Sets how many empty slabs [`compact`](Self::compact) keeps: 0 by default.
    ///
    /// Without spare slabs, a program whose number of values varies around a multiple of the slab capacity acquires and
    /// releases the same slab again and again.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names: SlabAllocator<String> = SlabAllocator::new(64);
    /// names.set_spare_slabs(1);
    /// names.reserve(200);
    /// assert_eq!((names.compact(), names.slab_count()), (3, 1));
    /// ```
    pub const fn set_spare_slabs(&mut self, spare_slabs: usize) {
        self.spare_slabs = spare_slabs;
    }

    /// Returns how many empty slabs [`compact`](Self::compact) keeps.
    pub const fn spare_slabs(&self) -> usize {
        self.spare_slabs
    }

    /// Releases the memory of empty slabs, except for the [spare](Self::set_spare_slabs) ones, and returns how many were
    /// released. *O*(slots held): about 0.1 ns each if no slab is empty.
    ///
    /// **Live handles stay valid and stale handles stay stale.** A slab acquired later under the id of a released one
    /// starts with generations above those its slots had.
    ///
    /// A slab with one value is not empty. If a tenth of the values is left, spread over all slabs, `compact` alone
    /// releases nothing: call [`defragment`](Self::defragment) first.
    ///
    /// If the memory source panics in `deallocate`, the current slab is released whole, and the empty slabs after it
    /// stay.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut numbers = SlabAllocator::new(16);
    /// let keys: Vec<_> = (0..64).map(|n| numbers.insert(n)).collect();
    /// numbers.retain(|_, n| *n == 63);
    /// assert_eq!(numbers.compact(), 3);
    /// assert_eq!(numbers.get(keys[63]), Some(&63));
    /// assert_eq!(numbers.get(keys[0]), None);
    /// ```
    pub fn compact(&mut self) -> usize {
        let releasable = self.empty_slabs().saturating_sub(self.spare_slabs);
        self.release_empty(releasable)
    }

    /// Releases empty slabs while at least `slots` slots remain, whatever the number of spare slabs, forgets the ids of
    /// the last ones, and shrinks the directory. *O*(slots held + ids forgotten).
    ///
    /// Live handles stay valid and stale handles stay stale.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names: SlabAllocator<String> = SlabAllocator::new(64);
    /// names.reserve(200);
    /// names.shrink_to(100);
    /// assert_eq!(names.capacity(), 128);
    /// names.shrink_to_fit();
    /// assert_eq!(names.held_bytes(), 0);
    /// ```
    pub fn shrink_to(&mut self, slots: usize) {
        let needed = slots.div_ceil(self.slab_capacity());
        let releasable = self.slab_count().saturating_sub(needed).min(self.empty_slabs());
        let relisting = Relisting(&mut self.storage);
        release_empty(relisting.0, releasable);
        relisting.0.forget_vacant_tail();
    }

    /// Releases all empty slabs, as [`shrink_to`](Self::shrink_to) with 0.
    pub fn shrink_to_fit(&mut self) {
        self.shrink_to(0);
    }

    /// Makes the slots of slabs acquired from now on start above `generation`, so that handles of an earlier run of the
    /// program, up to that generation, are stale in this one. *O*(1).
    ///
    /// A slot has 2³¹ − 1 lives; those up to `generation` are spent, but at least one is left. A serialised allocator
    /// keeps the floor, up to generation 2³¹.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names = SlabAllocator::new(64);
    /// let of_an_earlier_run = names.insert("Ada");
    ///
    /// let mut names = SlabAllocator::new(64);
    /// names.raise_generation_floor(of_an_earlier_run.generation());
    /// names.insert("Bob");
    /// assert_eq!(names.get(of_an_earlier_run), None);
    /// ```
    pub fn raise_generation_floor(&mut self, generation: u32) {
        self.storage.raise_floor(generation);
    }

    /// Returns the number of slabs without values. *O*(slots held).
    fn empty_slabs(&mut self) -> usize {
        self.storage.count_live();
        let live = |slab| self.storage.slab_live(slab);
        self.storage.held_slab_ids().filter(|&slab| live(slab) == 0).count()
    }

    /// Releases `count` empty slabs, as last counted, from the last one down.
    fn release_empty(&mut self, count: usize) -> usize {
        if count > 0 {
            let relisting = Relisting(&mut self.storage);
            release_empty(relisting.0, count);
        }
        count
    }
}

impl<T, K: Key, A: Allocator> SlabAllocator<T, K, A> {
    /// Moves up to `max_moves` values from the emptiest slabs to the fullest, so that [`compact`](Self::compact) finds
    /// more empty slabs, and returns how many were moved.
    ///
    /// It calls `on_move(value, old, new)` before each move; afterwards the old key is stale. If `on_move` returns `false`
    /// or panics, that value stays, its key stays valid, and no more values are moved. Values only leave slabs that can
    /// be emptied altogether.
    ///
    /// *O*(slots + slabs × slabs emptied or filled + moves), counting what is held. Each call reads all generations, 4
    /// bytes per slot, and at its end writes to each vacant slot. So a few calls with thousands of moves each cost less
    /// than thousands of calls with a few.
    ///
    /// # Examples
    ///
    /// A tenth of the values is left, spread over all slabs. `compact` alone releases none of them:
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut numbers = SlabAllocator::new(16);
    /// let mut keys: Vec<_> = (0..160).map(|n| numbers.insert(n)).collect();
    /// numbers.retain(|_, n| *n % 10 == 0);
    /// assert_eq!(numbers.compact(), 0);
    ///
    /// numbers.defragment(usize::MAX, |&mut n, _old, new| {
    ///     keys[n] = new;
    ///     true
    /// });
    /// assert_eq!(numbers.compact(), 9);
    /// assert_eq!(numbers[keys[120]], 120);
    /// ```
    pub fn defragment(
        &mut self,
        max_moves: usize,
        mut on_move: impl FnMut(&mut T, K, K) -> bool,
    ) -> usize {
        crate::defragment::run(&mut self.storage, max_moves, &mut |value, old, new| {
            on_move(value, K::from_handle(old), K::from_handle(new))
        })
    }
}

/// Releases `count` empty slabs, as last counted, from the last one down. The caller rebuilds the lists.
fn release_empty<T, A: Allocator>(storage: &mut Storage<T, A>, count: usize) {
    let (mut end, mut left) = (storage.slab_ids(), count);
    while left > 0
        && let Some(slab) = storage.last_held_below(end)
    {
        if storage.slab_live(slab) == 0 {
            storage.release_slab(slab);
            left -= 1;
        }
        end = slab;
    }
}

impl<T: Clone, K: Key, A: Allocator + Clone> SlabAllocator<T, K, A> {
    /// Copies the values; a handle to a value is a handle to its copy. *O*(slots).
    ///
    /// # Errors
    ///
    /// [`SlabError::OutOfMemory`].
    pub fn try_clone(&self) -> Result<Self, SlabError> {
        let mut storage = self.storage.try_clone(self.storage.source().clone())?;
        storage.relist();
        Ok(Self { storage, spare_slabs: self.spare_slabs, key: self.key })
    }
}
