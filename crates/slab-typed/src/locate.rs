//! Conversion between handles and places: slab and slot.

use allocator_api2::alloc::Allocator;

use crate::error::SlabError;
use crate::handle::{Key, SlotHandle};
use crate::slab::SlabAllocator;

impl<T, K: Key, A: Allocator> SlabAllocator<T, K, A> {
    /// Returns the slab of a value and its slot within that slab. *O*(1).
    ///
    /// # Errors
    ///
    /// Why the key leads to no value: [`SlabError::SlabIndexOutOfRange`] or [`SlabError::SlotIndexOutOfRange`] for a
    /// forged handle or one of another allocator, [`SlabError::SlabReleased`], [`SlabError::SlotAlreadyFree`],
    /// [`SlabError::StaleHandle`].
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::{SlabAllocator, SlabError};
    ///
    /// let mut names = SlabAllocator::new(64);
    /// let ada = names.insert("Ada");
    /// assert_eq!(names.locate(ada), Ok((0, 0)));
    /// names.remove(ada);
    /// assert_eq!(names.locate(ada), Err(SlabError::SlotAlreadyFree { slab: 0, slot: 0 }));
    /// ```
    pub fn locate(&self, key: K) -> Result<(usize, usize), SlabError> {
        self.locate_handle(key.handle())
    }

    /// As [`locate`](Self::locate). Callers convert a key to a handle once, because `Key::handle` may return another
    /// handle the next time.
    pub(crate) fn locate_handle(&self, handle: SlotHandle) -> Result<(usize, usize), SlabError> {
        let (slab, slot) = self.storage.geometry.locate(handle.index());
        self.live_generation(slab as usize, slot, handle.generation())?;
        Ok((slab as usize, slot))
    }

    /// Returns the key of the value at a place, if it has this generation. *O*(1).
    ///
    /// # Errors
    ///
    /// As [`locate`](Self::locate).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::{SlabAllocator, SlabError};
    ///
    /// let mut names = SlabAllocator::new(64);
    /// let ada = names.insert("Ada");
    /// assert_eq!(names.handle_at(0, 0, ada.generation()), Ok(ada));
    /// assert_eq!(names.handle_at(9, 0, 1), Err(SlabError::SlabIndexOutOfRange(9, 1)));
    /// assert_eq!(names.handle_at(0, 99, 1), Err(SlabError::SlotIndexOutOfRange(99, 0, 64)));
    /// ```
    pub fn handle_at(&self, slab: usize, slot: usize, generation: u32) -> Result<K, SlabError> {
        let index = self.live_generation(slab, slot, generation)?;
        Ok(K::from_handle(SlotHandle::live(index, generation)))
    }

    /// Returns the key of the value at a place, whatever its generation, or `None` if there is no value. *O*(1).
    #[doc(alias = "get_unknown_gen")]
    #[doc(alias = "get_by_slot")]
    pub fn key_at(&self, slab: usize, slot: usize) -> Option<K> {
        if slab >= self.storage.slab_ids() as usize || slot >= self.slab_capacity() {
            return None;
        }
        let index = self.storage.geometry.index(slab as u32, slot);
        let generation = self.storage.generation(index)?;
        SlotHandle::from_parts(index, generation).map(K::from_handle)
    }

    /// Returns the index of a place if its value has this generation.
    fn live_generation(&self, slab: usize, slot: usize, generation: u32) -> Result<u32, SlabError> {
        let known = self.storage.slab_ids();
        if slab >= known as usize {
            return Err(SlabError::SlabIndexOutOfRange(slab, known as usize));
        }
        if slot >= self.slab_capacity() {
            return Err(SlabError::SlotIndexOutOfRange(slot, slab, self.slab_capacity()));
        }
        let index = self.storage.geometry.index(slab as u32, slot);
        match self.storage.generation(index) {
            None => Err(SlabError::SlabReleased { slab }),
            Some(current) if current % 2 == 0 => Err(SlabError::SlotAlreadyFree { slab, slot }),
            Some(current) if current != generation => {
                Err(SlabError::StaleHandle { slab, slot, generation, current })
            }
            Some(_) => Ok(index),
        }
    }
}
