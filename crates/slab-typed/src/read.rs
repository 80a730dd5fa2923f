//! Access to values in their slots.

use core::ops::{Index, IndexMut};

use allocator_api2::alloc::Allocator;

use crate::error::SlabError;
use crate::handle::Key;
use crate::slab::SlabAllocator;

impl<T, K: Key, A: Allocator> SlabAllocator<T, K, A> {
    /// Returns the value, or `None` if it was removed. *O*(1): two dependent loads and three compares, for live and
    /// stale handles alike.
    ///
    /// [`locate`](Self::locate) says why there is no value.
    #[inline]
    pub fn get(&self, key: K) -> Option<&T> {
        self.storage.get(key.handle())
    }

    /// Returns the value, or `None` if it was removed. *O*(1).
    #[inline]
    pub fn get_mut(&mut self, key: K) -> Option<&mut T> {
        self.storage.get_mut(key.handle())
    }

    /// Returns whether the key leads to a value. *O*(1).
    #[doc(alias = "contains_key")]
    #[inline]
    pub fn contains(&self, key: K) -> bool {
        self.get(key).is_some()
    }

    /// Returns several values at once, or `None` if a key leads to no value or two keys are equal. *O*(`N`²).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut numbers = SlabAllocator::new(64);
    /// let (one, two) = (numbers.insert(1), numbers.insert(2));
    /// if let Some([first, second]) = numbers.get_disjoint_mut([one, two]) {
    ///     core::mem::swap(first, second);
    /// }
    /// assert_eq!((numbers[one], numbers[two]), (2, 1));
    /// assert_eq!(numbers.get_disjoint_mut([one, one]), None);
    /// ```
    #[doc(alias = "get2_mut")]
    pub fn get_disjoint_mut<const N: usize>(&mut self, keys: [K; N]) -> Option<[&mut T; N]> {
        self.storage.get_disjoint_mut(keys.map(Key::handle))
    }

    /// As [`get_disjoint_mut`](Self::get_disjoint_mut), and says what is wrong.
    ///
    /// # Errors
    ///
    /// As [`locate`](Self::locate) for the first key that leads to no value, or [`SlabError::DuplicateHandle`] for one
    /// that was passed before.
    pub fn try_get_disjoint_mut<const N: usize>(
        &mut self,
        keys: [K; N],
    ) -> Result<[&mut T; N], SlabError> {
        let handles = keys.map(Key::handle);
        // Looked up first: the borrow of `get_disjoint_mut` lasts as long as the result.
        if let Some(at) = self.storage.first_unfit(&handles) {
            let (slab, slot) = self.locate_handle(handles[at])?;
            return Err(SlabError::DuplicateHandle { slab, slot });
        }
        let values = self.storage.get_disjoint_mut(handles);
        Ok(values.unwrap_or_else(|| unreachable!("all handles were found fit")))
    }

    /// Returns the key of a value in this allocator, or `None` if the reference points elsewhere. *O*(slabs held).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names = SlabAllocator::new(64);
    /// let ada = names.insert("Ada");
    /// let value = &names[ada];
    /// assert_eq!(names.key_of(value), Some(ada));
    /// assert_eq!(names.key_of(&"Ada"), None);
    /// ```
    pub fn key_of(&self, value: &T) -> Option<K> {
        self.storage.handle_of(value).map(K::from_handle)
    }
}

impl<T, K: Key, A: Allocator> Index<K> for SlabAllocator<T, K, A> {
    type Output = T;

    /// Returns the value.
    ///
    /// # Panics
    ///
    /// If the key leads to no value.
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
    /// If the key leads to no value.
    #[inline]
    fn index_mut(&mut self, key: K) -> &mut T {
        let handle = key.handle();
        if self.storage.get(handle).is_none() {
            panic!("no value: {}", self.refusal(handle));
        }
        match self.storage.get_mut(handle) {
            Some(value) => value,
            None => unreachable!("the value was just found"),
        }
    }
}
