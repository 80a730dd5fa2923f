//! Guards and pins: values that stay readable.
#![expect(unsafe_code, reason = "returns references to values in raw memory")]

use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;

use allocator_api2::alloc::Allocator;

use super::record::Record;
use super::sync::{AtomicU32, Ordering, fence};
use super::walk::Walk;
use super::{Place, Slots, threads};
use crate::handle::SlotHandle;
use slab_traits::Global;

/// The announcement of a guard: a cell with the index of its slot, or one of the crowd.
#[derive(Debug)]
struct Announcement<'a>(Option<&'a AtomicU32>);

/// A value of a [`SharedSlab`](crate::SharedSlab) that stays readable while the guard exists, even if it is removed.
///
/// If it was removed, dropping the guard drops the value, unless other guards or pins may still read it.
///
/// A guard may be sent to another thread. A thread can hold 8 guards of one slab at no cost to other values; while it holds
/// more, no removed value is dropped. Use a [pin](crate::SharedSlab::pin) to read many values at once.
///
/// # Examples
///
/// ```
/// use slab_typed::SharedSlab;
///
/// let names = SharedSlab::new();
/// let ada = names.insert("Ada".to_owned());
/// let name = names.get(ada).unwrap();
/// names.remove(ada);
/// assert_eq!(*name, "Ada");
/// assert!(names.get(ada).is_none());
/// ```
pub struct Guard<'a, T, A: Allocator = Global> {
    value: NonNull<T>,
    generation: &'a AtomicU32,
    expected: u32,
    announcement: Announcement<'a>,
    slots: &'a Slots<T, A>,
}

// SAFETY: a guard is a `&T`, and a reference to the slab, which is `Sync` only if `T` is `Send` too. Its end is an atomic
// store that any thread may do, by S7.
unsafe impl<T: Send + Sync, A: Allocator + Sync> Send for Guard<'_, T, A> {}
// SAFETY: through `&Guard` the value is shared as `&T`.
unsafe impl<T: Send + Sync, A: Allocator + Sync> Sync for Guard<'_, T, A> {}

impl<T, A: Allocator> Slots<T, A> {
    /// Returns a guard for the value of a handle. *O*(1).
    #[inline]
    pub fn get(&self, handle: SlotHandle) -> Option<Guard<'_, T, A>> {
        let place = self.find(handle.index())?;
        let (generation, expected) = (place.generation(), handle.generation());
        // A stale handle costs no announcement.
        if generation.load(Ordering::Relaxed) != expected {
            return None;
        }
        let announcement = self.announce(handle.index());
        // S3.
        fence(Ordering::SeqCst);
        if generation.load(Ordering::Acquire) != expected {
            self.end(announcement);
            return None;
        }
        // SAFETY: the slot is stored and announced, so the memory is held until the announcement ends, by S4 and S6.
        let value = unsafe { place.value() };
        Some(Guard { value, generation, expected, announcement, slots: self })
    }

    #[inline]
    fn announce(&self, index: u32) -> Announcement<'_> {
        let cell = self.memory.record().and_then(|record| record.announce(index));
        if cell.is_none() {
            self.crowd.fetch_add(1, Ordering::Relaxed);
        }
        Announcement(cell)
    }

    /// Ends the announcement of a slot that was removed.
    #[cold]
    fn end(&self, announcement: Announcement<'_>) {
        announcement.end(self);
        self.collect();
    }

    /// Pins this thread. *O*(1).
    #[inline]
    pub fn pin(&self) -> Pin<'_, T, A> {
        let record = self.memory.record();
        let announced = match record {
            Some(record) => {
                threads::pinned();
                record.pin(&self.clock)
            }
            None => {
                self.crowd.fetch_add(1, Ordering::Relaxed);
                true
            }
        };
        if announced {
            // S3.
            fence(Ordering::SeqCst);
        }
        Pin { slots: self, record, thread: PhantomData }
    }
}

impl Announcement<'_> {
    /// Ends the announcement. Returns whether it was the last of the crowd, which stands for all slots.
    #[inline]
    fn end<T, A: Allocator>(&self, slots: &Slots<T, A>) -> bool {
        // Release: what was read happens before the drop of what was removed.
        match self.0 {
            Some(cell) => {
                cell.store(0, Ordering::Release);
                false
            }
            None => slots.crowd.fetch_sub(1, Ordering::Release) == 1,
        }
    }
}

impl<T, A: Allocator> Deref for Guard<'_, T, A> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the slot was stored when it was announced, so the value stays until the announcement ends, by S4.
        unsafe { self.value.as_ref() }
    }
}

impl<T, A: Allocator> Drop for Guard<'_, T, A> {
    #[inline]
    fn drop(&mut self) {
        let was_last = self.announcement.end(self.slots);
        if was_last || self.generation.load(Ordering::Relaxed) != self.expected {
            self.slots.collect();
        }
    }
}

impl<T: fmt::Debug, A: Allocator> fmt::Debug for Guard<'_, T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Display, A: Allocator> fmt::Display for Guard<'_, T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A pin of one thread: no value that it finds is dropped while the pin exists.
#[derive(Debug)]
pub struct Pin<'a, T, A: Allocator> {
    slots: &'a Slots<T, A>,
    record: Option<&'a Record>,
    /// Only the thread that has the record ends the pin.
    thread: PhantomData<*const ()>,
}

impl<T, A: Allocator> Pin<'_, T, A> {
    /// Returns the value of a handle. *O*(1), without a fence.
    #[inline]
    pub fn get(&self, handle: SlotHandle) -> Option<&T> {
        let place = self.slots.find(handle.index())?;
        self.read(&place, handle.generation())
    }

    /// Returns the value of a slot, if it is stored in this generation, which is odd.
    #[inline]
    fn read(&self, place: &Place<'_, T>, generation: u32) -> Option<&T> {
        // Acquire: S3.
        if place.generation().load(Ordering::Acquire) != generation {
            return None;
        }
        // SAFETY: the slot is stored and, by the pin, announced, so the value stays until the pin ends, by S4 and S6. The
        // reference borrows the pin.
        Some(unsafe { place.value().as_ref() })
    }

    /// Returns the values.
    pub fn entries(&self) -> Entries<'_, T, A> {
        Entries { pin: self, walk: self.slots.walk() }
    }
}

impl<T, A: Allocator> Drop for Pin<'_, T, A> {
    #[inline]
    fn drop(&mut self) {
        let last = match self.record {
            Some(record) => {
                threads::unpinned();
                record.unpin()
            }
            // Release: as in `Record::unpin`.
            None => self.slots.crowd.fetch_sub(1, Ordering::Release) == 1,
        };
        if last && self.slots.deferred.load(Ordering::Relaxed) != 0 {
            self.slots.collect();
        }
    }
}

/// The values that a pinned thread finds, with their handles.
#[derive(Debug)]
pub struct Entries<'p, T, A: Allocator> {
    pin: &'p Pin<'p, T, A>,
    walk: Walk,
}

impl<'p, T, A: Allocator> Iterator for Entries<'p, T, A> {
    type Item = (SlotHandle, &'p T);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (place, generation) = self.pin.slots.next_stored(&mut self.walk)?;
            if let Some(value) = self.pin.read(&place, generation) {
                return Some((SlotHandle::live(place.index(), generation), value));
            }
        }
    }
}
