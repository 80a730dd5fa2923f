//! When slabs come and go: `try_reserve`, `compact`, `shrink_to`, `defragment`, `try_clone`.

use allocator_api2::alloc::Allocator;

use crate::error::SlabError;
use crate::handle::Key;
use crate::slab::SlabAllocator;
use crate::storage::{Relisting, Storage};

impl<T, K: Key, A: Allocator> SlabAllocator<T, K, A> {
    /// Acquires memory until `additional` values can be stored without asking for more.
    /// *O*(slots acquired).
    ///
    /// # Errors
    ///
    /// As [`allocate`](Self::allocate). Slabs acquired before the refusal are given back. What handles or
    /// addresses cannot name is refused before any memory is acquired.
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

    /// Sets how many empty slabs [`compact`](Self::compact) keeps. None, unless told.
    ///
    /// A program whose number of values swings around the end of a slab would otherwise acquire and
    /// release that slab each time.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names: SlabAllocator<String> = SlabAllocator::new(64);
    /// names.set_spare_slabs(1);
    /// names.try_reserve(200)?;
    /// assert_eq!((names.compact(), names.slab_count()), (3, 1));
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub const fn set_spare_slabs(&mut self, spare_slabs: usize) {
        self.spare_slabs = spare_slabs;
    }

    /// Returns how many empty slabs [`compact`](Self::compact) keeps.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// assert_eq!(SlabAllocator::<u8>::new(64).spare_slabs(), 0);
    /// ```
    pub const fn spare_slabs(&self) -> usize {
        self.spare_slabs
    }

    /// Gives the memory of empty slabs back, all but the [spare](Self::set_spare_slabs) ones, and
    /// returns how many slabs that were. *O*(slots held), about 0.1 ns each if there is none.
    ///
    /// **Every live handle stays valid, and every freed one stale for ever**: a slab acquired later
    /// in the place of a released one starts with generations above those that its slots had.
    ///
    /// If the memory source unwinds from `deallocate`, the slab at hand is released whole, and empty slabs that
    /// come after it stay.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut numbers = SlabAllocator::new(16);
    /// let handles = (0..64).map(|n| numbers.allocate(n)).collect::<Result<Vec<_>, _>>()?;
    /// for &handle in &handles[..63] {
    ///     numbers.free(handle)?;
    /// }
    /// assert_eq!(numbers.compact(), 3);
    /// assert_eq!(numbers.get(handles[63]), Some(&63));
    /// assert_eq!(numbers.get(handles[0]), None);
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn compact(&mut self) -> usize {
        let releasable = self.empty_slabs().saturating_sub(self.spare_slabs);
        self.release_empty(releasable)
    }

    /// Gives the memory of empty slabs back while `slots` slots remain, spare slabs or not, forgets
    /// the ids of the last ones, and makes the directory as small as it can be. *O*(slots held + ids forgotten).
    ///
    /// Handles stay valid or stale as in [`compact`](Self::compact).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names: SlabAllocator<String> = SlabAllocator::new(64);
    /// names.try_reserve(200)?;
    /// names.shrink_to(100);
    /// assert_eq!(names.total_slots(), 128);
    /// names.shrink_to(0);
    /// assert_eq!(names.memory_bytes(), 0);
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn shrink_to(&mut self, slots: usize) {
        let needed = slots.div_ceil(self.slab_capacity());
        let releasable = self.slab_count().saturating_sub(needed).min(self.empty_slabs());
        let relisting = Relisting(&mut self.storage);
        release_empty(relisting.0, releasable);
        relisting.0.forget_vacant_tail();
    }

    /// Moves up to `max_moves` values out of the emptiest slabs into the fullest, so that
    /// [`compact`](Self::compact) finds more empty slabs, and returns how many were moved.
    ///
    /// `on_move(value, old, new)` is called before each move; the old handle is stale afterwards. If
    /// it returns `false`, or panics, that value stays where it is, its handle stays valid, and
    /// nothing more is moved. Values move only out of slabs that can be emptied altogether.
    ///
    /// *O*(slots + slabs × slabs emptied or filled + moves), all of those held: each call begins with a pass over all
    /// generations, 4 bytes a slot, and ends with one that lists the vacant slots anew, and writes to
    /// each of them. So a few calls that move thousands cost less than thousands that move a few.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut numbers = SlabAllocator::new(16);
    /// let mut handles = (0..64).map(|n| numbers.allocate(n)).collect::<Result<Vec<_>, _>>()?;
    /// numbers.retain(|_, n| *n % 16 == 0);
    ///
    /// let moves = numbers.defragment(usize::MAX, |&mut n, _old, new| {
    ///     handles[n] = new;
    ///     true
    /// });
    /// assert_eq!((moves, numbers.compact()), (3, 3));
    /// assert_eq!(numbers.get(handles[32]), Some(&32));
    /// # Ok::<(), slab_typed::SlabError>(())
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

    /// Makes the slots of slabs acquired from now on start above `generation`, so that handles kept
    /// from an earlier run of the program, up to that generation, are stale in this one.
    /// *O*(1).
    ///
    /// Each slot has 2³¹ − 1 lives, of which those up to `generation` are spent; at least one is
    /// always left. A serialised allocator keeps what was raised up to generation 2³¹.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names = SlabAllocator::new(64);
    /// let of_an_earlier_run = names.allocate("Ada")?;
    ///
    /// let mut names = SlabAllocator::new(64);
    /// names.raise_generation_floor(of_an_earlier_run.generation());
    /// names.allocate("Bob")?;
    /// assert_eq!(names.get(of_an_earlier_run), None);
    /// # Ok::<(), slab_typed::SlabError>(())
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

    /// Releases that many empty slabs, as last counted, the last ones first.
    fn release_empty(&mut self, count: usize) -> usize {
        if count > 0 {
            let relisting = Relisting(&mut self.storage);
            release_empty(relisting.0, count);
        }
        count
    }
}

/// Releases `count` empty slabs, as last counted, the last ones first. The caller makes the lists anew.
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
    /// Copies the values; each handle to one of the original is a handle to its copy. *O*(slots).
    ///
    /// # Errors
    ///
    /// [`SlabError::OutOfMemory`].
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names = SlabAllocator::new(64);
    /// let ada = names.allocate("Ada".to_owned())?;
    /// let copy = names.try_clone()?;
    /// assert_eq!(copy[ada], "Ada");
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn try_clone(&self) -> Result<Self, SlabError> {
        let mut storage = self.storage.try_clone(self.storage.source().clone())?;
        storage.relist();
        Ok(Self { storage, spare_slabs: self.spare_slabs, key: self.key })
    }
}
