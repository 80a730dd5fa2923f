//! Links between runs of one list, in the first 16 bytes of each run.
#![expect(unsafe_code, reason = "links lie in memory that is free or parked")]

use core::ptr::NonNull;

use slab_core::poison;

use crate::small::UNIT_BYTES;

/// The links of a run.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Links {
    pub next: Option<LinkRef>,
    pub prev: Option<LinkRef>,
}

const _: () = assert!(size_of::<Links>() <= UNIT_BYTES && align_of::<Links>() <= UNIT_BYTES);

/// The first unit of a run that is in a list.
///
/// # Invariants
///
/// - **K1 (linked)**: the unit belongs to a free run or a parked block of the heap that holds the reference, and starts
///   with links. A program that writes to memory that it has freed breaks this; see [`Bins::unlink`](super::bins::Bins::unlink).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct LinkRef(NonNull<Links>);

impl LinkRef {
    /// Writes links into the first unit of a run.
    ///
    /// # Safety
    ///
    /// The run is free, or parked, and its first byte is at `unit`.
    #[inline]
    unsafe fn create(unit: NonNull<u8>, links: Links) -> Self {
        let place = unit.cast::<Links>();
        // SAFETY: the unit is the heap's.
        unsafe { poison::allow_access(unit, size_of::<Links>()) };
        // SAFETY: units are aligned for links, and this one is the heap's.
        unsafe { place.write(links) };
        Self(place)
    }

    /// Returns the address of the run.
    #[inline]
    pub fn address(self) -> usize {
        self.0.addr().get()
    }

    /// Returns the links.
    #[inline]
    pub fn get(self) -> Links {
        // SAFETY: valid and initialised by K1.
        unsafe { self.0.read() }
    }

    #[inline]
    pub fn set_next(self, next: Option<Self>) {
        // SAFETY: valid by K1.
        unsafe { (*self.0.as_ptr()).next = next };
    }

    #[inline]
    pub fn set_prev(self, prev: Option<Self>) {
        // SAFETY: valid by K1.
        unsafe { (*self.0.as_ptr()).prev = prev };
    }
}

/// A doubly linked list of runs, newest first.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub struct List(Option<LinkRef>);

impl List {
    pub const EMPTY: Self = Self(None);

    #[inline]
    pub fn first(&self) -> Option<LinkRef> {
        self.0
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Forgets all runs.
    #[cold]
    pub fn clear(&mut self) {
        self.0 = None;
    }

    /// Adds a run. *O*(1).
    ///
    /// # Safety
    ///
    /// `unit` is the first byte of a run that is free or parked, and in no list.
    #[cfg_attr(target_pointer_width = "64", inline)]
    pub unsafe fn push(&mut self, unit: NonNull<u8>) {
        // SAFETY: as the caller promises.
        let link = unsafe { LinkRef::create(unit, Links { next: self.0, prev: None }) };
        if let Some(next) = self.0.replace(link) {
            next.set_prev(Some(link));
        }
    }

    /// Adds a run to a list from which runs are only popped: the links back are not written. *O*(1).
    ///
    /// # Safety
    ///
    /// As [`push`](Self::push).
    #[inline]
    pub unsafe fn push_single(&mut self, unit: NonNull<u8>) {
        // SAFETY: as the caller promises.
        self.0 = Some(unsafe { LinkRef::create(unit, Links { next: self.0, prev: None }) });
    }

    /// Makes the second run the first one.
    #[inline]
    pub fn pop_single(&mut self, first: LinkRef) {
        self.0 = first.get().next;
    }

    /// Makes `next` the first run, if the first one is `link`. Returns whether it is.
    #[inline]
    pub fn pop(&mut self, link: LinkRef, next: Option<LinkRef>) -> bool {
        let is_first = self.0 == Some(link);
        if is_first {
            self.0 = next;
        }
        is_first
    }
}

/// Returns the link of a run that is in a list.
///
/// # Safety
///
/// K1 holds for the run whose first byte is at `unit`.
#[inline]
pub unsafe fn link_at(unit: NonNull<u8>) -> LinkRef {
    LinkRef(unit.cast())
}
