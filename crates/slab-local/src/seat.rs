//! Seats: exclusive access to the magazines of the current thread or CPU.
#![expect(unsafe_code, reason = "Seat is an unsafe trait, and a CPU's magazines lie in a cell")]

use core::alloc::Layout;
use core::cell::UnsafeCell;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::magazines::Magazines;

/// Gives exclusive access to the magazines of the current thread or CPU.
///
/// # Safety
///
/// - [`with`](Self::with) passes magazines that nothing else accesses until `action` has returned: no other thread
///   or CPU, no interrupt handler, no signal handler and no other call of `with`, also one that `action` makes.
/// - All magazines that a seat ever passes were empty at first, and were passed by [`with`](Self::with) and
///   [`drain_idle`](Self::drain_idle) of this seat alone.
/// - After [`claim`](Self::claim) has returned `true` it returns `false` to every other caller.
pub unsafe trait Seat {
    /// Claims the seat for a heap, which may use magazines only then. Returns whether it was free.
    ///
    /// The provided method always returns `true`: right for a seat that owns its magazines, because a seat belongs
    /// to one heap.
    fn claim(&self) -> bool {
        true
    }

    /// Runs an action with the magazines of the current thread or CPU. Returns `None`, and does not run it, if there are
    /// none: in early boot, in a thread that ends, and if the caller interrupts another call of `with` on this thread
    /// or CPU.
    fn with<T>(&self, action: impl FnOnce(&mut Magazines) -> T) -> Option<T>;

    /// Is called when [`with`](Self::with) has returned `None`, and may register the thread. `allocate` returns memory
    /// for magazines, which the seat keeps; it may return `None`, because memory is short.
    fn attach(&self, allocate: &mut dyn FnMut(Layout) -> Option<NonNull<u8>>) -> Attachment {
        let _ = allocate;
        Attachment::Absent
    }

    /// Passes all magazines that belong to no thread or CPU now to an action, one after the other.
    fn drain_idle(&self, action: &mut dyn FnMut(&mut Magazines)) {
        let _ = action;
    }
}

/// Why there were no magazines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attachment {
    /// Now there are some.
    Attached,
    /// The thread or CPU has none, and may wait for the lock of the heap.
    Absent,
    /// The caller interrupts code that uses the magazines or the heap. It must not wait for the lock of the heap.
    Busy,
}

/// The CPUs of a kernel: which one runs the caller, and how its interrupts are masked.
///
/// # Safety
///
/// From [`mask`](Self::mask) to [`restore`](Self::restore) the caller stays on its CPU, and no interrupt handler runs on
/// it. The compiler moves no memory access out of that section. Exceptions that cannot be masked may come, and return to
/// where they interrupted. Meanwhile [`current`](Self::current) returns a number that no other CPU gets.
pub unsafe trait Cpu {
    /// What [`restore`](Self::restore) needs to know.
    type State: Copy;

    /// Masks the interrupts of this CPU, and returns the state before. Other CPUs need not notice.
    fn mask() -> Self::State;

    /// Restores the state before [`mask`](Self::mask).
    ///
    /// # Safety
    ///
    /// `state` was returned by `mask` on this CPU, is passed once, and the section that began there is over.
    unsafe fn restore(state: Self::State);

    /// Returns the number of this CPU. `None` in early boot, before CPUs have numbers: then the heap is used without
    /// magazines. Is called with interrupts masked.
    fn current() -> Option<usize>;
}

/// A seat for the CPUs of a kernel, with the magazines of up to `N` of them inside: 8 KiB for each.
///
/// Interrupts are masked while magazines are used, so interrupt handlers may allocate and free. They stay masked
/// while a batch of blocks is exchanged with the heap. Exceptions that cannot be masked are served without magazines and without waiting.
pub struct CpuSeat<C: Cpu, const N: usize> {
    places: [Place; N],
    cpu: core::marker::PhantomData<fn() -> C>,
}

/// The magazines of a CPU.
#[repr(align(64))]
struct Place {
    is_busy: AtomicBool,
    magazines: UnsafeCell<Magazines>,
}

// SAFETY: only the CPU with its number accesses a place, with interrupts masked, and `is_busy` keeps out what
// cannot be masked.
unsafe impl<C: Cpu, const N: usize> Sync for CpuSeat<C, N> {}

impl<C: Cpu, const N: usize> CpuSeat<C, N> {
    /// Returns a seat whose CPUs have empty magazines.
    pub const fn new() -> Self {
        Self {
            places: [const {
                Place {
                    is_busy: AtomicBool::new(false),
                    magazines: UnsafeCell::new(Magazines::new()),
                }
            }; N],
            cpu: core::marker::PhantomData,
        }
    }

    /// Runs an action with the place of this CPU, with interrupts masked.
    #[inline(always)]
    fn masked<T>(&self, action: impl FnOnce(&Place) -> Option<T>) -> Option<T> {
        let state = C::mask();
        let place = C::current().and_then(|cpu| self.places.get(cpu));
        let outcome = place.and_then(action);
        // SAFETY: the state of the call above, passed once, at the end of the section.
        unsafe { C::restore(state) };
        outcome
    }
}

impl<C: Cpu, const N: usize> Default for CpuSeat<C, N> {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: by the contract of `Cpu` only this CPU reaches its place, and it is not interrupted
// except by what cannot be masked. That finds `is_busy` set, as a call that `action` makes does. The magazines are
// those of the places, which are empty at first.
unsafe impl<C: Cpu, const N: usize> Seat for CpuSeat<C, N> {
    #[inline(always)]
    fn with<T>(&self, action: impl FnOnce(&mut Magazines) -> T) -> Option<T> {
        self.masked(|place| {
            // Relaxed, and no exchange: only this CPU accesses the flag, and an exception restores it.
            if place.is_busy.load(Ordering::Relaxed) {
                return None;
            }
            place.is_busy.store(true, Ordering::Relaxed);
            core::sync::atomic::compiler_fence(Ordering::SeqCst);
            // SAFETY: this CPU alone accesses the place, and the flag keeps out further calls on it.
            let outcome = action(unsafe { &mut *place.magazines.get() });
            core::sync::atomic::compiler_fence(Ordering::SeqCst);
            place.is_busy.store(false, Ordering::Relaxed);
            Some(outcome)
        })
    }

    fn attach(&self, _: &mut dyn FnMut(Layout) -> Option<NonNull<u8>>) -> Attachment {
        let is_busy = self.masked(|place| Some(place.is_busy.load(Ordering::Relaxed)));
        if is_busy == Some(true) { Attachment::Busy } else { Attachment::Absent }
    }
}

impl<C: Cpu, const N: usize> fmt::Debug for CpuSeat<C, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CpuSeat").field("cpus", &N).finish_non_exhaustive()
    }
}
