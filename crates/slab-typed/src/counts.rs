//! How many values and slots there are, and whether the bookkeeping is sound.

use allocator_api2::alloc::Allocator;

use crate::error::Inconsistency;
use crate::slab::SlabAllocator;

impl<T, K, A: Allocator> SlabAllocator<T, K, A> {
    /// Returns the number of values. *O*(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names = SlabAllocator::new(64);
    /// names.allocate("Ada")?;
    /// assert_eq!(names.live_count(), 1);
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    #[inline]
    pub fn live_count(&self) -> usize {
        self.storage.live_count()
    }

    /// Returns whether there is no value. *O*(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names = SlabAllocator::new(64);
    /// assert!(names.is_empty());
    /// names.allocate("Ada")?;
    /// assert!(!names.is_empty());
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.live_count() == 0
    }

    /// Returns the number of slots for which memory is held: exactly `slab_count × slab_capacity`.
    /// *O*(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names = SlabAllocator::new(64);
    /// names.allocate("Ada")?;
    /// assert_eq!((names.slab_count(), names.total_slots()), (1, 64));
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn total_slots(&self) -> usize {
        self.slab_count() * self.slab_capacity()
    }

    /// Returns the number of slabs for which memory is held. *O*(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names = SlabAllocator::new(2);
    /// for name in ["Ada", "Bob", "Eve"] {
    ///     names.allocate(name)?;
    /// }
    /// assert_eq!(names.slab_count(), 2);
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn slab_count(&self) -> usize {
        self.storage.held_slabs() as usize
    }

    /// Returns the number of slots of a slab. *O*(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// assert_eq!(SlabAllocator::<u8>::new(100).slab_capacity(), 100);
    /// ```
    pub const fn slab_capacity(&self) -> usize {
        self.storage.geometry.slab_capacity
    }

    /// Returns how many values can be stored before memory is acquired. *O*(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names = SlabAllocator::new(64);
    /// assert_eq!(names.free_slots(), 0);
    /// names.allocate("Ada")?;
    /// assert_eq!(names.free_slots(), 63);
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn free_slots(&self) -> usize {
        self.total_slots() - self.live_count() - self.retired_slots()
    }

    /// Returns the number of slots that are not filled again, because their generations are used up.
    /// They go with their slab. *O*(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names = SlabAllocator::new(64);
    /// names.raise_generation_floor(u32::MAX); // As if all lives but one were spent.
    /// let last = names.allocate("Ada")?;
    /// names.free(last)?;
    /// assert_eq!((names.retired_slots(), names.free_slots()), (1, 63));
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn retired_slots(&self) -> usize {
        self.storage.retired_count()
    }

    /// Returns `live_count / total_slots`, or 0 if there are no slots. *O*(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names = SlabAllocator::new(4);
    /// names.allocate("Ada")?;
    /// assert_eq!(names.utilisation(), 0.25);
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn utilisation(&self) -> f64 {
        match self.total_slots() {
            0 => 0.0,
            slots => self.live_count() as f64 / slots as f64,
        }
    }

    /// Returns the bytes held: slots, generations and directory. What the memory source adds is not
    /// counted, nor is the allocator itself. *O*(slabs).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut numbers = SlabAllocator::new(1024);
    /// assert_eq!(numbers.memory_bytes(), 0);
    /// numbers.extend(0..102_400_u64);
    /// assert!(numbers.memory_bytes() / 102_400 == 12);
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn memory_bytes(&self) -> usize {
        self.storage.bytes()
    }

    /// Checks all bookkeeping. *O*(slots). For tests: nothing safe can break it.
    ///
    /// # Errors
    ///
    /// The first [`Inconsistency`], which is a bug of this crate or of an `unsafe` elsewhere.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// assert_eq!(SlabAllocator::<u8>::new(64).validate(), Ok(()));
    /// ```
    pub fn validate(&self) -> Result<(), Inconsistency> {
        self.storage.validate()
    }
}
