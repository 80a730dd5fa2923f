//! How many values and slots there are, and how many bytes they take.

use allocator_api2::alloc::Allocator;

use crate::error::Inconsistency;
use crate::slab::SlabAllocator;

impl<T, K, A: Allocator> SlabAllocator<T, K, A> {
    /// Returns the number of values. *O*(1).
    #[inline]
    pub fn len(&self) -> usize {
        self.storage.live_count()
    }

    /// Alias of [`len`](Self::len).
    #[inline]
    pub fn live_count(&self) -> usize {
        self.len()
    }

    /// Returns whether there is no value. *O*(1).
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many values the memory held has room for: [`len`](Self::len) plus [`free_slots`](Self::free_slots).
    /// *O*(1).
    pub fn capacity(&self) -> usize {
        self.total_slots() - self.retired_slots()
    }

    /// Returns how many values can be stored before memory is requested. *O*(1).
    pub fn free_slots(&self) -> usize {
        self.capacity() - self.len()
    }

    /// Returns the number of slots held, retired ones included: exactly `slab_count × slab_capacity`. *O*(1).
    pub fn total_slots(&self) -> usize {
        self.slab_count() * self.slab_capacity()
    }

    /// Returns the number of slabs held. *O*(1).
    pub fn slab_count(&self) -> usize {
        self.storage.held_slabs() as usize
    }

    /// Returns the number of slots in a slab.
    pub const fn slab_capacity(&self) -> usize {
        self.storage.geometry.slab_capacity
    }

    /// Returns the number of slots that are never filled again, because their generations are used up. Releasing their
    /// slab removes them. *O*(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names = SlabAllocator::new(64);
    /// names.raise_generation_floor(u32::MAX); // Leaves one life to each slot.
    /// let last = names.insert("Ada");
    /// names.remove(last);
    /// assert_eq!((names.retired_slots(), names.free_slots()), (1, 63));
    /// ```
    pub fn retired_slots(&self) -> usize {
        self.storage.retired_count()
    }

    /// Returns `len / total_slots`, or 0 if there are no slots. *O*(1).
    pub fn utilisation(&self) -> f64 {
        match self.total_slots() {
            0 => 0.0,
            slots => self.len() as f64 / slots as f64,
        }
    }

    /// Returns the bytes requested from the memory source: slots, generations and directory. *O*(slabs).
    pub fn held_bytes(&self) -> usize {
        self.storage.bytes()
    }

    /// Alias of [`held_bytes`](Self::held_bytes).
    pub fn memory_bytes(&self) -> usize {
        self.held_bytes()
    }

    /// Returns the bytes of the values: [`len`](Self::len) times the size of one. *O*(1).
    pub fn used_bytes(&self) -> usize {
        self.len() * size_of::<T>()
    }

    /// Checks all bookkeeping. *O*(slots). For tests: safe code cannot break it.
    ///
    /// # Errors
    ///
    /// The first [`Inconsistency`]: a bug in this crate or in unsafe code elsewhere.
    pub fn validate(&self) -> Result<(), Inconsistency> {
        self.storage.validate()
    }
}
