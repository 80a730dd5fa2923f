//! The methods of a cache off the hot path: statistics, giving memory back, and finding values by address.
#![expect(unsafe_code, reason = "makes boxes of pointers")]

use core::ptr::NonNull;

use crate::boxed::SlabBox;
use crate::cache::SlabCache;
use crate::config::Config;
use crate::entry::enter;
use crate::error::{CacheError, report_any};
use crate::geometry::Shape;
use crate::shared::CoreRef;
use crate::stats::Stats;

impl<T, C: Config> SlabCache<T, C> {
    /// Returns the statistics of the cache. *O*(slabs), under the lock, and a step for each slot freed without it.
    ///
    /// # Panics
    ///
    /// If it detects that a list of freed slots was overwritten.
    pub fn stats(&self) -> Stats {
        let (mut stats, fault) =
            self.core().with_state(|state| (state.stats(), state.take_fault()));
        report_any(fault);
        stats.held_bytes += CoreRef::<C>::bytes();
        stats.held_bytes_peak += CoreRef::<C>::bytes();
        stats
    }

    /// Returns the number of values; slots that threads keep count as values. *O*(slabs), as [`stats`](Self::stats).
    ///
    /// # Panics
    ///
    /// As [`stats`](Self::stats).
    #[doc(alias = "live_count")]
    pub fn len(&self) -> usize {
        self.stats().live as usize
    }

    /// Alias of [`len`](Self::len).
    ///
    /// # Panics
    ///
    /// As [`stats`](Self::stats).
    pub fn live_count(&self) -> usize {
        self.len()
    }

    /// Returns whether the cache has no value. *O*(slabs), as [`stats`](Self::stats).
    ///
    /// # Panics
    ///
    /// As [`stats`](Self::stats).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the bytes of all values: [`len`](Self::len) times the size of `T`, or of the
    /// [slots](Config::SLOT) that several types share. *O*(slabs).
    ///
    /// # Panics
    ///
    /// As [`stats`](Self::stats).
    pub fn used_bytes(&self) -> usize {
        self.len() * const { Shape::<T, C>::GEOMETRY.value_bytes }
    }

    /// Returns the bytes requested from the memory source, metadata included. *O*(1), under the lock.
    pub fn held_bytes(&self) -> usize {
        let slabs = self.core().with_state(|state| state.chunks.slabs_in_blocks);
        slabs as usize * C::SLAB_BYTES + CoreRef::<C>::bytes()
    }

    /// Returns all chunks without values to the source, and tells how many bytes those were. *O*(slabs) and a
    /// step for each slot freed without the lock. The cache also forgets how much memory it
    /// [kept for reuse](crate#memory).
    ///
    /// In a cache with thread caches the calling thread's slots are freed first. Slots that other threads keep
    /// count as values.
    ///
    /// # Panics
    ///
    /// If it detects that a list of freed slots was overwritten.
    ///
    /// ```
    /// # use slab_cache::SlabCache;
    /// let cache = SlabCache::new()?;
    /// drop(cache.alloc([0_u64; 8])?);
    /// assert!(cache.trim() >= 4096);
    /// assert_eq!(cache.stats().slabs, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "reclaim")]
    pub fn trim(&self) -> usize {
        self.flush();
        enter(self.core(), |state| {
            state.collect_all();
            state.release_empty_active();
            state.chunks.reset_history();
            let mut deferred = state.enter();
            deferred.slabs_trimmed = state.chunks.slabs_empty();
            state.next_deferred(&mut deferred);
            Some(deferred)
        })
    }

    /// Alias of [`trim`](Self::trim).
    ///
    /// # Panics
    ///
    /// As [`trim`](Self::trim).
    pub fn reclaim(&self) -> usize {
        self.trim()
    }

    /// Makes a box again of a value that was [leaked](SlabBox::leak) or turned into a
    /// [pointer](SlabBox::into_raw). *O*(chunks of the cache).
    ///
    /// Only the address of the pointer is used, so the pointer may have been a reference, or a number, meanwhile.
    ///
    /// # Errors
    ///
    /// [`CacheError::ForeignPointer`], [`CacheError::NotASlot`] or [`CacheError::NotLive`] if there is no value of
    /// this cache at the address. A slot that a thread keeps counts as live.
    ///
    /// # Safety
    ///
    /// No box owns the value, the slot holds a valid `T`, and no reference to it is used any more.
    ///
    /// ```
    /// # use slab_cache::{CacheError, SlabBox, SlabCache};
    /// # use core::ptr::NonNull;
    /// let words = SlabCache::new()?;
    /// let word: &mut String = SlabBox::leak(words.alloc("slab".to_owned())?);
    /// // SAFETY: the reference is not used any more.
    /// let word = unsafe { words.adopt(NonNull::from(word)) }?;
    /// assert_eq!(*word, "slab");
    ///
    /// let mut foreign = String::new();
    /// // SAFETY: the cache refuses the pointer, so nothing happens to the string.
    /// let refused = unsafe { words.adopt(NonNull::from(&mut foreign)) };
    /// assert!(matches!(refused, Err(CacheError::ForeignPointer { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub unsafe fn adopt(&self, pointer: NonNull<T>) -> Result<SlabBox<T, C>, CacheError> {
        let address = pointer.addr().get();
        let geometry = const { &Shape::<T, C>::GEOMETRY };
        let slot = self.core().with_state(|state| {
            let found = state.chunks.find(address, geometry);
            let (slab, slot) = found.ok_or(CacheError::ForeignPointer { address })?;
            // SAFETY: the pointer lies in that slab of this cache.
            let (_, index) = unsafe { geometry.locate(slot) };
            if index >= slab.slots() || geometry.slot_start(slab, index) != slot {
                return Err(CacheError::NotASlot { address });
            }
            state.collect_and_relist(slab);
            if state.is_live(slab, index) { Ok(slot) } else { Err(CacheError::NotLive { address }) }
        })?;
        // SAFETY: B1: the slot is live, and no box owns it, as the caller says; B2: it holds a valid `T`, as the
        // caller says.
        Ok(unsafe { SlabBox::new(slot.cast()) })
    }

    /// Returns whether an address lies in a slab of this cache that has values, or in the active slab. *O*(chunks).
    pub fn owns<P: ?Sized>(&self, pointer: NonNull<P>) -> bool {
        let address = pointer.cast::<u8>().addr().get();
        let geometry = const { &Shape::<T, C>::GEOMETRY };
        self.core().with_state(|state| state.chunks.find(address, geometry).is_some())
    }
}
