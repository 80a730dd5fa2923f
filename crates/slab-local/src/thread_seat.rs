//! Seats for the threads of a program with `std`.
//!
//! A thread registers at its first allocation: it takes magazines that belong to no thread, or gets new ones. When it
//! ends, it leaves them, with the blocks in them, to the next thread that registers. So there are as many as threads
//! ran at the same time, and none is ever freed.
#![expect(unsafe_code, reason = "magazines lie in raw memory that threads pass on")]

use core::alloc::Layout;
use core::cell::UnsafeCell;
use core::fmt;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering, compiler_fence};

use crate::magazines::Magazines;
use crate::seat::Attachment;

/// Magazines that belong to one thread at a time. Never freed.
///
/// # Invariants
///
/// - **E1 (taken)**: only the caller that changed `is_taken` from `false` to `true` accesses `magazines`, until it
///   stores `false`. A new entry is taken by its creator.
struct Entry {
    magazines: UnsafeCell<Magazines>,
    is_taken: AtomicBool,
    /// Written before the entry is linked.
    next: *mut Entry,
}

impl Entry {
    fn try_take(&self) -> bool {
        // Acquire: the magazines are as the last owner left them.
        let take = |is_taken: &AtomicBool| {
            is_taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
        };
        !self.is_taken.load(Ordering::Relaxed) && take(&self.is_taken).is_ok()
    }

    fn leave(&self) {
        // Release: the next owner sees the magazines as this one leaves them.
        self.is_taken.store(false, Ordering::Release);
    }
}

/// All magazines of a seat, those of ended threads included: a list that only grows.
pub struct Pool {
    is_claimed: AtomicBool,
    first: AtomicPtr<Entry>,
}

