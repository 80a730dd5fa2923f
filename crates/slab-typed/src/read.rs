//! Reading and changing values where they lie.

use core::ops::{Index, IndexMut};

use allocator_api2::alloc::Allocator;

use crate::error::SlabError;
use crate::handle::Key;
use crate::slab::SlabAllocator;

impl<T, K: Key, A: Allocator> SlabAllocator<T, K, A> {
    /// Returns the value, or `None` if it is gone. *O*(1): two dependent loads and two compares,
    /// the same for a handle that is stale.
    ///
    /// [`locate`](Self::locate) says why there is none.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names = SlabAllocator::new(64);
    /// let ada = names.allocate("Ada")?;
    /// assert_eq!(names.get(ada), Some(&"Ada"));
    /// names.free(ada)?;
    /// assert_eq!(names.get(ada), None);
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    #[inline]
    pub fn get(&self, key: K) -> Option<&T> {
        self.storage.get(key.handle())
    }

    /// Returns the value, or `None` if it is gone. *O*(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut numbers = SlabAllocator::new(64);
    /// let seven = numbers.allocate(7)?;
    /// if let Some(n) = numbers.get_mut(seven) {
    ///     *n += 1;
    /// }
    /// assert_eq!(numbers[seven], 8);
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    #[inline]
    pub fn get_mut(&mut self, key: K) -> Option<&mut T> {
        self.storage.get_mut(key.handle())
    }

    /// Returns whether the value is still there. *O*(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names = SlabAllocator::new(64);
    /// let ada = names.allocate("Ada")?;
    /// assert!(names.contains(ada));
    /// names.free(ada)?;
    /// assert!(!names.contains(ada));
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    #[inline]
    pub fn contains(&self, key: K) -> bool {
        self.get(key).is_some()
    }

    /// Returns several values at once. *O*(`N`²).
    ///
    /// # Errors
    ///
    /// As [`locate`](Self::locate) for the first handle that leads to no value, or
    /// [`SlabError::DuplicateHandle`] for one that was passed before.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut numbers = SlabAllocator::new(64);
    /// let (one, two) = (numbers.allocate(1)?, numbers.allocate(2)?);
    /// let [first, second] = numbers.get_disjoint_mut([one, two])?;
    /// core::mem::swap(first, second);
    /// assert_eq!((numbers[one], numbers[two]), (2, 1));
    /// assert!(numbers.get_disjoint_mut([one, one]).is_err());
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn get_disjoint_mut<const N: usize>(
        &mut self,
        keys: [K; N],
    ) -> Result<[&mut T; N], SlabError> {
        let handles = keys.map(Key::handle);
        // Looked up before it is borrowed for as long as the result.
        if let Some(at) = self.storage.first_unfit(&handles) {
            let (slab, slot) = self.locate_handle(handles[at])?;
            return Err(SlabError::DuplicateHandle { slab, slot });
        }
        let values = self.storage.get_disjoint_mut(handles);
        Ok(values.unwrap_or_else(|| unreachable!("all handles were found fit")))
    }
}

impl<T, K: Key, A: Allocator> Index<K> for SlabAllocator<T, K, A> {
    type Output = T;

    /// Returns the value.
    ///
    /// # Panics
    ///
    /// If it is gone.
    #[inline]
    fn index(&self, key: K) -> &T {
        let handle = key.handle();
        match self.storage.get(handle) {
            Some(value) => value,
            None => panic!("no value: {}", self.refusal(handle)),
        }
    }
}

impl<T, K: Key, A: Allocator> IndexMut<K> for SlabAllocator<T, K, A> {
    /// Returns the value.
    ///
    /// # Panics
    ///
    /// If it is gone.
    #[inline]
    fn index_mut(&mut self, key: K) -> &mut T {
        let handle = key.handle();
        if self.storage.get(handle).is_none() {
            panic!("no value: {}", self.refusal(handle));
        }
        match self.storage.get_mut(handle) {
            Some(value) => value,
            None => unreachable!("it was just found"),
        }
    }
}