impl Pool {
    /// Returns a pool without magazines.
    pub const fn new() -> Self {
        Self { is_claimed: AtomicBool::new(false), first: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Returns `true` to the first caller alone.
    pub fn claim(&self) -> bool {
        !self.is_claimed.swap(true, Ordering::Relaxed)
    }

    fn entries(&self) -> impl Iterator<Item = NonNull<Entry>> {
        // Acquire: entries are initialised when they are linked.
        let first = NonNull::new(self.first.load(Ordering::Acquire));
        core::iter::successors(first, |entry| {
            // SAFETY: linked entries are initialised and never freed.
            NonNull::new(unsafe { entry.as_ref() }.next)
        })
    }

    fn take_idle(&self) -> Option<NonNull<Entry>> {
        // SAFETY: linked entries are initialised and never freed.
        self.entries().find(|entry| unsafe { entry.as_ref() }.try_take())
    }

    /// Makes an entry in new memory, which the caller has taken.
    fn create(&self, memory: NonNull<u8>) -> NonNull<Entry> {
        let entry = memory.cast::<Entry>();
        let mut next = self.first.load(Ordering::Relaxed);
        let magazines = UnsafeCell::new(Magazines::new());
        // SAFETY: the memory is of the layout of an entry, and nothing else uses it (see `Current::attach`).
        unsafe { entry.write(Entry { magazines, is_taken: AtomicBool::new(true), next }) };
        loop {
            // Release: the entry is initialised before it is linked.
            match self.first.compare_exchange_weak(
                next,
                entry.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return entry,
                Err(first) => {
                    next = first;
                    // SAFETY: not linked yet, so nothing else accesses it.
                    unsafe { (*entry.as_ptr()).next = next };
                }
            }
        }
    }

    /// Passes the magazines of no thread to an action.
    pub fn drain_idle(&self, action: &mut dyn FnMut(&mut Magazines)) {
        for entry in self.entries() {
            // SAFETY: linked entries are initialised and never freed.
            let entry = unsafe { entry.as_ref() };
            if entry.try_take() {
                // SAFETY: this caller has just taken the entry (E1).
                action(unsafe { &mut *entry.magazines.get() });
                entry.leave();
            }
        }
    }
}

/// A thread's variable of a seat.
///
/// | `entry` | `owned` | |
/// |---|---|---|
/// | null | null | the thread has not registered |
/// | null | `REGISTERING` | it registers now |
/// | entry | entry | it has magazines |
/// | null | entry | it uses them now |
/// | null | `ENDED` | it has left them |
///
/// Both are atomic because of signal handlers, which run on this thread; relaxed accesses and compiler fences are
/// enough for them.
pub struct Current {
    /// The magazines, if they may be used.
    entry: AtomicPtr<Entry>,
    owned: AtomicPtr<Entry>,
}

const REGISTERING: *mut Entry = ptr::without_provenance_mut(1);
const ENDED: *mut Entry = ptr::without_provenance_mut(2);

impl Current {
    /// Returns the variable of a thread that has not registered.
    pub const fn new() -> Self {
        Self { entry: AtomicPtr::new(ptr::null_mut()), owned: AtomicPtr::new(ptr::null_mut()) }
    }

    /// See [`Seat::with`](crate::Seat::with).
    #[inline(always)]
    pub fn with<T>(&self, action: impl FnOnce(&mut Magazines) -> T) -> Option<T> {
        let entry = self.entry.load(Ordering::Relaxed);
        if entry.is_null() {
            return None;
        }
        self.entry.store(ptr::null_mut(), Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        // SAFETY: this thread has taken the entry (E1). Until it is stored again, a signal handler and `action`
        // find null.
        let outcome = action(unsafe { &mut *UnsafeCell::raw_get(&raw const (*entry).magazines) });
        compiler_fence(Ordering::SeqCst);
        self.entry.store(entry, Ordering::Relaxed);
        Some(outcome)
    }

    /// See [`Seat::attach`](crate::Seat::attach). `watch_end` arranges that [`leave`](Self::leave) is called when the
    /// thread ends, and returns whether it will be. `allocate` returns unused memory of the layout passed.
    #[cold]
    pub fn attach(
        &self,
        pool: &Pool,
        allocate: &mut dyn FnMut(Layout) -> Option<NonNull<u8>>,
        watch_end: impl FnOnce() -> bool,
    ) -> Attachment {
        let owned = self.owned.load(Ordering::Relaxed);
        if owned == ENDED {
            return Attachment::Absent;
        }
        if !owned.is_null() {
            return Attachment::Busy;
        }
        self.owned.store(REGISTERING, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        // The registration of a destructor may allocate; that finds `REGISTERING`.
        let is_watched = watch_end();
        let new = || Some(pool.create(allocate(Layout::new::<Entry>())?));
        let entry = if is_watched { pool.take_idle().or_else(new) } else { None };
        compiler_fence(Ordering::SeqCst);
        match entry {
            Some(entry) => {
                self.owned.store(entry.as_ptr(), Ordering::Relaxed);
                self.entry.store(entry.as_ptr(), Ordering::Relaxed);
                Attachment::Attached
            }
            None => {
                let state = if is_watched { ptr::null_mut() } else { ENDED };
                self.owned.store(state, Ordering::Relaxed);
                Attachment::Absent
            }
        }
    }

    /// Leaves the magazines to other threads. The thread ends.
    #[cold]
    pub fn leave(&self) {
        self.entry.store(ptr::null_mut(), Ordering::Relaxed);
        let owned = self.owned.swap(ENDED, Ordering::Relaxed);
        if owned != REGISTERING
            && owned != ENDED
            && let Some(entry) = NonNull::new(owned)
        {
            // SAFETY: entries are never freed.
            unsafe { entry.as_ref() }.leave();
        }
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for Current {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("magazines", &self.entries().count()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_magazines = !self.entry.load(Ordering::Relaxed).is_null();
        f.debug_struct("Current").field("has_magazines", &has_magazines).finish_non_exhaustive()
    }
}

/// Defines a [`Seat`](crate::Seat) with magazines for each thread. [`ThreadSeat`](crate::ThreadSeat) is one; a program
/// with several heaps defines a seat for each further one. A second heap with the same seat works without magazines.
///
/// ```
/// slab_local::thread_seat! {
///     /// The seat of the heap of plug-ins.
///     pub struct PluginSeat;
/// }
/// ```
#[macro_export]
macro_rules! thread_seat {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident;) => {
        $(#[$meta])*
        #[derive(Debug)]
        $visibility struct $name;

        const _: () = {
            use $crate::thread_seat_parts::{Current, Pool};

            ::std::thread_local! {
                static CURRENT: Current = const { Current::new() };
                static END: End = const { End };
            }
            static POOL: Pool = Pool::new();

            /// Leaves the magazines of a thread that ends.
            struct End;

            impl Drop for End {
                fn drop(&mut self) {
                    CURRENT.with(Current::leave);
                }
            }

            // SAFETY: the pool passes magazines to one thread at a time, and `Current` to one call of `with` on that
            // thread. New ones are empty. The pool is claimed once.
            #[allow(unsafe_code)]
            unsafe impl $crate::Seat for $name {
                fn claim(&self) -> bool {
                    POOL.claim()
                }

                #[inline(always)]
                fn with<T>(&self, action: impl FnOnce(&mut $crate::Magazines) -> T) -> Option<T> {
                    CURRENT.with(
                        #[inline(always)]
                        |current| current.with(action),
                    )
                }

                fn attach(
                    &self,
                    allocate: &mut dyn FnMut(
                        ::core::alloc::Layout,
                    ) -> Option<::core::ptr::NonNull<u8>>,
                ) -> $crate::Attachment {
                    let watch_end = || END.try_with(|_| {}).is_ok();
                    CURRENT.with(|current| current.attach(&POOL, allocate, watch_end))
                }

                fn drain_idle(&self, action: &mut dyn FnMut(&mut $crate::Magazines)) {
                    POOL.drain_idle(action);
                }
            }
        };
    };
}

thread_seat! {
    /// The seat of the first heap of a program, with magazines for each thread.
    ///
    /// A second heap needs a seat from [`thread_seat!`](crate::thread_seat).
    pub struct ThreadSeat;
}
